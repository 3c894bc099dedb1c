// From a topology to everything that has a name or an address: speakers, pods, links, sessions. Pure: the same topology always
// gives the same lab, so a second `lab up` finds what it expects.
import { createAddressing, type DualAddress } from './addressing.ts'
import type { Topology } from './topology.ts'

export type RouterKind = 'fibula' | 'bird' | 'frr' | 'gobgp'
export const ROUTER_KINDS: readonly RouterKind[] = ['fibula', 'bird', 'frr', 'gobgp']

/** One end of a link, inside the namespace of its speaker. */
export type Port = {
  readonly speaker: string
  readonly device: string
  readonly address: DualAddress
}

export type Link = {
  readonly name: string
  readonly kind: 'spine' | 'rack'
  readonly ends: readonly [Port, Port]
}

/** A pod there is to be. Its addresses are for the agent of its node to give. */
export type PlannedPod = { readonly name: string; readonly node: string; readonly netns: string }

export type Speaker = {
  readonly name: string
  readonly role: 'node' | 'router'
  readonly rack: string
  readonly asn: number
  readonly netns: string
  readonly loopback: DualAddress
  readonly ports: readonly Port[]
}

export type Node = Speaker & {
  readonly role: 'node'
  readonly pods: readonly PlannedPod[]
}
export type Router = Speaker & { readonly role: 'router' }

/** One end of a BGP session: what `speaker` is configured with. */
export type Session = {
  readonly speaker: string
  /** Name of the peer, unique on the speaker and among the nodes: `tor-a-v4`, `node-1-tor-a-v4`, `tor-b-spine-1-v4`. */
  readonly peer: string
  readonly remote: string
  readonly remoteAsn: number
  readonly link: string
  readonly family: 'ipv4' | 'ipv6'
  readonly localAddress: string
  readonly remoteAddress: string
}

export type Plan = {
  readonly name: string
  readonly routerKind: RouterKind
  /** Begins the name of every namespace. */
  readonly netnsPrefix: string
  readonly pools: DualAddress
  readonly blockSize: { readonly ipv4: number; readonly ipv6: number }
  /** The range of the loopbacks of all speakers. */
  readonly loopbacks: DualAddress
  readonly nodes: readonly Node[]
  readonly routers: readonly Router[]
  readonly links: readonly Link[]
  readonly sessions: readonly Session[]
  /** The namespace the cables run through. */
  readonly wires: string
}

export type PlanOptions = {
  readonly routerKind: RouterKind /** Begins the name of every namespace, e.g. `fiblab-`. */
  readonly netnsPrefix: string
}

export const FAMILIES = ['ipv4', 'ipv6'] as const

/** BGP timers of the lab: short, so that a person need not wait for a silent failure. */
export const HOLD_TIME_SECONDS = 9
export const KEEPALIVE_SECONDS = 3
export const RESTART_TIME_SECONDS = 120

/** Plans the lab of a checked topology. */
export function planLab(topology: Topology, { routerKind, netnsPrefix }: PlanOptions): Plan {
  const addressing = createAddressing(topology)
  const routerNames = new Set(topology.routers.map(({ name }) => name))
  const uplinks = new Map<string, number>()
  const deviceOf = (speaker: string, link: string): string => {
    if (routerNames.has(speaker)) return link
    const count = uplinks.get(speaker) ?? 0
    uplinks.set(speaker, count + 1)
    return `eth${count}`
  }
  const links = topology.links.map(({ name, between }, at): Link => {
    const [first, second] = between
    const port = (speaker: string, side: 0 | 1): Port => ({
      speaker,
      device: deviceOf(speaker, name),
      address: addressing.linkEnd(at, side),
    })
    return { name, kind: between.every((end) => routerNames.has(end)) ? 'spine' : 'rack', ends: [port(first, 0), port(second, 1)] }
  })
  const portsOf = (speaker: string): readonly Port[] => links.flatMap(({ ends }) => ends).filter((port) => port.speaker === speaker)
  const netnsOf = (name: string): string => `${netnsPrefix}${name}`
  const routers = topology.routers.map(({ name, rack, asNumber }, at): Router => {
    return {
      name,
      role: 'router',
      rack,
      asn: asNumber,
      netns: netnsOf(name),
      loopback: addressing.routerLoopback(at),
      ports: portsOf(name),
    }
  })
  const nodes = topology.nodes.map(
    ({ name, rack, asNumber, pods }, at): Node => ({
      name,
      role: 'node',
      rack,
      asn: asNumber,
      netns: netnsOf(name),
      loopback: addressing.nodeLoopback(at),
      ports: portsOf(name),
      pods: pods.map((pod) => ({ name: pod, node: name, netns: netnsOf(pod) })),
    }),
  )
  const { pools, loopbacks } = addressing
  const { blockSize } = topology.cluster
  const sessions = planSessions(links, [...routers, ...nodes])
  return {
    name: topology.name,
    routerKind,
    netnsPrefix,
    pools,
    blockSize,
    loopbacks,
    nodes,
    routers,
    links,
    sessions,
    wires: netnsOf('wires'),
  }
}

/** Two sessions a link, one for each family and over it, each seen from both ends. */
function planSessions(links: readonly Link[], speakers: readonly Speaker[]): readonly Session[] {
  const asnOf = new Map(speakers.map(({ name, asn }) => [name, asn]))
  const roleOf = new Map(speakers.map(({ name, role }) => [name, role]))
  const isParallel = (link: Link): boolean => links.filter((other) => joinsSame(link, other)).length > 1
  return links.flatMap((link) =>
    FAMILIES.flatMap((family) => {
      const end = (local: Port, remote: Port): Session => ({
        speaker: local.speaker,
        // the nodes share one folder of manifests, so there the name says whose session it is
        peer: [
          ...(roleOf.get(local.speaker) === 'node' ? [local.speaker] : []),
          remote.speaker,
          ...(isParallel(link) ? [link.name] : []),
          family === 'ipv4' ? 'v4' : 'v6',
        ].join('-'),
        remote: remote.speaker,
        remoteAsn: asnOf.get(remote.speaker) ?? 0,
        link: link.name,
        family,
        localAddress: local.address[family],
        remoteAddress: remote.address[family],
      })
      const [first, second] = link.ends
      return [end(first, second), end(second, first)]
    }),
  )
}

function joinsSame(a: Link, b: Link): boolean {
  const [first, second] = a.ends.map(({ speaker }) => speaker)
  return b.ends.every(({ speaker }) => speaker === first || speaker === second)
}

/** Speakers that run `fibula agent`: the nodes, and the routers unless they are real daemons. */
export function fibulaSpeakers({ nodes, routers, routerKind }: Plan): readonly Speaker[] {
  return routerKind === 'fibula' ? [...routers, ...nodes] : nodes
}

export function speakersOf({ nodes, routers }: Plan): readonly Speaker[] {
  return [...routers, ...nodes]
}

export function plannedPods({ nodes }: Plan): readonly PlannedPod[] {
  return nodes.flatMap(({ pods }) => pods)
}

/** Every namespace a lab begins with, by the name people use for it. */
export function namespacesOf(plan: Plan): ReadonlyMap<string, string> {
  const places = [...speakersOf(plan), ...plannedPods(plan)].map(({ name, netns }) => [name, netns] as const)
  return new Map([...places, ['wires', plan.wires]])
}

export function sessionsOf({ sessions }: Plan, speaker: string): readonly Session[] {
  return sessions.filter((session) => session.speaker === speaker)
}
