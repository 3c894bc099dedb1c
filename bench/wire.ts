// Speed of the codec alone: a million prefixes in UPDATEs of 8 on average, a thousand attribute sets in shuffled order, framed
// from 64 KiB chunks as a socket delivers them. Seconds are CPU time of this thread, so that a busy machine does not show.
// Run: scripts/node bench/wire.ts [--ipv6] [--runs N]
import { ORIGINATED, type PathAttributes } from '../src/bgp/attributes.ts'
import type { Family } from '../src/bgp/family.ts'
import {
  ByteWriter,
  createDecodeContext,
  decodeMessage,
  type EncodeContext,
  encodePathAttributes,
  encodeUpdates,
  MessageFramer,
  NlriReader,
  writeNlri,
} from '../src/bgp/wire/index.ts'
import { asn, ip } from '../src/net/index.ts'

const PREFIXES = 1_000_000
const SETS = 1000
const MEAN_RUN = 8
const family: Family = process.argv.includes('--ipv6') ? 'IPv6Unicast' : 'IPv4Unicast'
const runsAt = process.argv.indexOf('--runs')
const runs = runsAt < 0 ? 5 : Number(process.argv[runsAt + 1])

/** CPU seconds of this thread. */
function cpuSeconds(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1e6
}

/** xorshift32: the same table every time. */
let state = 0x9e3779b9
function random(below: number): number {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return (state >>> 0) % below
}

const encodeContext: EncodeContext = {
  peerType: 'eBGP',
  fourOctetAs: true,
  extendedMessage: false,
  addPathSend: new Set<Family>(),
  extendedNextHop: false,
}
const nextHop = { address: ip(family === 'IPv4Unicast' ? '192.0.2.1' : '2001:db8::1'), linkLocal: null }

function attributeSet(index: number): PathAttributes {
  const asns = [65001, ...Array.from({ length: 2 + random(4) }, () => 1 + random(400_000))]
  return {
    ...ORIGINATED,
    asPath: [{ type: 'sequence', asns: asns.map((number) => asn(number)) }],
    nextHop,
    med: index % 10 < 3 ? random(1000) : null,
    communities: index % 2 === 0 ? [(0xfde8_0000 + index) as PathAttributes['communities'][number]] : [],
  }
}

const sets = Array.from({ length: SETS }, (_, index) => encodePathAttributes(attributeSet(index), family, encodeContext))

function encodeTable(): { readonly chunks: Uint8Array[]; readonly updates: number; readonly seconds: number } {
  const out = new ByteWriter()
  const nlri = new Uint8Array(64 * 17)
  const started = cpuSeconds()
  let updates = 0
  for (let prefix = 0; prefix < PREFIXES; ) {
    const run = Math.min(PREFIXES - prefix, 1 + random(2 * MEAN_RUN - 1))
    let at = 0
    for (let index = 0; index < run; index++, prefix++) {
      if (family === 'IPv4Unicast') at = writeNlri(nlri, at, 24, (0x0b00_0000 + prefix * 256) >>> 0, 0, 0, 0, null)
      else at = writeNlri(nlri, at, 48, 0x2a00_0000 + (prefix >>> 12), (prefix & 0xfff) << 20, 0, 0, null)
    }
    const attributes = sets[random(SETS)] ?? null
    updates += encodeUpdates(out, { family, attributes, nextHop, nlri: nlri.subarray(0, at), addPath: false }, encodeContext).messages
  }
  return { chunks: out.take(), updates, seconds: cpuSeconds() - started }
}

function decodeTable(stream: Uint8Array): { readonly prefixes: number; readonly updates: number; readonly seconds: number } {
  const context = createDecodeContext({
    peerType: 'eBGP',
    localAsn: 65002,
    peerAsn: 65001,
    enforceFirstAs: true,
    fourOctetAs: true,
    extendedMessage: false,
    families: new Set<Family>(['IPv4Unicast', 'IPv6Unicast']),
    addPathReceive: new Set<Family>(),
    extendedNextHop: false,
  })
  const framer = new MessageFramer()
  const reader = new NlriReader()
  let prefixes = 0
  let updates = 0
  let checksum = 0
  const onMessage = (bytes: Uint8Array): void => {
    const result = decodeMessage(bytes, context)
    if (!result.ok || result.value.kind !== 'update') throw new Error('the benchmark table does not decode')
    updates++
    for (const { run } of result.value.announced) {
      reader.reset(run)
      while (reader.next()) {
        checksum ^= reader.word0 ^ reader.word1 ^ reader.length
        prefixes++
      }
    }
  }
  const started = cpuSeconds()
  for (let at = 0; at < stream.length; at += 65_536) {
    const error = framer.push(stream.subarray(at, at + 65_536), onMessage)
    if (error !== null) throw new Error(error.reason)
  }
  const seconds = cpuSeconds() - started
  if (checksum === 0x1234_5678) console.log('') // keeps the loop from being optimized away
  return { prefixes, updates, seconds }
}

const rows: Record<string, number | string>[] = []
for (let run = 0; run < runs; run++) {
  const table = encodeTable()
  const stream = Buffer.concat(table.chunks)
  const decoded = decodeTable(stream)
  if (decoded.prefixes !== PREFIXES || decoded.updates !== table.updates) throw new Error('prefixes were lost')
  rows.push({
    run,
    family,
    updates: decoded.updates,
    megabytes: (stream.length / 1e6).toFixed(1),
    'decode s': decoded.seconds.toFixed(3),
    'decode M prefixes/s': (PREFIXES / decoded.seconds / 1e6).toFixed(1),
    'encode s': table.seconds.toFixed(3),
    'encode M prefixes/s': (PREFIXES / table.seconds / 1e6).toFixed(1),
  })
}
console.table(rows)
