// The thread that waits for the kernel to say something, so that the one that acts need not poll. It reads nothing: it waits on
// the descriptor, tells once, and waits for the other side to have drained it. So nothing can pile up between the two.
import { parentPort, workerData } from 'node:worker_threads'
import { waitReadable } from '../../sys/libc.ts'
import { type EventsWorkerData, IDLE, STOP, TOLD } from './events-signal.ts'

/** How long a stop may go unnoticed. */
const PATIENCE_MS = 250

const { descriptor, signal } = workerData as EventsWorkerData
const state = new Int32Array(signal)

while (Atomics.load(state, 0) !== STOP) {
  if (!waitReadable(descriptor, PATIENCE_MS)) continue
  if (Atomics.compareExchange(state, 0, IDLE, TOLD) === IDLE) parentPort?.postMessage(null)
  Atomics.wait(state, 0, TOLD, PATIENCE_MS)
}
