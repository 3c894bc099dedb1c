// Programs of the uml tier inside namespaces, and waiting at the pace of user-mode-linux.
import { randomUUID } from 'node:crypto'
import os from 'node:os'
import path from 'node:path'
import type { Netns } from '../support/netns.ts'
import { NetnsProcess } from '../support/netns-process.ts'
import { until } from '../support/poll.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')
const UML_FACTOR = 30

/** A deadline for something that takes `ms` on bare metal. */
export const patient = (ms: number): { readonly deadlineMs: number } => ({ deadlineMs: ms * UML_FACTOR })

/** Starts a program whose output is kept. */
export function startProgram(net: Netns, node: string, command: string, args: readonly string[]): NetnsProcess {
  return new NetnsProcess(net, node, command, args, path.join(os.tmpdir(), `log-${randomUUID()}`))
}

/** One end of a checked TCP connection: arguments as stream-main.ts says. */
export function startStream(net: Netns, node: string, ...args: readonly string[]): NetnsProcess {
  const program = path.join(ROOT, 'test/uml/stream-main.ts')
  return startProgram(net, node, path.join(ROOT, 'scripts/node'), ['--disable-warning=ExperimentalWarning', program, ...args])
}

/** tcpdump in words, of one interface; resolves once it listens. */
export async function captureOn(net: Netns, node: string, name: string, filter: string): Promise<NetnsProcess> {
  const capture = startProgram(net, node, 'tcpdump', ['-i', name, '-n', '-l', '-v', '--immediate-mode', '-Z', 'root', filter])
  const isListening = (): boolean => {
    capture.assertRunning()
    return capture.log().includes('listening on')
  }
  await until('tcpdump listens', isListening, patient(2_000))
  return capture
}

/**
 * How many octets have come back to a `keep` stream once it has said the same so many times in a row. The stream reads what there is
 * before it says so: it is not by its slowness that nothing comes.
 */
export async function stalled(client: NetnsProcess, reports = 8): Promise<number> {
  const saidLast = (): readonly string[] => client.log(Number.POSITIVE_INFINITY).trim().split('\n').slice(-reports)
  await until(
    'nothing comes back any more',
    () => {
      client.assertRunning()
      const said = saidLast()
      return said.length === reports && new Set(said).size === 1
    },
    patient(5_000),
  )
  return echoed(client)
}

/** How many octets have come back to a `keep` stream. */
export function echoed(client: NetnsProcess): number {
  const lines = client.log(Number.POSITIVE_INFINITY).trim().split('\n')
  return Number(/"echoed":(\d+)/.exec(lines.at(-1) ?? '')?.[1] ?? -1)
}

/** Waits until octets that were not even sent when this was called have come back; fails at once if the connection has ended. */
export async function moves(client: NetnsProcess, what: string): Promise<void> {
  const before = echoed(client)
  const isMoving = (): boolean => {
    client.assertRunning()
    return echoed(client) > before + 500
  }
  await until(`${what}: more octets come back`, isMoving, { ...patient(2_000), explain: () => client.log() })
}
