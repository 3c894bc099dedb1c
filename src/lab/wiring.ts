// The kernel's side of a lab as `ip -batch` input and sysctls: namespaces, cables, addresses, pods. Pure. A link is two veth
// pairs joined by a bridge in the namespace `wires`: taking the bridge's end down is a cut cable, both speakers lose carrier.
// Pods are wired as DESIGN decision 13 says: layer 3 only, a /32 and a /128 route, proxy ARP, no bridge.
import { FAMILIES, type Link, type Node, namespacesOf, type Plan, type Pod, type Port, type Speaker, speakersOf } from './plan.ts'

/** `ip -batch` input to run in one namespace (null: the host's), in order. */
export type IpBatch = { readonly netns: string | null; readonly lines: readonly string[] }
export type Sysctl = { readonly netns: string; readonly path: string; readonly value: string }

/** Every host end of a pod's link has this address, so a pod's neighbour entry outlives the link (locally administered). */
const HOST_END_MAC = 'ee:ee:ee:ee:ee:ee'
/** The link-local address that follows from it (RFC 4291 appendix A). */
const HOST_END_LINK_LOCAL = 'fe80::ecee:eeff:feee:eeee'
const POD_GATEWAY = '169.254.1.1'

/** The device in `wires` that one end of a link is plugged into. */
export function wireOf(link: Link, end: 0 | 1): string {
  return `${link.name}.${end}`
}

/** Namespaces, before anything is put into them. */
export function namespaceBatch(plan: Plan): IpBatch {
  return { netns: null, lines: [...namespacesOf(plan).values()].map((netns) => `netns add ${netns}`) }
}

/** Settings that must be there before the first device is. */
export function earlySysctls(plan: Plan): readonly Sysctl[] {
  const everywhere = [...namespacesOf(plan).values()].flatMap((netns) => [
    { netns, path: 'net/ipv6/conf/default/accept_dad', value: '0' }, // an address is usable at once
    { netns, path: 'net/ipv6/conf/default/accept_ra', value: '0' },
    { netns, path: 'net/ipv4/ping_group_range', value: '0 2147483647' }, // the prober's sockets
  ])
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

/** Settings of devices that exist by now. */
export function lateSysctls({ nodes }: Plan): readonly Sysctl[] {
  return nodes.flatMap(({ netns, pods }) =>
    pods.map(({ hostDevice }) => ({ netns, path: `net/ipv4/conf/${hostDevice}/proxy_arp`, value: '1' })),
  )
}

/** Devices, made from the host's namespace because each pair spans two others. */
export function deviceBatch(plan: Plan): IpBatch {
  const cables = plan.links.flatMap((link) =>
    ([0, 1] as const).map((end) => {
      const port = link.ends[end]
      return `link add ${port.device} netns ${netnsOf(plan, port)} type veth peer name ${wireOf(link, end)} netns ${plan.wires}`
    }),
  )
  const pods = plan.nodes.flatMap((node) =>
    node.pods.map(
      (pod) => `link add ${pod.hostDevice} netns ${node.netns} address ${HOST_END_MAC} type veth peer name eth0 netns ${pod.netns}`,
    ),
  )
  return { netns: null, lines: [...cables, ...pods] }
}

/** What is set up inside each namespace. */
export function insideBatches(plan: Plan): readonly IpBatch[] {
  return [
    { netns: plan.wires, lines: plan.links.flatMap(wireLines) },
    ...speakersOf(plan).map((speaker) => ({ netns: speaker.netns, lines: speakerLines(speaker) })),
    ...plan.nodes.map((node) => ({ netns: node.netns, lines: node.pods.flatMap(hostEndLines) })),
    ...plan.nodes.flatMap((node: Node) => node.pods.map((pod) => ({ netns: pod.netns, lines: podLines(pod) }))),
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

function hostEndLines({ hostDevice, address }: Pod): readonly string[] {
  return [
    `link set ${hostDevice} up`,
    // The kernel may have made this very address from the fixed MAC already (RFC 4862 §5.3), if the link came up first.
    `address replace ${HOST_END_LINK_LOCAL}/64 dev ${hostDevice} nodad`,
    ...FAMILIES.map((family) => `route add ${hostRoute(address[family])} dev ${hostDevice} scope link`),
  ]
}

function podLines({ address }: Pod): readonly string[] {
  return [
    'link set lo up',
    'link set eth0 up',
    `address add ${address.ipv4}/32 dev eth0`,
    `address add ${address.ipv6}/128 dev eth0 nodad`,
    `neigh add ${POD_GATEWAY} lladdr ${HOST_END_MAC} dev eth0 nud permanent`,
    `neigh add ${HOST_END_LINK_LOCAL} lladdr ${HOST_END_MAC} dev eth0 nud permanent`,
    `route add ${POD_GATEWAY} dev eth0 scope link`,
    `route add default via ${POD_GATEWAY} dev eth0`,
    `route add default via ${HOST_END_LINK_LOCAL} dev eth0`,
  ]
}

function hostRoute(address: string): string {
  return `${address}/${address.includes(':') ? 128 : 32}`
}

/** `ip` commands in `wires` that cut a cable (both ends lose carrier), or mend it. */
export function cutLines(link: Link, isUp: boolean): readonly string[] {
  return ([0, 1] as const).map((end) => `link set ${wireOf(link, end)} ${isUp ? 'up' : 'down'}`)
}
