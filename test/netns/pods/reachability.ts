// Can pods talk to one another? One process holds a TCP listener in each pod's namespace and dials from any of them; pings go out
// in one batch. What is right is the answer of the right pod, to the sender's own address: nothing in between has rewritten it.
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { type Flow, type Pod as LabPod, Prober } from '../../../src/lab/index.ts'
import { type IpAddress, type IpFamily, ip } from '../../../src/net/index.ts'
import { inNetns } from '../../../src/sys/netns.ts'
import { bindTcp, listenTcp, openTcpSocket, orClose, reuseAddress } from '../../../src/sys/tcp-socket.ts'
import type { CniResult } from './node.ts'

export type Pod = {
  readonly name: string
  /** Path of its namespace. */
  readonly netns: string
  readonly addresses: { readonly ipv4: string; readonly ipv6: string }
}
/** A pod of what ADD answered. Throws unless it has exactly one address of each family, as a host's own. */
export function podOf(name: string, netns: string, { ips }: CniResult): Pod {
  const one = (isV6: boolean): string => {
    const [found = '', ...more] = ips.map((each) => each.address).filter((each) => each.includes(':') === isV6)
    const [text = '', length] = found.split('/')
    if (more.length > 0 || length !== (isV6 ? '128' : '32')) throw new Error(`${name} got ${JSON.stringify(ips)}`)
    return text
  }
  return { name, netns, addresses: { ipv4: one(false), ipv6: one(true) } }
}

export type Pair = readonly [from: Pod, to: Pod]
export type Family = 'ipv4' | 'ipv6'

export const TCP_PORT = 8_080
const ANY: { readonly [F in Family]: IpAddress } = { ipv4: ip('0.0.0.0'), ipv6: ip('::') }
const VERSION: { readonly [F in Family]: IpFamily } = { ipv4: 4, ipv6: 6 }
const DIALS_AT_ONCE = 50
/** More would overflow queues and be taken for loss. */
const PINGS_AT_ONCE = 4_000
/** Streams are stopped after their first round, so this is never reached. */
const ONE_ROUND = 0.001
/** It tells a hang from a wait: nothing is slow but a busy machine. */
const TIMEOUT_MS = 30_000

/** Listens in every pod, both families, and tells whoever connects the pod's name and the address it was seen from. */
export class Listeners implements AsyncDisposable {
  readonly #servers: readonly net.Server[]

  private constructor(servers: readonly net.Server[]) {
    this.#servers = servers
  }

  static async in(pods: readonly Pod[]): Promise<Listeners> {
    const servers = pods.flatMap((pod) => (['ipv4', 'ipv6'] as const).map((family) => ({ pod, family, server: serverOf(pod) })))
    await Promise.all(
      servers.map(({ pod, family, server }) => {
        const fd = inNetns(pod.netns, () => {
          const opened = openTcpSocket(VERSION[family])
          return orClose(opened, () => {
            reuseAddress(opened)
            bindTcp(opened, ANY[family], TCP_PORT, null)
            listenTcp(opened, 128)
          })
        })
        return new Promise<void>((resolve, reject) => server.once('error', reject).listen({ fd }, resolve))
      }),
    )
    return new Listeners(servers.map(({ server }) => server))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))))
  }
}

function serverOf(pod: Pod): net.Server {
  return net.createServer((socket) => {
    socket.on('error', () => {}) // the other side says what went wrong
    socket.end(`${pod.name} ${socket.remoteAddress}`)
  })
}

/** Dials each pair by TCP; what went wrong, in words. */
export async function tcpFailures(pairs: readonly Pair[], family: Family, withinMs = TIMEOUT_MS): Promise<readonly string[]> {
  const failures: string[] = []
  const rest = pairs.values()
  const dialOnAndOn = async (): Promise<void> => {
    for (const [from, to] of rest) {
      const wanted = `${to.name} ${from.addresses[family]}`
      const heard = await dial(from.netns, to.addresses[family], TCP_PORT, withinMs).catch((cause: Error) => cause.message)
      if (heard !== wanted) failures.push(`${from.name} -> ${to.name} (${to.addresses[family]}): wanted '${wanted}', got '${heard}'`)
    }
  }
  await Promise.all(Array.from({ length: DIALS_AT_ONCE }, dialOnAndOn))
  return failures
}

/** Connects from within a namespace and resolves to all that the other side says. */
export function dial(netns: string, address: string, port = TCP_PORT, withinMs = TIMEOUT_MS): Promise<string> {
  const fd = inNetns(netns, () => openTcpSocket(address.includes(':') ? 6 : 4))
  const adopted = { fd, manualStart: true } // missing in the types: see src/bgp/tcp-transport.ts
  const socket = new net.Socket(adopted)
  return new Promise((resolve, reject) => {
    let text = ''
    socket.setTimeout(withinMs, () => socket.destroy(new Error(`no answer in ${withinMs} ms`)))
    socket.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
    socket.once('error', reject).once('end', () => resolve(text))
    socket.connect({ host: address, port })
  })
}

/**
 * Pings the second of each pair from the first in both families; the pairs that got no answer within a second, at either of two
 * attempts: whether they can reach one another is asked here, and thousands of echoes at once overrun the queues of a busy machine.
 */
export async function pingFailures(pairs: readonly Pair[]): Promise<readonly string[]> {
  const pinged = new Map([...new Set(pairs.flat())].map((pod) => [pod, labPod(pod)]))
  for (const pod of pinged.keys()) inNetns(pod.netns, () => fs.writeFileSync('/proc/sys/net/ipv4/ping_group_range', '0 2147483647'))
  await using prober = await Prober.open([...pinged.values()])
  const flows = pairs.flatMap(([from, to]) => FAMILIES.map((family): Flow => ({ from: of(pinged, from), to: of(pinged, to), family })))
  const unanswered = async (asked: readonly Flow[]): Promise<readonly Flow[]> => {
    const lost: Flow[] = []
    for (let at = 0; at < asked.length; at += PINGS_AT_ONCE) {
      const stream = prober.stream(asked.slice(at, at + PINGS_AT_ONCE), ONE_ROUND)
      for (const { flow, record } of await stream.stop()) if (record.summary(0).lost > 0) lost.push(flow)
    }
    return lost
  }
  const failures = await unanswered(await unanswered(flows))
  return failures.map(({ from, to, family }) => `${from.name} -> ${to.name} (${to.address[family]})`)
}

const FAMILIES = ['ipv4', 'ipv6'] as const

function of<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  const value = map.get(key)
  if (value === undefined) throw new RangeError('not among the pairs')
  return value
}

/** As the lab's prober knows pods: by the name of a namespace in /run/netns. */
function labPod({ name, netns, addresses }: Pod): LabPod {
  return { name, node: '', netns: path.basename(netns), address: addresses, hostDevice: '' }
}
