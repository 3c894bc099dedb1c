// Pings between the pods of a lab, all from one process: an ICMP socket of each family in every pod's namespace (icmp(7): kernel
// "ping sockets", so there is no helper process in any pod and no clock but ours). Loss is counted by sequence number.
import { createSocket, type Socket } from 'node:dgram'
import { sleep } from '../lib/clock.ts'
import { setSocketOption, socket } from '../sys/libc.ts'
import { inNetns, settleThreadPool } from '../sys/netns.ts'
import { netnsPath } from './netns.ts'
import { FAMILIES } from './plan.ts'
import type { Pod } from './pods.ts'
import { FlowRecord } from './probe-record.ts'

export type Flow = { readonly from: Pod; readonly to: Pod; readonly family: (typeof FAMILIES)[number] }
export type FlowProbe = { readonly flow: Flow; readonly record: FlowRecord }

/** How long the answer to a probe may take before it counts as lost. */
export const ANSWER_WITHIN_MS = 1000

const ICMP = {
  ipv4: { domain: 2, protocol: 1, type: 'udp4', echoRequest: 8, echoReply: 0 },
  ipv6: { domain: 10, protocol: 58, type: 'udp6', echoRequest: 128, echoReply: 129 },
} as const
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000
const PACKET_BYTES = 64
const TICK_MS = 4
/** Most rounds sent at once after this process was held up: more would overflow queues and be counted as loss of the network. */
const MOST_ROUNDS_AT_ONCE = 4
const SOL_SOCKET = 1
const SO_RCVBUFFORCE = 33
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024

export class Prober implements AsyncDisposable {
  readonly #sockets: ReadonlyMap<string, Socket>
  readonly #flows: FlowProbe[] = []

  private constructor(sockets: ReadonlyMap<string, Socket>) {
    this.#sockets = sockets
    for (const [key, each] of sockets) {
      const reply = ICMP[key.startsWith('ipv4 ') ? 'ipv4' : 'ipv6'].echoReply
      each.on('message', (message) => this.#received(message, reply))
      each.on('error', () => {}) // a send that failed is a probe that is lost
    }
  }

  /** Opens the sockets of these pods. */
  static async open(pods: readonly Pod[]): Promise<Prober> {
    await settleThreadPool()
    const sockets = new Map<string, Socket>()
    for (const { netns } of pods) {
      for (const family of FAMILIES) {
        const { domain, protocol, type } = ICMP[family]
        const fd = inNetns(netnsPath(netns), () => socket(domain, SOCK_DGRAM_NONBLOCK_CLOEXEC, protocol))
        setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        const opened = createSocket(type)
        await new Promise<void>((resolve, reject) => opened.once('error', reject).bind({ fd }, resolve))
        sockets.set(keyOf(family, netns), opened)
      }
    }
    return new Prober(sockets)
  }

  /** One probe now; `record` tells later whether it was answered. */
  #send({ flow, record }: FlowProbe, index: number): void {
    const packet = Buffer.alloc(PACKET_BYTES)
    const sequence = record.sending(performance.now())
    packet[0] = ICMP[flow.family].echoRequest
    packet.writeUInt16BE(sequence & 0xffff, 6)
    packet.writeUInt32BE(index, 8)
    packet.writeUInt32BE(sequence, 12)
    const port = 1 // means nothing to ICMP, but dgram wants one
    this.#sockets.get(keyOf(flow.family, flow.from.netns))?.send(packet, port, flow.to.address[flow.family], () => {})
  }

  #received(message: Buffer, reply: number): void {
    if (message.length < PACKET_BYTES || message[0] !== reply) return
    this.#flows[message.readUInt32BE(8)]?.record.answered(message.readUInt32BE(12), performance.now())
  }

  /** Sends `count` probes on every flow, `everyMs` apart, and waits for the answers. */
  async pingAll(flows: readonly Flow[], count: number, everyMs: number, signal?: AbortSignal): Promise<readonly FlowProbe[]> {
    const first = this.#flows.length
    const probes = flows.map((flow): FlowProbe => ({ flow, record: new FlowRecord() }))
    this.#flows.push(...probes)
    for (let round = 0; round < count; round++) {
      for (const [at, probe] of probes.entries()) {
        this.#send(probe, first + at)
        await sleep(1, signal) // or the answer would wait until everything is sent
      }
      await sleep(everyMs, signal)
    }
    const isAnswered = (): boolean => probes.every(({ record }) => record.answeredSince(0) === count)
    for (let waitedMs = 0; waitedMs < ANSWER_WITHIN_MS && !isAnswered(); waitedMs += 20) await sleep(20, signal)
    return probes
  }

  /** Begins a steady stream on every flow; it goes on until `stop`, which waits for the last answers. */
  stream(flows: readonly Flow[], perSecond: number): ProbeStream {
    const first = this.#flows.length
    const probes = flows.map((flow): FlowProbe => ({ flow, record: new FlowRecord() }))
    this.#flows.push(...probes)
    const stopping = new AbortController()
    const startedMs = performance.now()
    const run = async (): Promise<void> => {
      for (let rounds = 0; !stopping.signal.aborted; ) {
        const due = Math.floor(((performance.now() - startedMs) / 1000) * perSecond) + 1
        rounds = Math.max(rounds, due - MOST_ROUNDS_AT_ONCE)
        for (; rounds < due; rounds++) for (const [at, probe] of probes.entries()) this.#send(probe, first + at)
        await sleep(TICK_MS)
      }
      await sleep(ANSWER_WITHIN_MS)
      // a process that was held up sees that the time is over before it sees the answers that came meanwhile
      const answered = (): number => probes.reduce((sum, { record }) => sum + record.answeredSince(0), 0)
      for (let before = -1; before !== answered(); await sleep(TICK_MS)) before = answered()
    }
    const running = run()
    return {
      probes,
      stop: async () => {
        stopping.abort()
        await running
        return probes
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#sockets.values()].map((each) => new Promise<void>((resolve) => each.close(() => resolve()))))
  }
}

export type ProbeStream = {
  readonly probes: readonly FlowProbe[]
  stop(): Promise<readonly FlowProbe[]>
}

function keyOf(family: string, netns: string): string {
  return `${family} ${netns}`
}

/** Flows of both families between every two of these pods, both ways. */
export function flowsBetween(pods: readonly Pod[], accept: (from: Pod, to: Pod) => boolean): readonly Flow[] {
  return FAMILIES.flatMap((family) =>
    pods.flatMap((from) => pods.filter((to) => to !== from && accept(from, to)).map((to) => ({ from, to, family }))),
  )
}
