// One policy and one direction to its program, and policies that select an endpoint to the program of that endpoint.
import { contentName } from '../lib/content-name.ts'
import { unreachable } from '../lib/result.ts'
import { bitsOf, familyOf, formatIp, formatPrefix, type IpFamily, type Prefix } from '../net/index.ts'
import { type Block, unionOf } from './blocks.ts'
import type { ClusterPolicy, ClusterPolicyRule, Direction, NetworkPolicy, Peer, PortMatch, PortProtocol } from './model.ts'
import type { AddressSet, EndpointProgram, PeerMatch, PolicyProgram, PortRange, PortsMatch, ProgramRule, SetSpec } from './program.ts'
import { toPodSelector, toSelector } from './selector.ts'

const FAMILIES: readonly IpFamily[] = [4, 6]
const PROTOCOLS: readonly PortProtocol[] = ['TCP', 'UDP', 'SCTP']
const ACTIONS = { Accept: 'accept', Deny: 'deny', Pass: 'pass' } as const

export function compileNetworkPolicy(policy: NetworkPolicy, direction: Direction): PolicyProgram {
  const rules = policy.rules[direction].flatMap(({ peers, ports }, rule) => {
    const matches = compileMatches(peers, ports, direction)
    return matches === null ? [] : [{ action: 'accept', ...matches, rule, ruleName: '' } as const]
  })
  return toProgram(direction, null, rules)
}

export function compileClusterPolicy(policy: ClusterPolicy, direction: Direction): PolicyProgram {
  const rules = policy.rules[direction].flatMap((rule, index) => compileClusterRule(policy, rule, index, direction))
  return toProgram(direction, { tier: policy.tier, name: policy.name }, rules)
}

/** What is not known fails closed: a rule that accepts is left out, any other denies everything. */
function compileClusterRule(
  policy: ClusterPolicy,
  { name, action, peers, ports }: ClusterPolicyRule,
  rule: number,
  direction: Direction,
): readonly ProgramRule[] {
  const isKnown = peers.length > 0 && [...peers, ...(ports ?? [])].every(({ kind }) => kind !== 'unknown')
  if (!isKnown || (policy.subject === null && action !== 'Deny')) {
    return action === 'Accept' ? [] : [{ action: 'deny', peers: null, ports: null, rule, ruleName: name }]
  }
  const matches = compileMatches(peers, ports, direction)
  return matches === null ? [] : [{ action: ACTIONS[action], ...matches, rule, ruleName: name }]
}

/** What is selected for an endpoint in one direction; null: nothing restricts it. */
export function composeProgram(
  direction: Direction,
  policies: {
    readonly admin: readonly PolicyProgram[]
    readonly baseline: readonly PolicyProgram[]
    /** Keys with programs, of those that isolate. */
    readonly isolating: readonly (readonly [key: string, program: PolicyProgram])[]
  },
  exemptsOwnNode: boolean,
): EndpointProgram | null {
  const withRules = (programs: readonly PolicyProgram[]) => programs.filter(({ rules }) => rules.length > 0)
  const admin = withRules(policies.admin)
  const isIsolated = policies.isolating.length > 0
  const baseline = isIsolated ? [] : withRules(policies.baseline)
  if (admin.length === 0 && baseline.length === 0 && !isIsolated) return null
  const by = policies.isolating.map(([key]) => key).sort()
  const admits = [...new Map(withRules(policies.isolating.map(([, program]) => program)).map((each) => [each.id, each])).values()]
  admits.sort((a, b) => (a.id < b.id ? -1 : 1))
  const isolation = isIsolated ? { by, admits, exemptsOwnNode: exemptsOwnNode && direction === 'egress' } : null
  const ids = (programs: readonly PolicyProgram[]) => programs.map(({ id }) => id)
  const content = [direction, ids(admin), isolation === null ? null : [by, ids(admits), isolation.exemptsOwnNode], ids(baseline)]
  return { id: contentName(JSON.stringify(content)), direction, admin, isolation, baseline }
}

function toProgram(direction: Direction, cluster: PolicyProgram['cluster'], rules: readonly ProgramRule[]): PolicyProgram {
  const sets = new Map<string, AddressSet>()
  for (const { peers, ports } of rules) {
    for (const peer of peers ?? []) if (peer.kind === 'set') sets.set(peer.set.id, peer.set)
    for (const port of ports ?? []) if (port.kind === 'named') sets.set(port.set.id, port.set)
  }
  return {
    id: contentName(JSON.stringify([direction, cluster, rules.map(contentOf)])),
    direction,
    cluster,
    rules,
    sets: [...sets.values()],
  }

  function contentOf({ action, peers, ports, rule, ruleName }: ProgramRule): unknown {
    const peerIds = peers?.map((peer) => (peer.kind === 'set' ? peer.set.id : peer.family)) ?? null
    const portIds = ports?.map((port) => (port.kind === 'named' ? port.set.id : port)) ?? null
    return [action, peerIds, portIds, ...(cluster === null ? [] : [rule, ruleName])]
  }
}

/** Null: it can match nothing. */
function compileMatches(
  peers: readonly Peer[] | null,
  ports: readonly PortMatch[] | null,
  direction: Direction,
): Pick<ProgramRule, 'peers' | 'ports'> | null {
  const matches = { peers: peers === null ? null : compilePeers(peers), ports: ports === null ? null : compilePorts(ports, direction) }
  return matches.peers?.length === 0 || matches.ports?.length === 0 ? null : matches
}

/** Each set once; all prefixes of a rule are one set. */
function compilePeers(peers: readonly Peer[]): readonly PeerMatch[] {
  const sets = new Map<string, AddressSet>()
  const blocks: Block[] = []
  for (const peer of peers) {
    switch (peer.kind) {
      case 'pods':
        add({ kind: 'pods', select: toPodSelector(peer) })
        break
      case 'nodes':
        add({ kind: 'nodes', select: toSelector(peer.selector) })
        break
      case 'block':
        blocks.push(peer)
        break
      case 'networks':
        blocks.push(...peer.networks.map((cidr) => ({ cidr, except: [] })))
        break
      case 'unknown':
        break
      default:
        unreachable(peer)
    }
  }
  const unions = { 4: unionOf(4, blocks), 6: unionOf(6, blocks) }
  const textsOf = (family: IpFamily): readonly string[] => (unions[family] === 'all' ? [] : unions[family].map(formatMember))
  const prefixes = { 4: textsOf(4), 6: textsOf(6) }
  if (prefixes[4].length + prefixes[6].length > 0) add({ kind: 'networks', prefixes })
  const whole = FAMILIES.filter((family) => unions[family] === 'all')
  return [
    ...whole.map((family) => ({ kind: 'family', family }) as const),
    ...[...sets.values()].map((set) => ({ kind: 'set', set }) as const),
  ]

  function add(spec: SetSpec): void {
    const set = toSet(spec)
    sets.set(set.id, set)
  }
}

/** As ipset prints it. */
function formatMember(network: Prefix): string {
  return network.length === bitsOf(familyOf(network.address)) ? formatIp(network.address) : formatPrefix(network)
}

function toSet(spec: SetSpec): AddressSet {
  return { id: contentName(JSON.stringify(spec)), spec }
}

/** One item a protocol, then the named ports. */
function compilePorts(ports: readonly PortMatch[], direction: Direction): readonly PortsMatch[] {
  const matches: PortsMatch[] = []
  for (const protocol of PROTOCOLS) {
    if (ports.some((port) => port.kind === 'protocol' && port.protocol === protocol)) matches.push({ kind: 'protocol', protocol })
    else {
      const ranges = ports.filter((port) => port.kind === 'range').filter((port) => port.protocol === protocol)
      if (ranges.length > 0) matches.push({ kind: 'ports', protocol, ranges: joinRanges(ranges) })
    }
  }
  const named = new Map<string, AddressSet>()
  for (const port of ports) {
    if (port.kind !== 'named') continue
    // The destination of what comes in is a pod of this node.
    const of = direction === 'ingress' ? 'local' : 'everyPod'
    const set = toSet({ kind: 'namedPort', of, name: port.name, protocol: port.protocol })
    named.set(set.id, set)
  }
  return [...matches, ...[...named.values()].map((set) => ({ kind: 'named', set }) as const)]
}

/** Sorted; what overlaps or touches is one. */
function joinRanges(ranges: readonly PortRange[]): readonly PortRange[] {
  const joined: { first: number; last: number }[] = []
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = joined.at(-1)
    if (before === undefined || first > before.last + 1) joined.push({ first, last })
    else before.last = Math.max(before.last, last)
  }
  return joined
}
