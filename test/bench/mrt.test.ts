import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { announceAll } from '../../bench/generate.ts'
import { tableFromMrt } from '../../bench/mrt.ts'
import { prefixCount, UpdateWriter } from '../../bench/table.ts'
import { contextOf, ModelReceiver, updatesOf } from './model.ts'

const FEEDER = 65_001
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const u16 = (value: number): Buffer => Buffer.from([value >>> 8, value & 0xff])
const u32 = (value: number): Buffer => Buffer.concat([u16(value >>> 16), u16(value & 0xffff)])

/** One MRT record of RFC 6396 §2. */
const record = (type: number, subtype: number, body: Buffer): Buffer =>
  Buffer.concat([u32(0), u16(type), u16(subtype), u32(body.length), body])
/** A RIB_IPV4_UNICAST or RIB_IPV6_UNICAST record with these entries (RFC 6396 §4.3.2, §4.3.4). */
const rib = (subtype: number, nlri: string, ...entries: readonly Buffer[]): Buffer =>
  record(
    13,
    subtype,
    Buffer.concat([
      u32(7),
      hex(nlri),
      u16(entries.length),
      ...entries.map((attributes) => Buffer.concat([u16(0), u32(0), u16(attributes.length), attributes])),
    ]),
  )

const ORIGIN = '400101 00'
const path = (...asns: readonly number[]): string =>
  `4002${(2 + asns.length * 4).toString(16).padStart(2, '0')}02${asns.length.toString(16).padStart(2, '0')}${asns.map((asn) => u32(asn).toString('hex')).join('')}`
const NEXT_HOP = '400304 0a000001'
const LOCAL_PREF = '400504 00000064'
const COMMUNITY = 'c00804 fde80001'
const MP_REACH = '800e11 10 20010db8000000000000000000000001'

const first = hex(ORIGIN + path(3356, 1299) + NEXT_HOP + LOCAL_PREF + COMMUNITY)
const second = hex(ORIGIN + path(174) + NEXT_HOP)
const DUMP = Buffer.concat([
  record(13, 1, hex('0a000001 0000 0000')), // PEER_INDEX_TABLE
  rib(2, '18 c00002', first, second),
  rib(4, '20 20010db8', hex(ORIGIN + path(6939) + MP_REACH)),
  rib(2, '10 c633', second),
  record(16, 4, hex('00')), // BGP4MP: no business in a table dump
  rib(2, '20 cb007101', first),
  rib(2, '08 0a'), // no entry
])

async function read(bytes: Buffer, name: string, change: { readonly family?: 'IPv6Unicast'; readonly limit?: number } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'mrt-'))
  try {
    writeFileSync(join(directory, name), bytes)
    return await tableFromMrt(join(directory, name), {
      family: change.family ?? 'IPv4Unicast',
      firstAsn: FEEDER,
      limit: change.limit ?? null,
    })
  } finally {
    rmSync(directory, { recursive: true })
  }
}

describe('a table from an MRT file', () => {
  test.each([
    ['plain', DUMP, 'rib'],
    ['gzipped', gzipSync(DUMP), 'rib.gz'],
  ])('%s: the first path of each prefix, our AS in front, sent in groups of equal attributes', async (_kind, bytes, name) => {
    const table = await read(bytes, name)
    const writer = new UpdateWriter(table, Uint8Array.of(198, 18, 1, 2))
    announceAll(table, writer)
    const model = new ModelReceiver(contextOf('IPv4Unicast', FEEDER))
    model.take(writer.finish())
    expect([...model.held].toSorted()).toEqual([
      ['192.0.2.0/24', 1299],
      ['198.51.0.0/16', 174],
      ['203.0.113.1/32', 1299],
    ])
    expect(writer.messages).toBe(2)
    const attributes = updatesOf(writer.finish(), contextOf('IPv4Unicast', FEEDER)).flatMap((update) =>
      update.announced.map((one) => one.attributes),
    )
    const long = attributes.find(({ asPath }) => asPath[0]?.asns.includes(1299 as never))
    expect(long).toMatchObject({ asPath: [{ type: 'sequence', asns: [FEEDER, 3356, 1299] }], localPref: null, communities: [0xfde8_0001] })
  })

  test('IPv6 has a table of its own', async () => {
    const table = await read(DUMP, 'rib', { family: 'IPv6Unicast' })
    const writer = new UpdateWriter(table, new Uint8Array(16).fill(1))
    announceAll(table, writer)
    const model = new ModelReceiver(contextOf('IPv6Unicast', FEEDER))
    model.take(writer.finish())
    expect([...model.held]).toEqual([['2001:db8::/32', 6939]])
  })

  test('a path that begins with an AS_SET, or is full, or empty, gets a new AS_SEQUENCE', async () => {
    const set = hex(`${ORIGIN}4002060101${u32(9).toString('hex')}`)
    const full = hex(`${ORIGIN}500203fe02ff${u32(9).toString('hex').repeat(255)}`)
    const empty = hex(`${ORIGIN}400200`)
    const table = await read(Buffer.concat([rib(2, '08 14', set), rib(2, '08 15', full), rib(2, '08 16', empty)]), 'rib')
    const writer = new UpdateWriter(table, Uint8Array.of(198, 18, 1, 2))
    announceAll(table, writer)
    const paths = updatesOf(writer.finish(), contextOf('IPv4Unicast', FEEDER)).map((update) =>
      update.announced[0]?.attributes.asPath.map(({ type, asns }) => [type, asns.length]),
    )
    const expected = [
      [['sequence', 1]],
      [
        ['sequence', 1],
        ['sequence', 255],
      ],
      [
        ['sequence', 1],
        ['set', 1],
      ],
    ]
    expect(paths.map((one) => JSON.stringify(one)).toSorted()).toEqual(expected.map((one) => JSON.stringify(one)).toSorted())
  })

  test('a limit ends the reading', async () => {
    expect(prefixCount(await read(DUMP, 'rib', { limit: 2 }))).toBe(2)
  })

  test('a file without such a table is refused by name', async () => {
    await expect(read(Buffer.from('nothing of the kind, and longer than a header'), 'letter')).rejects.toThrow(/letter: no IPv4Unicast RIB/)
  })
})
