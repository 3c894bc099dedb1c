// The few rules that pods need before there is any policy: outgoing NAT, forwarding where its policy is DROP, and guards of
// tunnels, of source addresses, and against loops of packets for services. A pure function from what the node knows to chains and sets; `README.md` says why each is so.
// Rules are spelled as iptables-save prints them, so that a restart finds nothing to write.
import { bitsOf, familyOf, formatIp, formatPrefix, type IpAddress, type IpFamily, type Prefix, prefixFamily } from '../../net/index.ts'
import type { Chain, Hook, IpSet, Rule, Ruleset } from '../../netfilter/index.ts'

/** Interface pattern of pods' host ends: `fib` and eleven hex digits. It matches our tunnel devices too, see `TUNNEL_DEVICES`. */
export const POD_INTERFACES = 'fib+'
/** Interface pattern of our tunnel devices `fibipip` and `fibip6tnl`: no pod's host end has an `i` there. */
export const TUNNEL_DEVICES = 'fibi+'

export type GuardPool = { readonly range: Prefix; readonly natOutgoing: boolean }

/** The tunnel of one family. */
export type TunnelGuard = {
  /** Device name, e.g. `fibipip`. */
  readonly device: string
  /** Underlay addresses of all cluster nodes that may send us encapsulated packets. */
  readonly nodeAddresses: readonly IpAddress[]
}

export type GuardInput = {
  /** Families this host speaks: nothing is rendered for others. */
  readonly families: readonly IpFamily[]
  /** All pools, also those without outgoing NAT and those that are disabled: they are destinations to leave alone. */
  readonly pools: readonly GuardPool[]
  /** Every address of every cluster node: reached with the pod's own address. */
  readonly nodeAddresses: readonly IpAddress[]
  /** By family; null where no pool tunnels. */
  readonly tunnels: { readonly [F in IpFamily]: TunnelGuard | null }
  /** Ranges of services: nothing for them is forwarded any further, since what forwards them would have translated it. */
  readonly serviceRanges?: readonly Prefix[]
}

type FamilyRules = { readonly chains: readonly Chain[]; readonly hooks: readonly Hook[]; readonly sets: readonly IpSet[] }

const NOTHING: FamilyRules = { chains: [], hooks: [], sets: [] }
const FROM_POD: Rule = ['-i', POD_INTERFACES]
const TO_POD: Rule = ['-o', POD_INTERFACES]
/** IPv4 in IPv4 (RFC 2003); IPv6 in IPv6 and, since an ip6tnl device may take both, IPv4 in IPv6 (RFC 2473). */
const TUNNEL_PROTOCOLS: { readonly [F in IpFamily]: readonly string[] } = { 4: ['4'], 6: ['41', '4'] }

/** Chains, hooks and sets for this input. Equal input gives equal output. */
export function renderGuards(input: GuardInput): Ruleset {
  const rules = (family: IpFamily): FamilyRules => {
    if (!input.families.includes(family)) return NOTHING
    const tunnel = input.tunnels[family]
    return join([
      natOutgoing(family, input),
      guardServices(family, input.serviceRanges ?? []),
      acceptForwarding(),
      guardSources(family, tunnel),
      tunnel === null ? NOTHING : guardTunnel(family, tunnel),
    ])
  }
  const [four, six] = [rules(4), rules(6)]
  return {
    sets: [...four.sets, ...six.sets],
    families: { 4: { chains: four.chains, hooks: four.hooks }, 6: { chains: six.chains, hooks: six.hooks } },
  }
}

/** Packets of a pod that leave all pools and go to no node take the node's address. Last: kube-proxy's own masquerade comes first. */
function natOutgoing(family: IpFamily, { pools, nodeAddresses }: GuardInput): FamilyRules {
  const ours = pools.filter(({ range }) => prefixFamily(range) === family)
  if (!ours.some((pool) => pool.natOutgoing)) return NOTHING
  const [all, masqueraded, nodes] = [`fib${family}-pools`, `fib${family}-nat-pools`, `fib${family}-nodes`]
  const rule: Rule = [
    ...matchSet(masqueraded, 'src'),
    ...matchSet(all, 'dst', '!'),
    ...matchSet(nodes, 'dst', '!'),
    '-j',
    'MASQUERADE',
    '--random-fully',
  ]
  return {
    chains: [{ table: 'nat', name: 'fib-nat-out', rules: [rule] }],
    hooks: [{ table: 'nat', chain: 'POSTROUTING', position: 'last', jumpTo: 'fib-nat-out', match: [] }],
    sets: [
      netSet(all, family, ours),
      netSet(
        masqueraded,
        family,
        ours.filter((pool) => pool.natOutgoing),
      ),
      addressSet(nodes, family, nodeAddresses),
    ],
  }
}

/**
 * A service address is translated in PREROUTING, or not at all. What reaches FORWARD untranslated would go back to the router that has
 * its route from us, and so on until its TTL ends. Last, so that kube-proxy's own answer, a REJECT for want of endpoints, comes first.
 */
function guardServices(family: IpFamily, ranges: readonly Prefix[]): FamilyRules {
  const ours = ranges.filter((range) => prefixFamily(range) === family)
  if (ours.length === 0) return NOTHING
  const set = `fib${family}-services`
  return {
    chains: [{ table: 'filter', name: 'fib-services', rules: [[...matchSet(set, 'dst'), '-j', 'DROP']] }],
    hooks: [{ table: 'filter', chain: 'FORWARD', position: 'last', jumpTo: 'fib-services', match: ['!', ...TO_POD] }],
    sets: [
      netSet(
        set,
        family,
        ours.map((range) => ({ range })),
      ),
    ],
  }
}

/**
 * Last, so that everybody's drops come first and only the chain's policy (DROP where Docker runs) is overruled. A namespace tracks connections
 * only while a rule asks for it: one does, so that the first policy finds those that there are, and does not take them for new.
 */
function acceptForwarding(): FamilyRules {
  return {
    chains: [
      {
        table: 'filter',
        name: 'fib-accept-from',
        rules: [
          ['-i', TUNNEL_DEVICES, '-j', 'RETURN'],
          ['-j', 'ACCEPT'],
        ],
      },
      {
        table: 'filter',
        name: 'fib-accept-to',
        rules: [
          ['-o', TUNNEL_DEVICES, '-j', 'RETURN'],
          ['-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED', '-j', 'ACCEPT'],
          ['-j', 'ACCEPT'],
        ],
      },
    ],
    hooks: [
      { table: 'filter', chain: 'FORWARD', position: 'last', jumpTo: 'fib-accept-from', match: FROM_POD },
      { table: 'filter', chain: 'FORWARD', position: 'last', jumpTo: 'fib-accept-to', match: TO_POD },
    ],
    sets: [],
  }
}

/** A pod sends with its own address and, where nodes tunnel, no encapsulated packet: it could speak for a node. */
function guardSources(family: IpFamily, tunnel: TunnelGuard | null): FamilyRules {
  return {
    chains: [
      {
        table: 'raw',
        name: 'fib-from-pod',
        rules: [
          ['-i', TUNNEL_DEVICES, '-j', 'RETURN'],
          ...(tunnel === null ? [] : TUNNEL_PROTOCOLS[family].map((protocol) => ['-p', protocol, '-j', 'DROP'])),
          ['-m', 'rpfilter', '--validmark', '--invert', '-j', 'DROP'],
        ],
      },
    ],
    hooks: [{ table: 'raw', chain: 'PREROUTING', position: 'first', jumpTo: 'fib-from-pod', match: FROM_POD }],
    sets: [],
  }
}

/** Encapsulated packets only from cluster nodes, and segments small enough for the tunnel, whatever MTU a running pod was given. */
function guardTunnel(family: IpFamily, { device, nodeAddresses }: TunnelGuard): FamilyRules {
  const nodes = `fib${family}-tunnel-nodes`
  return {
    chains: [
      {
        table: 'filter',
        name: 'fib-tunnel-in',
        rules: [
          [...FROM_POD, '-j', 'DROP'],
          [...matchSet(nodes, 'src'), '-j', 'ACCEPT'],
          ['-j', 'DROP'],
        ],
      },
      {
        table: 'mangle',
        name: 'fib-mss',
        rules: [['-p', 'tcp', '-m', 'tcp', '--tcp-flags', 'SYN,RST', 'SYN', '-j', 'TCPMSS', '--clamp-mss-to-pmtu']],
      },
    ],
    hooks: [
      ...TUNNEL_PROTOCOLS[family].map(
        (protocol): Hook => ({ table: 'filter', chain: 'INPUT', position: 'first', jumpTo: 'fib-tunnel-in', match: ['-p', protocol] }),
      ),
      { table: 'mangle', chain: 'FORWARD', position: 'first', jumpTo: 'fib-mss', match: ['-i', device] },
      { table: 'mangle', chain: 'FORWARD', position: 'first', jumpTo: 'fib-mss', match: ['-o', device] },
    ],
    sets: [addressSet(nodes, family, nodeAddresses)],
  }
}

function matchSet(name: string, direction: 'src' | 'dst', not?: '!'): Rule {
  return ['-m', 'set', ...(not === undefined ? [] : [not]), '--match-set', name, direction]
}

/** As `ipset save` prints it: a host route without its length. */
function netSet(name: string, family: IpFamily, pools: readonly Pick<GuardPool, 'range'>[]): IpSet {
  const text = ({ range }: Pick<GuardPool, 'range'>): string =>
    range.length === bitsOf(family) ? formatIp(range.address) : formatPrefix(range)
  return { name, type: 'hash:net', family, members: new Set(pools.map(text).sort()) }
}

function addressSet(name: string, family: IpFamily, addresses: readonly IpAddress[]): IpSet {
  const ours = addresses.filter((address) => familyOf(address) === family)
  return { name, type: 'hash:ip', family, members: new Set(ours.map(formatIp).sort()) }
}

function join(parts: readonly FamilyRules[]): FamilyRules {
  return {
    chains: parts.flatMap((part) => part.chains),
    hooks: parts.flatMap((part) => part.hooks),
    sets: parts.flatMap((part) => part.sets),
  }
}
