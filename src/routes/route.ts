// A kernel route as a value: what it is keyed by, what it does, and the mark that makes it ours (decision 8).
import { compareIp, familyOf, formatIp, type IpAddress, type IpFamily, type Prefix } from '../net/index.ts'

/** rtm_protocol of every route we own; a route without it is never touched. */
export const OUR_PROTOCOL = 179
/** Metric of every route we make; reserved for us, because a replace takes over whatever has the same prefix, TOS and metric. */
export const OUR_METRIC = 179

/**
 * `gateway` null: the destination is on the link itself. `onlink`: no connected prefix need cover the gateway. `outer`: packets get
 * an outer IPv6 header with these addresses and leave by the tunnel device (source null: the kernel's choice); `gateway` is null then.
 */
export type NextHop = {
  readonly gateway: IpAddress | null
  readonly interfaceIndex: number
  readonly onlink: boolean
  readonly outer?: { readonly destination: IpAddress; readonly source: IpAddress | null }
}

/** Where a next hop leads: its gateway, or the far end of the tunnel; null: nowhere but to the link. */
export function farEnd({ gateway, outer }: NextHop): IpAddress | null {
  return outer?.destination ?? gateway
}

/**
 * What a route does with a packet. `other` is anything we never make: its text says what it is, and names it apart from others.
 * Next hops are sorted and distinct.
 */
export type RouteBody =
  | { readonly kind: 'unicast'; readonly nextHops: readonly NextHop[]; readonly source: IpAddress | null }
  | { readonly kind: 'blackhole' }
  | { readonly kind: 'other'; readonly text: string }

/** A route of table main. `tos` is the DSCP field it is limited to; 0: any. */
export type KernelRoute = {
  readonly prefix: Prefix
  readonly body: RouteBody
  readonly protocol: number
  readonly metric: number
  readonly tos: number
}

export const BLACKHOLE: RouteBody = { kind: 'blackhole' }

/** A unicast body with its next hops in canonical order. */
export function unicast(nextHops: readonly NextHop[], source: IpAddress | null): RouteBody {
  return { kind: 'unicast', nextHops: [...nextHops].sort(compareNextHops), source }
}

function compareNextHops(a: NextHop, b: NextHop): number {
  const [farA, farB] = [farEnd(a), farEnd(b)]
  if (farA === null || farB === null) return Number(farB === null) - Number(farA === null)
  return compareIp(farA, farB) || a.interfaceIndex - b.interfaceIndex
}

/** Text that two bodies share exactly if they mean the same. */
export function bodyKey(body: RouteBody): string {
  if (body.kind === 'blackhole') return 'blackhole'
  if (body.kind === 'other') return `other ${body.text}`
  const source = body.source === null ? '' : formatIp(body.source)
  return `${body.nextHops.map(nextHopKey).join(' ')} src ${source}`
}

function nextHopKey({ gateway, interfaceIndex, onlink, outer }: NextHop): string {
  if (outer !== undefined) {
    return `${formatIp(outer.destination)} in IPv6 from ${outer.source === null ? 'any' : formatIp(outer.source)}%${interfaceIndex}`
  }
  return `${gateway === null ? 'link' : formatIp(gateway)}%${interfaceIndex}${onlink ? '!' : ''}`
}

/** True if packets of any TOS prefer `other` to the route we would make for the same prefix. */
export function winsOverOurs(other: KernelRoute): boolean {
  if (other.tos !== 0) return false
  return other.metric <= OUR_METRIC || isConnected(other)
}

/**
 * The prefix of a link the host is on, entered by the kernel itself. IPv6 gives these metric 256, so ours would win and send
 * the link's own hosts, gateways among them, through a gateway: such a prefix is never ours to install.
 */
export function isConnected({ protocol, body }: Pick<KernelRoute, 'protocol' | 'body'>): boolean {
  return (
    (protocol === RTPROT_KERNEL || protocol === RTPROT_RA) && body.kind === 'unicast' && body.nextHops.every((hop) => hop.gateway === null)
  )
}

const RTPROT_KERNEL = 2
export const RTPROT_RA = 9

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  1: 'redirect',
  2: 'kernel',
  3: 'boot',
  4: 'static',
  9: 'router advertisement',
  11: 'zebra',
  12: 'bird',
  16: 'dhcp',
  18: 'keepalived',
  80: 'calico',
  186: 'bgp',
  188: 'ospf',
}

/** In words, for a person who asks what shadows a route: `static route via 10.0.0.1 on eth0, metric 0`. */
export function describeRoute({ protocol, body, metric }: KernelRoute, nameOf: (interfaceIndex: number) => string): string {
  return `${PROTOCOL_NAMES[protocol] ?? `protocol ${protocol}`} route ${describeBody(body, nameOf)}, metric ${metric}`
}

export function describeBody(body: RouteBody, nameOf: (interfaceIndex: number) => string): string {
  if (body.kind !== 'unicast') return body.kind === 'other' ? body.text : 'blackhole'
  const via = (hop: NextHop): string => {
    const far = farEnd(hop)
    return `${far === null ? '' : `via ${formatIp(far)} `}on ${nameOf(hop.interfaceIndex)}${hop.onlink ? ' onlink' : ''}`
  }
  return body.nextHops.map(via).join(' and ')
}

/** True if the two have a next hop in common, so that one may stand in for the other while it cannot be installed. */
export function shareNextHop(a: RouteBody, b: RouteBody): boolean {
  if (a.kind !== 'unicast' || b.kind !== 'unicast') return false
  const keys = new Set(a.nextHops.map(nextHopKey))
  return b.nextHops.some((hop) => keys.has(nextHopKey(hop)))
}

/** True if a route of `family` can have this body: gateways of its own family, or IPv6 gateways for IPv4 (RFC 8950). */
export function fitsFamily(body: RouteBody, family: IpFamily): boolean {
  if (body.kind !== 'unicast') return true
  return body.nextHops.every(({ gateway }) => gateway === null || family === 4 || familyOf(gateway) === 6)
}
