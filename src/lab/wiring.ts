// The kernel's side of a lab as `ip -batch` input and sysctls: namespaces, cables, addresses. Pure. A link is two veth pairs
// joined by a bridge in the namespace `wires`: taking the bridge's end down is a cut cable, both speakers lose carrier. The links
// of pods are for the agents to make.
import { type Link, namespacesOf, type Plan, type Port, type Speaker, speakersOf } from './plan.ts'

/** `ip -batch` input to run in one namespace (null: the host's), in order. */
export type IpBatch = { readonly netns: string | null; readonly lines: readonly string[] }
export type Sysctl = { readonly netns: string; readonly path: string; readonly value: string }

/** The device in `wires` that one end of a link is plugged into. */
export function wireOf(link: Link, end: 0 | 1): string {
  return `${link.name}.${end}`
}

/** Namespaces, before anything is put into them. */
export function namespaceBatch(plan: Plan): IpBatch {
  return { netns: null, lines: [...namespacesOf(plan).values()].map((netns) => `netns add ${netns}`) }
}

/** Settings of a namespace that must be there before its first device is. */
export function namespaceSysctls(netns: string): readonly Sysctl[] {
  return [
    { netns, path: 'net/ipv6/conf/default/accept_dad', value: '0' }, // an address is usable at once
    { netns, path: 'net/ipv6/conf/default/accept_ra', value: '0' },
    { netns, path: 'net/ipv4/ping_group_range', value: '0 2147483647' }, // the prober's sockets
  ]
}

/** Settings of all namespaces a lab begins with. */
export function earlySysctls(plan: Plan): readonly Sysctl[] {
  const everywhere = [...namespacesOf(plan).values()].flatMap(namespaceSysctls)
  const wires = [{ netns: plan.wires, path: 'net/ipv6/conf/default/disable_ipv6', value: '1' }]
  return [...everywhere, ...wires, ...(plan.routerKind === 'fibula' ? [] : plan.routers.flatMap(routerSysctls))]
}

/** What `fibula agent` sets by itself and the other daemons leave to the administrator. */
function routerSysctls({ netns }: Speaker): readonly Sysctl[] {
  return [
    { netns, path: 'net/ipv4/ip_forward', value: '1' },
    { netns, path: 'net/ipv6/conf/all/forwarding', value: '1' },
    { netns, path: 'net/ipv4/conf/all/rp_filter', value: '2' },
    { netns, path: 'net/ipv4/fib_multipath_hash_policy', value: '1' },
    { netns, path: 'net/ipv6/fib_multipath_hash_policy', value: '1' },
    // the kernel leaves next hops behind a dead cable alone, also where the daemon does not watch links (GoBGP)
    { netns, path: 'net/ipv4/conf/all/ignore_routes_with_linkdown', value: '1' },
    { netns, path: 'net/ipv6/conf/all/ignore_routes_with_linkdown', value: '1' },
    { netns, path: 'net/ipv4/conf/default/ignore_routes_with_linkdown', value: '1' },
    { netns, path: 'net/ipv6/conf/default/ignore_routes_with_linkdown', value: '1' },
  ]
}

/** Devices, made from the host's namespace because each pair spans two others. */
export function deviceBatch(plan: Plan): IpBatch {
  const cables = plan.links.flatMap((link) =>
    ([0, 1] as const).map((end) => {
      const port = link.ends[end]
      return `link add ${port.device} netns ${netnsOf(plan, port)} type veth peer name ${wireOf(link, end)} netns ${plan.wires}`
    }),
  )
  return { netns: null, lines: cables }
}

/** What is set up inside each namespace. */
export function insideBatches(plan: Plan): readonly IpBatch[] {
  return [
    { netns: plan.wires, lines: plan.links.flatMap(wireLines) },
    ...speakersOf(plan).map((speaker) => ({ netns: speaker.netns, lines: speakerLines(speaker) })),
  ]
}

function netnsOf(plan: Plan, port: Port): string {
  const speaker = speakersOf(plan).find(({ name }) => name === port.speaker)
  if (speaker === undefined) throw new RangeError(`no speaker ${port.speaker}`)
  return speaker.netns
}

function wireLines(link: Link): readonly string[] {
  const ends = [wireOf(link, 0), wireOf(link, 1)]
  return [
    `link add ${link.name} type bridge stp_state 0 mcast_snooping 0`,
    `link set ${link.name} up`,
    ...ends.flatMap((end) => [`link set ${end} master ${link.name}`, `link set ${end} up`]),
  ]
}

function speakerLines({ loopback, ports }: Speaker): readonly string[] {
  return [
    'link set lo up',
    `address add ${loopback.ipv4}/32 dev lo`,
    `address add ${loopback.ipv6}/128 dev lo`,
    ...ports.flatMap(({ device, address }) => [
      `address add ${address.ipv4}/31 dev ${device}`,
      `address add ${address.ipv6}/127 dev ${device} nodad`,
      `link set ${device} up`,
    ]),
  ]
}

/** `ip` commands in `wires` that cut a cable (both ends lose carrier), or mend it. */
export function cutLines(link: Link, isUp: boolean): readonly string[] {
  return ([0, 1] as const).map((end) => `link set ${wireOf(link, end)} ${isUp ? 'up' : 'down'}`)
}
