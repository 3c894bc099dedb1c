// BGPPeer: one peer, or a group of peers among the cluster's nodes, and the nodes that peer with it.
import { z } from 'zod'
import { quoteText } from '../../lib/log.ts'
import { isLinkLocalIpv6, parseIp } from '../../net/index.ts'
import { gracefulRestart, KEEPALIVE_FITS, keepaliveFits } from './bgp-configuration.ts'
import { asNumber, condition, duration, ipAddress, labelSelector, secretKeyRef } from './fields.ts'
import { defineKind } from './kind.ts'
import { dnsSubdomain } from './names.ts'
import { parsePeerAddress } from './peer-address.ts'
import { admitted, constrained } from './rules.ts'
import { sessionShape } from './session.ts'

const FAMILY = z.enum(['IPv4Unicast', 'IPv6Unicast'])
const SOURCE_MODES = ['Auto', 'UseNodeIP', 'None'] as const
/** In CEL: peerIP, which is a peer address, is an IPv4 address with or without a port. */
const PEER_IS_IPV4 = "self.peerIP.matches('^[0-9.]+(:[0-9]+)?$')"
/** `parsePeerAddress` in CEL: address and zone, then what they must be. */
const PORT = '(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?'
const IS_UNICAST = (address: string): string =>
  `(isIP(${address}) && !ip(${address}).isUnspecified() && !ip(${address}).isLoopback() && !ip(${address}).isLinkLocalMulticast() && !${address}.matches('^(0|127|2[2-5][0-9])[.]|^[fF][fF]'))`
const IS_PEER_ADDRESS = [
  `(self.matches('^[0-9.]+${PORT}$') && ${IS_UNICAST("self.split(':')[0]")})`,
  `(self.matches('^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$') && ${IS_UNICAST('self')} && !ip(self).isLinkLocalUnicast())`,
  `(self.matches('^[[][0-9a-fA-F:.]+[]]${PORT}$') && ${IS_UNICAST("self.substring(1, self.indexOf(']'))")} && !ip(self.substring(1, self.indexOf(']'))).isLinkLocalUnicast())`,
  `(self.matches('^[0-9a-fA-F:]+%[^\\\\s/:%]{1,15}$') && isIP(self.split('%')[0]) && ip(self.split('%')[0]).isLinkLocalUnicast())`,
  `(self.matches('^[[][0-9a-fA-F:]+%[^\\\\s/:%]{1,15}[]]${PORT}$') && isIP(self.substring(1, self.indexOf('%'))) && ip(self.substring(1, self.indexOf('%'))).isLinkLocalUnicast())`,
].join(' || ')
const PEER_FORMS = '10.0.0.1, 10.0.0.1:1179, fd00::1, [fd00::1]:1179 or fe80::1%eth0'

const spec = constrained(
  z.strictObject({
    description: z.string().max(256).exactOptional().meta({ description: 'What the peer is, for people.' }),
    node: dnsSubdomain().exactOptional().meta({ description: 'The one node that peers. Neither this nor nodeSelector: every node.' }),
    nodeSelector: labelSelector().exactOptional().meta({ description: 'The nodes that peer.' }),
    peerIP: z
      .string()
      .max(80)
      .refine((text) => parsePeerAddress(text) !== null, {
        error: ({ input }) => `${quoteText(String(input), 60)} is not a peer address; write it like ${PEER_FORMS}`,
      })
      .meta(admitted(IS_PEER_ADDRESS, `not a peer address; write it like ${PEER_FORMS}`))
      .exactOptional()
      .meta({
        description:
          'Address of the peer: ip, ip:port, [ip6]:port, or fe80::1%eth0 for a link-local address behind an interface. Port unset: 179, or the listenPort of the cluster node that has this address.',
      }),
    peerSelector: labelSelector().exactOptional().meta({
      description:
        'Peers are the cluster nodes with these labels, by their addresses, AS numbers and ports, one session for each IP family both have.',
    }),
    asNumber: asNumber()
      .exactOptional()
      .meta({ description: 'AS number of the peer. Needed with peerIP; with peerSelector the nodes have their own.' }),
    localASNumber: asNumber().exactOptional().meta({ description: 'AS number we use towards this peer instead of our own.' }),
    sourceAddress: z
      .string()
      .max(64)
      .refine((text) => SOURCE_MODES.some((mode) => mode === text) || parseIp(text) !== null, {
        error: ({ input }) => `${quoteText(String(input), 60)} is neither Auto, UseNodeIP, None nor an IP address of the node`,
      })
      .meta(admitted("self in ['Auto', 'UseNodeIP', 'None'] || isIP(self)", 'neither Auto, UseNodeIP, None nor an IP address of the node'))
      .default('Auto')
      .meta({
        description:
          'Local address of the session. UseNodeIP: the BGP address of the node. None: what the kernel chooses. Auto: the BGP address for iBGP and multihop sessions, else the choice of the kernel. Or an IP address of the node.',
      }),
    reachableBy: ipAddress()
      .exactOptional()
      .meta({ description: 'Gateway through which the peer is reached: a host route to peerIP by way of it is kept.' }),
    reversePeering: z.enum(['Auto', 'Manual']).default('Auto').meta({
      description: 'Auto: where the peer is a node of the cluster, it peers back without a BGPPeer of its own. Manual: it does not.',
    }),
    password: secretKeyRef().exactOptional().meta({ description: 'TCP MD5 password (RFC 2385).' }),
    addressFamilies: z.array(FAMILY).min(1).max(2).exactOptional().meta({
      description: 'Families of routes to exchange. Unset: the family of the address of the peer, and both with extendedNextHop.',
    }),
    addPath: z
      .strictObject({
        receive: z.boolean().default(false).meta({ description: 'Accept several paths for a prefix.' }),
        send: z
          .int()
          .min(0)
          .max(255)
          .default(0)
          .meta({ description: 'Most paths to send for a prefix; 0: only the best, without add-path.' }),
      })
      .exactOptional()
      .meta({ description: 'Several paths for a prefix (RFC 7911).' }),
    extendedNextHop: z.boolean().default(false).meta({ description: 'IPv4 routes may have IPv6 next hops (RFC 8950).' }),
    role: z
      .enum(['Provider', 'RouteServer', 'RouteServerClient', 'Customer', 'Peer'])
      .exactOptional()
      .meta({ description: 'Our role towards the peer, which guards against route leaks (RFC 9234).' }),
    maxPrefixes: z
      .strictObject({
        ipv4: z
          .int()
          .min(1)
          .max(0xffff_ffff)
          .exactOptional()
          .meta({ description: 'Most IPv4 paths to accept from the peer. Unset: no limit.' }),
        ipv6: z
          .int()
          .min(1)
          .max(0xffff_ffff)
          .exactOptional()
          .meta({ description: 'Most IPv6 paths to accept from the peer. Unset: no limit.' }),
        warnAtPercent: z.int().min(1).max(100).default(75).meta({ description: 'Warn when this part of a limit is reached.' }),
        restartAfter: duration(1, 86_400)
          .exactOptional()
          .meta({ description: 'Try again after this time when a limit was passed. Unset: stay down until the configuration changes.' }),
      })
      .exactOptional()
      .meta({ description: 'Limits on paths received, before import filters. A session that passes one is closed (RFC 4486).' }),
    ttlSecurity: z
      .int()
      .min(1)
      .max(254)
      .exactOptional()
      .meta({ description: 'The peer is at most this many hops away, and packets from further are dropped (GTSM, RFC 5082).' }),
    ebgpMultihop: z
      .int()
      .min(1)
      .max(255)
      .exactOptional()
      .meta({ description: 'TTL of an eBGP session whose peer is not on a connected network. iBGP needs none.' }),
    holdTime: duration(3, 65_535, [0])
      .exactOptional()
      .meta({ description: 'Hold time to offer: 3s or more, or 0s for no keepalives. Unset: as in BGPConfiguration.' }),
    keepaliveTime: duration(1, 21_845)
      .exactOptional()
      .meta({ description: 'Interval of KEEPALIVE messages. Unset: a third of holdTime, or as in BGPConfiguration if that is unset too.' }),
    connectRetryTime: duration(1, 65_535)
      .exactOptional()
      .meta({ description: 'Pause between attempts to connect, before back-off. Unset: as in BGPConfiguration.' }),
    sendHoldTime: duration(1, 65_535).exactOptional().meta({
      description:
        'Close the session when the peer has taken nothing we sent for this long (RFC 9687). Unset: the greater of 8m and twice the hold time.',
    }),
    gracefulRestart: gracefulRestart(null)
      .exactOptional()
      .meta({ description: 'Graceful restart with this peer; each field overrides BGPConfiguration.' }),
    passive: z.boolean().default(false).meta({ description: 'Never dial, only answer.' }),
    shutdown: z
      .strictObject({
        message: z
          .string()
          .refine((text) => Buffer.byteLength(text) <= 255, {
            error: 'longer than the 255 octets that fit into the NOTIFICATION (RFC 9003); shorten it',
          })
          .meta(admitted('bytes(self).size() <= 255', 'longer than the 255 octets that fit into the NOTIFICATION (RFC 9003); shorten it'))
          .default('')
          .meta({ description: 'Told to the peer (RFC 9003).' }),
      })
      .exactOptional()
      .meta({ description: 'Keeps the session down until this is removed (administrative shutdown).' }),
    filters: z
      .array(dnsSubdomain())
      .max(64)
      .default([])
      .meta({ description: 'BGPFilters, tried in order. A filter that does not exist rejects everything.' }),
    nextHopMode: z.enum(['Auto', 'Self', 'Keep']).default('Auto').meta({
      description:
        'Next hop of routes we pass on. Auto: as RFC 4271 §5.1.3. Self: always our own address. Keep: as received, also over eBGP.',
    }),
    allowLocalAS: z
      .int()
      .min(0)
      .max(10)
      .default(0)
      .meta({ description: 'How often our own AS may appear in the AS path of a route we accept.' }),
    enforceFirstAS: z
      .boolean()
      .default(true)
      .meta({ description: 'Routes of an eBGP peer must begin with its AS number. False for route servers.' }),
  }),
  [
    {
      path: ['nodeSelector'],
      message: 'node and nodeSelector exclude each other; keep one',
      holds: (s) => s.node === undefined || s.nodeSelector === undefined,
      cel: '!has(self.node) || !has(self.nodeSelector)',
    },
    {
      path: ['peerIP'],
      message: 'exactly one of peerIP (a router) and peerSelector (nodes of the cluster) says who the peer is',
      holds: (s) => (s.peerIP === undefined) !== (s.peerSelector === undefined),
      cel: 'has(self.peerIP) != has(self.peerSelector)',
    },
    {
      path: ['asNumber'],
      message: 'a peer with peerIP needs its asNumber',
      holds: (s) => s.peerIP === undefined || s.asNumber !== undefined,
      cel: '!has(self.peerIP) || has(self.asNumber)',
    },
    {
      path: ['asNumber'],
      message: 'asNumber does not go with peerSelector: every node has its own; remove it',
      holds: (s) => s.peerSelector === undefined || s.asNumber === undefined,
      cel: '!has(self.peerSelector) || !has(self.asNumber)',
    },
    {
      path: ['ebgpMultihop'],
      message: 'ttlSecurity and ebgpMultihop exclude each other; keep one',
      holds: (s) => s.ttlSecurity === undefined || s.ebgpMultihop === undefined,
      cel: '!has(self.ttlSecurity) || !has(self.ebgpMultihop)',
    },
    {
      path: ['keepaliveTime'],
      message: 'keepaliveTime must be shorter than holdTime; leave it out to get a third of it',
      holds: (s) => keepaliveFits(s.holdTime, s.keepaliveTime),
      cel: KEEPALIVE_FITS,
    },
    {
      path: ['reachableBy'],
      message: 'reachableBy needs a peerIP of the same IP family that is not link-local',
      holds: ({ reachableBy, peerIP }) => {
        if (reachableBy === undefined) return true
        const gateway = parseIp(reachableBy)
        const peer = peerIP === undefined ? null : (parsePeerAddress(peerIP)?.address ?? null)
        return gateway !== null && peer !== null && typeof gateway === typeof peer && !isLinkLocalIpv6(peer)
      },
      cel: `!has(self.reachableBy) || (has(self.peerIP) && !self.peerIP.contains('%') && ${PEER_IS_IPV4} != self.reachableBy.contains(':'))`,
    },
    {
      path: ['sourceAddress'],
      message: 'sourceAddress as an IP address needs a peerIP of the same IP family',
      holds: ({ sourceAddress, peerIP }) => {
        const source = parseIp(sourceAddress)
        return source === null || (peerIP !== undefined && typeof parsePeerAddress(peerIP)?.address === typeof source)
      },
      cel: `!isIP(self.sourceAddress) || (has(self.peerIP) && ${PEER_IS_IPV4} != self.sourceAddress.contains(':'))`,
    },
    {
      path: ['addressFamilies'],
      message: 'addressFamilies names a family twice; remove one',
      holds: ({ addressFamilies = [] }) => new Set(addressFamilies).size === addressFamilies.length,
      cel: '!has(self.addressFamilies) || self.addressFamilies.all(one, self.addressFamilies.exists_one(other, other == one))',
    },
  ],
)

/** Most sessions a BGPPeer lists; those not Established come first. */
export const MAX_PEER_SESSIONS = 100
/**
 * In a cluster of more nodes than this a BGPPeer lists only sessions that are not Established, at most `MAX_LARGE_PEER_SESSIONS`, and in
 * brief: every agent watches every BGPPeer, so each write of a status goes to every node.
 */
export const LARGE_CLUSTER = 100
export const MAX_LARGE_PEER_SESSIONS = 20

const status = z.looseObject({
  nodes: z.int().exactOptional().meta({ description: 'Nodes that this BGPPeer means.' }),
  configured: z.int().exactOptional().meta({ description: 'Sessions there should be, on all nodes.' }),
  established: z.int().exactOptional().meta({ description: 'Sessions that are up, on all nodes.' }),
  sessions: z
    .array(
      z.looseObject({
        node: z.string().meta({ description: 'The node whose session this is.' }),
        ...sessionShape,
        capabilities: sessionShape.capabilities.exactOptional(),
        prefixes: sessionShape.prefixes.exactOptional(),
      }),
    )
    .default([])
    .meta({
      description: `One entry a session, at most ${MAX_PEER_SESSIONS}: those not Established first. With more than ${LARGE_CLUSTER} nodes only those, at most ${MAX_LARGE_PEER_SESSIONS}, without capabilities and counts. The NodeNetwork of each node has all of its own.`,
    }),
  conditions: z
    .array(condition)
    .default([])
    .meta({ description: 'Accepted: whether nodes can do what it says. Established: whether its sessions are up.' }),
})

export const bgpPeer = defineKind({
  kind: 'BGPPeer',
  plural: 'bgppeers',
  shortNames: ['bgpp'],
  writer: 'user',
  description: 'A BGP peer: a router by its address, or nodes of the cluster by their labels.',
  columns: [
    { name: 'Peer', path: '.spec.peerIP' },
    { name: 'AS', path: '.spec.asNumber' },
    { name: 'Nodes', path: '.status.nodes' },
    { name: 'Sessions', path: '.status.configured' },
    { name: 'Established', path: '.status.established' },
    { name: 'Status', path: '.status.conditions[?(@.type=="Established")].reason' },
    { name: 'Accepted', path: '.status.conditions[?(@.type=="Accepted")].reason' },
    { name: 'Node', path: '.spec.node', wide: true },
    { name: 'Peer selector', path: '.spec.peerSelector', wide: true },
    { name: 'Filters', path: '.spec.filters', wide: true },
    { name: 'Why', path: '.status.conditions[?(@.status=="False")].message', wide: true },
  ],
  selectableFields: ['.spec.node', '.spec.peerIP', '.spec.asNumber'],
  spec,
  status,
})
