// What every pair of speakers must be able to do: come up with every feature both have, and hold exactly the prefixes and
// attributes the other announced.
import { expect } from '@jest/globals'
import { Agent } from '../../support/agent.ts'
import {
  type Announcement,
  comparePaths,
  type Daemon,
  type DaemonConfig,
  type DaemonDriver,
  type DaemonPeerConfig,
  daemonConfig,
  type Feature,
  familyOfPrefix,
  peerConfig,
  type ReceivedPath,
  sorted,
} from '../../support/daemons/index.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { until, untilEqual } from '../../support/poll.ts'

export type Variant = {
  readonly peerType: 'eBGP' | 'iBGP'
  readonly transport: 4 | 6
  /** The role of the first speaker; the second has its counterpart. Only eBGP has roles. */
  readonly role?: 'Customer' | 'Provider' | 'Peer'
  /** IPv4 routes have IPv6 next hops (RFC 8950). */
  readonly extendedNextHop?: true
}

/** Every kind of session: eBGP and iBGP, over IPv4 and IPv6. The IPv6 ones use 4-octet ASNs. */
const VARIANTS: readonly Variant[] = [
  { peerType: 'eBGP', transport: 4, role: 'Customer' },
  { peerType: 'eBGP', transport: 6, role: 'Provider' },
  { peerType: 'iBGP', transport: 4 },
  { peerType: 'iBGP', transport: 6 },
  { peerType: 'eBGP', transport: 6, extendedNextHop: true },
]

/** The variants that two speakers have in common, with a name for each. */
export function variantsOf(a: DaemonDriver, b: DaemonDriver): readonly (Variant & { readonly name: string })[] {
  const possible = VARIANTS.filter((each) => !each.extendedNextHop || [a, b].every((driver) => driver.supports.has('extendedNextHop')))
  return possible.map((each) => ({
    ...each,
    name: `${each.peerType} over IPv${each.transport}${each.extendedNextHop ? ' with IPv6 next hops for IPv4' : ''}`,
  }))
}

export type Side = {
  readonly node: string
  readonly asn: number
  readonly routerId: string
  readonly addresses: { readonly ipv4: string; readonly ipv6: string }
}

export const COUNTERPART = { Customer: 'Provider', Provider: 'Customer', Peer: 'Peer' } as const

/** Two nodes on a link. */
export function pairOfNodes(topic: string): Promise<Netns> {
  return buildNetns(topic, {
    nodes: ['a', 'b'],
    links: [
      [
        { node: 'a', name: 'eth0', addresses: ['10.0.0.1/24', 'fd00::1/64'] },
        { node: 'b', name: 'eth0', addresses: ['10.0.0.2/24', 'fd00::2/64'] },
      ],
    ],
  })
}

export function sidesOf({ peerType, transport }: Variant): readonly [Side, Side] {
  const base = transport === 4 ? 65_000 : 4_200_000_000
  const side = (node: string, last: number): Side => ({
    node,
    asn: base + (peerType === 'iBGP' ? 1 : last),
    routerId: `10.0.0.${last}`,
    addresses: { ipv4: `10.0.0.${last}`, ipv6: `fd00::${last}` },
  })
  return [side('a', 1), side('b', 2)]
}

export function addressOf(side: Side, transport: 4 | 6): string {
  return transport === 4 ? side.addresses.ipv4 : side.addresses.ipv6
}

/** Prefixes of one speaker, with every attribute it can set. `first` keeps the two speakers' prefixes apart. */
export function announcements(first: number, driver: DaemonDriver): readonly Announcement[] {
  const rich = {
    med: 70 + first,
    localPref: 200 + first,
    communities: [`6500${first}:7`, `6500${first}:65535`],
    largeCommunities: [`6500${first}:2:3`, `4200000000:${first}:4294967295`],
    extendedCommunities: [`rt:6500${first}:9`],
  }
  const behind = driver.supports.has('foreignAsPath') ? { behind: [64_900 + first, 64_999] } : {}
  return [
    { prefix: `203.0.${first}.0/24`, ...rich },
    { prefix: `203.0.${first}.128/25`, med: 5, localPref: 90, ...behind },
    { prefix: `203.0.${first}.255/32`, med: 1, localPref: 100 },
    { prefix: `2001:db8:${first}::/48`, ...rich },
    { prefix: `2001:db8:${first}:1::/64`, med: 6, localPref: 90, ...behind },
    { prefix: `2001:db8:${first}::53/128`, med: 1, localPref: 100 },
  ]
}

/** The two configurations of a pair: every feature that both have is on. */
export function configsOf(
  [a, b]: readonly [DaemonDriver, DaemonDriver],
  variant: Variant,
  change: (peer: DaemonPeerConfig) => DaemonPeerConfig = (peer) => peer,
): readonly [DaemonConfig, DaemonConfig] {
  const [left, right] = sidesOf(variant)
  const both = (feature: Feature): boolean => a.supports.has(feature) && b.supports.has(feature)
  const session = (own: Side, ownDriver: DaemonDriver, other: Side, otherDriver: DaemonDriver, isFirst: boolean): DaemonPeerConfig => {
    const role = variant.role === undefined || !both('role') ? null : isFirst ? variant.role : COUNTERPART[variant.role]
    return change(
      peerConfig({
        address: addressOf(other, variant.transport),
        localAddress: addressOf(own, variant.transport),
        asn: other.asn,
        password: both('md5') ? 'correct-horse' : null,
        addPath: {
          send: ownDriver.supports.has('addPathSend') && otherDriver.supports.has('addPathReceive'),
          receive: ownDriver.supports.has('addPathReceive') && otherDriver.supports.has('addPathSend'),
        },
        role,
        gracefulRestart: both('gracefulRestart') ? { restartTimeSeconds: 60 } : null,
        ttlSecurity: variant.peerType === 'eBGP' && both('gtsm'),
        extendedMessage: both('extendedMessage'),
        extendedNextHop: variant.extendedNextHop ?? false,
      }),
    )
  }
  const config = (own: Side, driver: DaemonDriver, peer: DaemonPeerConfig, first: number): DaemonConfig =>
    daemonConfig({ asn: own.asn, routerId: own.routerId, addresses: own.addresses, peers: [peer], announce: announcements(first, driver) })
  return [config(left, a, session(left, a, right, b, true), 1), config(right, b, session(right, b, left, a, false), 2)]
}

/** What the other side must hold of everything `sender` announces. */
export function expectedPaths(sender: DaemonConfig): readonly ReceivedPath[] {
  const [peer] = sender.peers
  if (peer === undefined) throw new Error('the sender has no peer')
  const isIbgp = peer.asn === sender.asn
  return sender.announce
    .map((each) => ({
      prefix: each.prefix,
      nextHop: each.nextHop ?? nextHopOf(sender, peer, each.prefix),
      asPath: [...(isIbgp ? [] : [sender.asn]), ...(each.behind ?? [])].join(' '),
      origin: 'igp' as const,
      med: each.med ?? null,
      localPref: isIbgp ? (each.localPref ?? 100) : null,
      communities: sorted(each.communities ?? []),
      largeCommunities: sorted(each.largeCommunities ?? []),
      extendedCommunities: sorted(each.extendedCommunities ?? []),
      // RFC 9234 §5: towards a customer, peer or route server client the sender adds its own ASN
      onlyToCustomer: peer.role === 'Provider' || peer.role === 'Peer' || peer.role === 'RouteServer' ? sender.asn : null,
    }))
    .sort(comparePaths)
}

function nextHopOf(sender: DaemonConfig, peer: DaemonPeerConfig, prefix: string): string {
  const isIpv4OverIpv6 = familyOfPrefix(prefix) === 'IPv4Unicast' && peer.localAddress.includes(':')
  if (isIpv4OverIpv6 && peer.extendedNextHop) return peer.localAddress
  return familyOfPrefix(prefix) === 'IPv4Unicast' ? sender.addresses.ipv4 : sender.addresses.ipv6
}

/** Waits for the session on both sides. */
export async function bothEstablished(
  a: Daemon,
  aConfig: DaemonConfig,
  b: Daemon,
  bConfig: DaemonConfig,
  deadlineMs = 120_000,
): Promise<void> {
  const explain = (): string => `--- ${a.name}\n${a.log()}\n--- ${b.name}\n${b.log()}`
  await until(
    `${a.name} and ${b.name} Established`,
    async () => (await a.established(peerOf(aConfig))) && (await b.established(peerOf(bConfig))),
    { deadlineMs, explain },
  )
}

export function peerOf(config: DaemonConfig): string {
  const [peer] = config.peers
  if (peer === undefined) throw new Error('no peer')
  return peer.address
}

/** What a speaker holds from its peer, without its own paths sent back to it: FRR does that. */
async function heldBy(speaker: Daemon, config: DaemonConfig): Promise<readonly ReceivedPath[]> {
  const paths = await speaker.received(peerOf(config))
  return paths.filter((each) => !each.asPath.split(' ').includes(String(config.asn)))
}

/** The whole exchange: both up, both hold exactly what the other announced, also after a change of what is announced. */
export async function exchange(drivers: readonly [DaemonDriver, DaemonDriver], variant: Variant): Promise<void> {
  const [aDriver, bDriver] = drivers
  const [aConfig, bConfig] = configsOf(drivers, variant)
  await using net = await pairOfNodes('pair')
  await using b = await bDriver.start(net, 'b', bConfig)
  await using a = await aDriver.start(net, 'a', aConfig)
  await bothEstablished(a, aConfig, b, bConfig)
  const explain = (): string => `--- ${a.name}\n${a.log()}\n--- ${b.name}\n${b.log()}`
  const atA = (): Promise<readonly ReceivedPath[]> => heldBy(a, aConfig)
  const atB = (): Promise<readonly ReceivedPath[]> => heldBy(b, bConfig)
  await untilEqual(`${b.name} holds what ${a.name} announced`, expectedPaths(aConfig), atB, { explain })
  await untilEqual(`${a.name} holds what ${b.name} announced`, expectedPaths(bConfig), atA, { explain })
  // what it shows of its Adj-RIB-Out is what the other side holds
  if (a instanceof Agent) expect(await a.advertised(peerOf(aConfig))).toEqual(expectedPaths(aConfig))

  const fewer = { ...aConfig, announce: aConfig.announce.slice(1).map((each, at) => (at === 0 ? { ...each, med: 99 } : each)) }
  await a.setAnnounced(fewer.announce)
  await untilEqual(`${b.name} follows ${a.name}`, expectedPaths(fewer), atB, { explain })
  const other = { ...bConfig, announce: bConfig.announce.slice(0, -1) }
  await b.setAnnounced(other.announce)
  await untilEqual(`${a.name} follows ${b.name}`, expectedPaths(other), atA, { explain })
  expect(await a.established(peerOf(aConfig))).toBe(true)
  expect(await b.established(peerOf(bConfig))).toBe(true)
}
