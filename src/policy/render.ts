// Programs to chains of iptables, a pure function of each. Rules are spelled as iptables-save prints them.
//
// A decision is two bits of the mark: none yet, accept, deny, pass. A rule that matches goes (-g) to a chain that sets them and so
// returns to whoever jumped (-j) to the policy. An endpoint's chain drops what is denied, clears the bits, and ends: what it lets
// through goes on to the rules of others.
import { contentName } from '../lib/content-name.ts'
import { unreachable } from '../lib/result.ts'
import type { IpFamily } from '../net/index.ts'
import type { Chain, IpSet, Rule } from '../netfilter/index.ts'
import type { DropCounter } from './contract.ts'
import type { Direction, PortProtocol } from './model.ts'
import { adminChain, CHAIN, endpointChain, policyChain, portsChain, programChain, setName } from './names.ts'
import type {
  AddressSet,
  EndpointProgram,
  EndpointRules,
  PeerMatch,
  PolicyProgram,
  PortRange,
  PortsMatch,
  ProgramAction,
  ProgramRule,
} from './program.ts'

/** Two adjacent bits of the packet mark. */
export type MarkBits = { readonly decided: number; readonly mask: number }
export type RenderedChain = Chain & {
  /** Which of its rules count drops, and of what. */
  readonly drops: readonly Pick<DropCounter, 'rule' | 'direction' | 'of'>[]
}

/** Slots of one multiport match; a range takes two (XT_MULTI_PORTS). */
const MULTIPORT_SLOTS = 15
const NO_DROPS: RenderedChain['drops'] = []

/** `bit` and the one above it. */
export function markBits(bit: number): MarkBits {
  return { decided: bit, mask: bit * 3 }
}

export function setTypeOf({ spec }: AddressSet): IpSet['type'] {
  switch (spec.kind) {
    case 'pods':
    case 'nodes':
      return 'hash:ip'
    case 'networks':
      return 'hash:net'
    case 'namedPort':
      return 'hash:ip,port'
    default:
      return unreachable(spec)
  }
}

// --- Marks ---------------------------------------------------------------------------------------------------------------------

function isNotUndecided({ mask }: MarkBits): Rule {
  return ['-m', 'mark', '!', '--mark', `0x0/${hex(mask)}`]
}

/** Accepted or denied, but not passed. */
function isDecided({ decided }: MarkBits): Rule {
  return ['-m', 'mark', '--mark', `${hex(decided)}/${hex(decided)}`]
}

function isDenied({ mask }: MarkBits): Rule {
  return ['-m', 'mark', '--mark', `${hex(mask)}/${hex(mask)}`]
}

export function clearMark(bits: MarkBits): Rule {
  return setMark(bits, 0)
}

function setMark({ mask }: MarkBits, value: number): Rule {
  return ['-j', 'MARK', '--set-xmark', `${hex(value)}/${hex(mask)}`]
}

function hex(value: number): string {
  return `0x${value.toString(16)}`
}

/** The chains that rules go to. */
export function renderMarkChains(bits: MarkBits): readonly RenderedChain[] {
  const { decided, mask } = bits
  return [
    chain(CHAIN.accept, [setMark(bits, decided)]),
    chain(CHAIN.deny, [setMark(bits, mask)]),
    chain(CHAIN.pass, [setMark(bits, mask - decided)]),
    chain(CHAIN.clear, [clearMark(bits)]),
  ]
}

const TARGET: { readonly [A in ProgramAction]: string } = { accept: CHAIN.accept, deny: CHAIN.deny, pass: CHAIN.pass }

function chain(name: string, rules: readonly Rule[], drops: RenderedChain['drops'] = NO_DROPS): RenderedChain {
  return { table: 'filter', name, rules, drops }
}

// --- Policies ------------------------------------------------------------------------------------------------------------------

/** The chain of one policy first, then those that it jumps to: they may be shared with other policies. */
export function renderPolicy(family: IpFamily, policy: PolicyProgram, bits: MarkBits): readonly RenderedChain[] {
  const rules: Rule[] = []
  const drops: RenderedChain['drops'][number][] = []
  const others: RenderedChain[] = []
  for (const rule of policy.rules) {
    const { lines, extra } = renderRule(family, rule, policy, bits)
    if (rule.action === 'deny' && policy.cluster !== null) {
      const { tier, name } = policy.cluster
      const of = { kind: 'policy', tier, policy: name, rule: rule.rule, ruleName: rule.ruleName } as const
      for (const at of lines.keys()) drops.push({ rule: rules.length + at, direction: policy.direction, of })
    }
    rules.push(...lines)
    others.push(...extra)
  }
  return [chain(policyChain(policy), rules, drops), ...others]
}

type RenderedRule = { readonly lines: readonly Rule[]; readonly extra: readonly RenderedChain[] }
const NO_LINES: RenderedRule = { lines: [], extra: [] }

function renderRule(
  family: IpFamily,
  { action, peers, ports }: ProgramRule,
  { direction, cluster }: PolicyProgram,
  bits: MarkBits,
): RenderedRule {
  const peerMatches = peers === null ? [[]] : peers.flatMap((peer) => renderPeer(family, peer, direction))
  if (peerMatches.length === 0) return NO_LINES // all peers are of the other family
  const portMatches = ports === null ? [PLAIN] : ports.flatMap((port) => renderPorts(family, port))
  const go: Rule = ['-g', TARGET[action]]
  const product = peerMatches.length * portMatches.length
  // Rules of a ClusterNetworkPolicy are at most 25 by 25, and their lines count drops: they stay in its own chain.
  if (cluster !== null || product <= peerMatches.length + portMatches.length + 1) {
    const lines = peerMatches.flatMap((peer) => portMatches.map((port): Rule => [...port.protocol, ...peer, ...port.match, ...go]))
    return { lines, extra: [] }
  }
  const body = portMatches.map((port): Rule => [...port.protocol, ...port.match, ...go])
  const inner = chain(portsChain(contentName(JSON.stringify(body))), body)
  const lines = [...peerMatches.map((peer): Rule => [...peer, '-j', inner.name]), [...isNotUndecided(bits), '-j', 'RETURN']]
  return { lines, extra: [inner] }
}

/** Empty: nobody of this family. */
function renderPeer(family: IpFamily, peer: PeerMatch, direction: Direction): readonly Rule[] {
  if (peer.kind === 'family') return peer.family === family ? [[]] : []
  const { spec } = peer.set
  if (spec.kind === 'networks' && spec.prefixes[family].length === 0) return []
  return [matchSet(setName(family, peer.set), direction === 'ingress' ? 'src' : 'dst')]
}

/** iptables prints the protocol before all other matches. */
type PortLine = { readonly protocol: Rule; readonly match: Rule }
const PLAIN: PortLine = { protocol: [], match: [] }

function renderPorts(family: IpFamily, ports: PortsMatch): readonly PortLine[] {
  switch (ports.kind) {
    case 'protocol':
      return [{ protocol: ['-p', nameOf(ports.protocol)], match: [] }]
    case 'ports':
      return inGroups(ports.ranges).map((group) => ({ protocol: ['-p', nameOf(ports.protocol)], match: matchPorts(ports.protocol, group) }))
    case 'named':
      return [{ protocol: [], match: matchSet(setName(family, ports.set), 'dst,dst') }]
    default:
      return unreachable(ports)
  }
}

function nameOf(protocol: PortProtocol): string {
  return protocol.toLowerCase()
}

/** Not every kernel has xt_sctp, and multiport does what it would. */
function matchPorts(protocol: PortProtocol, ranges: readonly PortRange[]): Rule {
  const [only] = ranges
  if (ranges.length === 1 && only !== undefined && protocol !== 'SCTP') return ['-m', nameOf(protocol), '--dport', formatRange(only)]
  return ['-m', 'multiport', '--dports', ranges.map(formatRange).join(',')]
}

function formatRange({ first, last }: PortRange): string {
  return first === last ? String(first) : `${first}:${last}`
}

function inGroups(ranges: readonly PortRange[]): readonly (readonly PortRange[])[] {
  const groups: PortRange[][] = []
  let free = 0
  for (const range of ranges) {
    const slots = range.first === range.last ? 1 : 2
    if (slots > free) {
      groups.push([])
      free = MULTIPORT_SLOTS
    }
    groups.at(-1)?.push(range)
    free -= slots
  }
  return groups
}

function matchSet(name: string, direction: 'src' | 'dst' | 'dst,dst'): Rule {
  return ['-m', 'set', '--match-set', name, direction]
}

// --- Endpoints -----------------------------------------------------------------------------------------------------------------

/** The chain of a program first, then that of its Admin tier, if it needs one. Of one family as of the other. */
export function renderProgram(program: EndpointProgram, bits: MarkBits): readonly RenderedChain[] {
  const { direction, admin, isolation, baseline } = program
  const others: RenderedChain[] = []
  const rules: Rule[] = []
  const drops: RenderedChain['drops'][number][] = []
  const jump = (policy: PolicyProgram): Rule => ['-j', policyChain(policy)]
  const unlessUndecided: Rule = [...isNotUndecided(bits), '-j', 'RETURN']
  const ifDecided: Rule = [...isDecided(bits), '-j', 'RETURN']
  if (admin.some((policy) => policy.rules.some(({ action }) => action === 'pass'))) {
    const body = admin.flatMap((policy) => [jump(policy), unlessUndecided])
    const tier = chain(adminChain(contentName(JSON.stringify(body))), body)
    others.push(tier)
    rules.push(['-j', tier.name], ifDecided, clearMark(bits))
  } else rules.push(...admin.flatMap((policy) => [jump(policy), ifDecided]))
  if (isolation === null) rules.push(...baseline.flatMap((policy) => [jump(policy), unlessUndecided]))
  else {
    // In FORWARD no destination is of this host; in INPUT each is.
    if (isolation.exemptsOwnNode) rules.push(['-m', 'addrtype', '--dst-type', 'LOCAL', '-g', CHAIN.accept])
    rules.push(...isolation.admits.flatMap((policy) => [jump(policy), ifDecided]))
    drops.push({ rule: rules.length, direction, of: { kind: 'isolation', policies: isolation.by } })
    rules.push(['-g', CHAIN.deny])
  }
  return [chain(programChain(program), rules, drops), ...others]
}

/** Null: nothing restricts the endpoint in this direction, so it needs no chain. */
export function renderEndpoint(direction: Direction, name: string, rules: EndpointRules, bits: MarkBits): RenderedChain | null {
  const of = { kind: 'endpoint', interface: name } as const
  const own = endpointChain(direction, name)
  if (rules === 'open') return null
  if (rules === 'closed') return chain(own, [['-j', 'DROP']], [{ rule: 0, direction, of }])
  // Nothing in it is an extension to nft (a target like MARK is): those it adds only when all that was taken away before is really gone.
  const body: readonly Rule[] = [
    ['-j', programChain(rules)],
    [...isDenied(bits), '-j', 'DROP'],
    ['-g', CHAIN.clear],
  ]
  return chain(own, body, [{ rule: 1, direction, of }])
}
