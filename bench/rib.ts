// The routing tables alone, single-threaded, without sockets: received UPDATEs (decoded) in, encoded UPDATEs out.
//   scripts/node bench/rib.ts [all|v4|v6|reflect] [--json]
// Targets: 1M IPv4 prefixes <= 0.5 s, 1M IPv6 <= 0.8 s, 100 clients x 1000 reflected <= 0.3 s, <= 64 octets a prefix.
import { community, ORIGINATED, type PathAttributes, routerId } from '../src/bgp/attributes.ts'
import type { Family } from '../src/bgp/family.ts'
import { type PeerId, Rib, type RibConfig, type RibPeerConfig, type RibSession } from '../src/bgp/rib/index.ts'
import { maxNlriOctets, type NlriRun, type UpdateMessage, writeNlri } from '../src/bgp/wire/index.ts'
import { asn, type IpAddress, ip, ipv4, ipv6 } from '../src/net/index.ts'

const CONFIG: RibConfig = {
  asn: asn(65_000),
  routerId: routerId(1),
  mode: 'Router',
  clusterId: routerId(1),
  maximumPaths: 1,
  multipathAsPathRelax: false,
  filters: {},
  importBounds: [],
  serviceRanges: [],
  encapsulation: null,
  installRoutes: false,
  resolveAll: true,
  draining: false,
}

type Sent = { chunks: number; octets: number }

function peerConfig(key: string, address: IpAddress, number: number): RibPeerConfig {
  return {
    key,
    address,
    interface: null,
    asn: asn(number),
    localAsn: null,
    addPath: { receive: false, send: 0 },
    role: null,
    ttlSecurity: null,
    ebgpMultihop: null,
    filters: [],
    allowLocalAs: 0,
    nextHopMode: 'Auto',
    routeReflectorClient: number === 65_000,
    clusterNode: false,
  }
}

function session(number: number, id: number, families: readonly Family[]): RibSession {
  return {
    peerType: number === 65_000 ? 'iBGP' : 'eBGP',
    remoteAsn: asn(number),
    remoteRouterId: routerId(id),
    localAddress: families.includes('IPv6Unicast') ? ip('2001:db8::1') : ip('192.0.2.254'),
    families,
    fourOctetAs: true,
    extendedMessage: false,
    addPathSend: [],
    addPathReceive: [],
    extendedNextHop: false,
    role: null,
    longLived: [],
  }
}

function nextHop(family: Family, host: number): PathAttributes['nextHop'] {
  const address = family === 'IPv4Unicast' ? ipv4(0xc000_0200 + host) : ipv6((0x2001_0db8n << 96n) + BigInt(host))
  return { address, linkLocal: null }
}

/** `count` sets with paths of 3 to 6 ASes, MED on a third, communities on half. */
function attributeSets(family: Family, count: number, first: number, host: number, external: boolean): PathAttributes[] {
  return Array.from({ length: count }, (_, index) => ({
    ...ORIGINATED,
    asPath: [
      {
        type: 'sequence' as const,
        asns: Array.from({ length: 3 + (index % 4) }, (_hop, hop) => asn(hop === 0 ? first : 1000 + ((index * 7 + hop) % 50_000))),
      },
    ],
    nextHop: nextHop(family, host),
    med: index % 3 === 0 ? index : null,
    localPref: external ? null : 100,
    communities: index % 2 === 0 ? [community(((65_000 << 16) | index) >>> 0)] : [],
  }))
}

function run(family: Family, from: number, count: number): NlriRun {
  const out = new Uint8Array(count * maxNlriOctets(family, false))
  let at = 0
  for (let index = from; index < from + count; index++) {
    at =
      family === 'IPv4Unicast'
        ? writeNlri(out, at, 24, (0x0100_0000 + index * 256) >>> 0, 0, 0, 0, null)
        : writeNlri(out, at, 48, (0x2a00_0000 + (index >>> 16)) >>> 0, (index << 16) >>> 0, 0, 0, null)
  }
  return { family, addPath: false, bytes: out.subarray(0, at), count }
}

function update(nlri: NlriRun, attributes: PathAttributes): UpdateMessage {
  return { kind: 'update', withdrawn: [], announced: [{ run: nlri, attributes }], endOfRib: null, malformations: [] }
}

/** Runs of 8, in an order that does not follow the prefixes. */
function feed(family: Family, prefixes: number, sets: readonly PathAttributes[]): UpdateMessage[] {
  const runs = prefixes / 8
  const updates: UpdateMessage[] = []
  for (let index = 0; index < runs; index++) {
    const at = (index * 7919) % runs
    const attributes = sets[(at * 31) % sets.length]
    if (attributes !== undefined) updates.push(update(run(family, at * 8, 8), attributes))
  }
  return updates
}

/** A Rib that counts what it sends. */
function ribThatCounts(): { rib: Rib; sent: Sent } {
  const sent: Sent = { chunks: 0, octets: 0 }
  const rib = new Rib(CONFIG, {
    deliver(_peer, chunks) {
      sent.chunks += chunks.length
      for (const chunk of chunks) sent.octets += chunk.length
      return true
    },
    tableSent() {},
    fib() {},
    wake() {},
  })
  return { rib, sent }
}

/** As the socket does it: about 64 KiB of UPDATEs, then a turn of the event loop. */
function pump(rib: Rib, peer: PeerId, updates: readonly UpdateMessage[], perTurn: number): void {
  for (let at = 0; at < updates.length; at++) {
    const each = updates[at]
    if (each !== undefined) rib.applyUpdate(peer, each)
    if (at % perTurn === perTurn - 1) rib.flush()
  }
  rest(rib)
}

/** Flushes until there is nothing left to do; returns the CPU time of the longest turn (what a busy machine does not distort). */
function rest(rib: Rib): number {
  let longestMs = 0
  for (let hasMore = true; hasMore; ) {
    const start = process.threadCpuUsage()
    hasMore = rib.flush()
    longestMs = Math.max(longestMs, cpuSecondsSince(start) * 1000)
  }
  return longestMs
}

/** What happens to whole tables, and how long the event loop stands still for it, in CPU time. */
function upheavals(rib: Rib, from: PeerId, to: PeerId, late: PeerId, family: Family): Record<string, number> {
  const longest: Record<string, number> = {}
  const time = (name: string, act: () => void): void => {
    const start = process.threadCpuUsage()
    act()
    const atOnce = cpuSecondsSince(start) * 1000
    longest[`${name}: at once, ms`] = atOnce
    longest[`${name}: longest turn, ms`] = rest(rib)
    longest[`${name}: in all, ms`] = cpuSecondsSince(start) * 1000
  }
  time('peer joins', () => rib.sessionUp(late, session(65_003, 13, [family])))
  time('refresh', () => rib.refresh(to, family))
  time('mark stale', () => rib.markStale(from, family))
  time('sweep', () => rib.sweepStale(from, family))
  return longest
}

function settled(): { arrayBuffers: number; heap: number; rss: number } {
  globalThis.gc?.()
  globalThis.gc?.()
  const { arrayBuffers, heapUsed, rss } = process.memoryUsage()
  return { arrayBuffers, heap: heapUsed, rss }
}

function forward(family: Family, prefixes: number): Record<string, number> {
  const updates = feed(family, prefixes, attributeSets(family, 1000, 65_001, 1, true))
  const before = settled()
  const { rib, sent } = ribThatCounts()
  const from = rib.addPeer(peerConfig('from', ip('192.0.2.1'), 65_001))
  const to = rib.addPeer(peerConfig('to', ip('198.51.100.1'), 65_002))
  rib.sessionUp(from, session(65_001, 11, [family]))
  rib.sessionUp(to, session(65_002, 12, [family]))
  const start = performance.now()
  const cpu = process.threadCpuUsage()
  pump(rib, from, updates, 650)
  const seconds = (performance.now() - start) / 1000
  const cpuSeconds = cpuSecondsSince(cpu)
  const after = settled()
  if (rib.counts(to, family).advertised !== prefixes) throw new Error('not everything was advertised')
  const again = performance.now()
  pump(rib, from, updates, 650)
  const sameAgain = (performance.now() - again) / 1000
  const other = feed(family, prefixes, attributeSets(family, 1000, 65_001, 2, true)).slice(0, updates.length / 10)
  const churnStart = performance.now()
  pump(rib, from, other, 650)
  const churn = (performance.now() - churnStart) / 1000
  const late = rib.addPeer(peerConfig('late', ip('198.51.100.2'), 65_003))
  return {
    ...upheavals(rib, from, to, late, family),
    prefixes,
    seconds,
    cpuSeconds,
    sameAgain,
    churnTenPercent: churn,
    octetsSent: sent.octets,
    bytesPerPrefix: (after.arrayBuffers - before.arrayBuffers + after.heap - before.heap) / prefixes,
    rssMiB: after.rss / 1048576,
    rssGrowthMiB: (after.rss - before.rss) / 1048576,
  }
}

function cpuSecondsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1e6
}

function reflect(clients: number, each: number): Record<string, number> {
  const family: Family = 'IPv4Unicast'
  const { rib, sent } = ribThatCounts()
  const peers: PeerId[] = []
  const feeds: UpdateMessage[][] = []
  for (let index = 0; index < clients; index++) {
    const peer = rib.addPeer(peerConfig(`client-${index}`, ipv4(0x0a00_0001 + index), 65_000))
    rib.sessionUp(peer, session(65_000, 100 + index, [family]))
    peers.push(peer)
    const sets = attributeSets(family, 10, 65_100, index + 1, false)
    feeds.push(
      Array.from({ length: each / 8 }, (_, at) => update(run(family, index * each + at * 8, 8), sets[at % sets.length] ?? ORIGINATED)),
    )
  }
  const start = performance.now()
  const cpu = process.threadCpuUsage()
  // Every client's socket is read in turn, a part at a time.
  for (let part = 0; part < each / 8; part += 25) {
    for (const [index, updates] of feeds.entries()) {
      const peer = peers[index]
      if (peer !== undefined) for (const one of updates.slice(part, part + 25)) rib.applyUpdate(peer, one)
      rib.flush()
    }
  }
  while (rib.flush()) {}
  const seconds = (performance.now() - start) / 1000
  for (const peer of peers)
    if (rib.counts(peer, family).advertised !== (clients - 1) * each) throw new Error('not everything was reflected')
  return { clients, each, seconds, cpuSeconds: cpuSecondsSince(cpu), octetsSent: sent.octets, chunks: sent.chunks }
}

const [which = 'all'] = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
const results: Record<string, Record<string, number>> = {}
if (which === 'all' || which === 'v4') results['forward 1M IPv4'] = forward('IPv4Unicast', 1_000_000)
if (which === 'all' || which === 'v6') results['forward 1M IPv6'] = forward('IPv6Unicast', 1_000_000)
if (which === 'all' || which === 'reflect') results['reflect 100 x 1000'] = reflect(100, 1000)
if (process.argv.includes('--json')) console.log(JSON.stringify(results))
else
  for (const [name, values] of Object.entries(results))
    console.log(name, Object.fromEntries(Object.entries(values).map(([key, value]) => [key, Number(value.toFixed(3))])))
