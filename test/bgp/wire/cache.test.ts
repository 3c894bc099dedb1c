import { describe, expect, test } from '@jest/globals'
import { AttributeCache } from '../../../src/bgp/wire/index.ts'
import {
  attributeHex,
  attributesIn,
  bytesOf,
  decodedUpdate,
  external,
  mandatory,
  ORIGIN_IGP,
  PATH_65001,
  PREFIX,
  REACH_V6,
  rawUpdate,
} from './build.ts'

function withMed(med: number): readonly string[] {
  return [...mandatory('eBGP'), attributeHex(0x80, 4, med.toString(16).padStart(8, '0'))]
}

describe('attributes seen before on a session', () => {
  test('equal octets are the identical object, with the same malformations', () => {
    const context = external()
    const bad = [...mandatory('eBGP'), attributeHex(0x40, 6, '00')]
    const first = decodedUpdate(rawUpdate({ attributes: bad, nlri: PREFIX }), context)
    const second = decodedUpdate(rawUpdate({ attributes: bad, nlri: '18 c63365' }), context)
    expect(attributesIn(second)).toBe(attributesIn(first))
    expect(second.malformations).toEqual(first.malformations)
    expect(second.malformations).toHaveLength(1)
    expect(context.attributeCache.size).toBe(1)
  })

  test('what is remembered does not lie in the message it came in', () => {
    const attributes = [...mandatory('eBGP'), attributeHex(0xc0, 99, 'deadbeef'), attributeHex(0xc0, 40, '01 0007 00000000000064')]
    const context = external()
    const bytes = rawUpdate({ attributes, nlri: PREFIX })
    const { unknown } = attributesIn(decodedUpdate(bytes, context))
    bytes.fill(0)
    expect(unknown.map(({ value }) => Buffer.from(value).toString('hex'))).toEqual(['01000700000000000064', 'deadbeef'])
    expect(attributesIn(decodedUpdate(rawUpdate({ attributes, nlri: PREFIX }), context)).unknown).toBe(unknown)
  })

  test('one octet of difference is another object', () => {
    const context = external()
    const [a, b] = [1, 2].map((med) => attributesIn(decodedUpdate(rawUpdate({ attributes: withMed(med), nlri: PREFIX }), context)))
    expect(a?.med).toBe(1)
    expect(b?.med).toBe(2)
  })

  test('the prefixes of MP attributes, and their place, do not matter; the next hop does', () => {
    const context = external()
    const rest = [ORIGIN_IGP, PATH_65001]
    const other = REACH_V6.replace('20010db80001', '20010db80002')
    const longer = '90 0e 0023 0002 01 10 20010db8000000000000000000000001 00 30 20010db80003 30 20010db80004'
    const sets = [
      [REACH_V6, ...rest],
      [other, ...rest],
      [longer, ...rest],
      [...rest, REACH_V6],
      [ORIGIN_IGP, REACH_V6, PATH_65001],
    ].map((attributes) => attributesIn(decodedUpdate(rawUpdate({ attributes }), context)))
    expect(new Set(sets).size).toBe(1)
    const elsewhere = REACH_V6.replace('0001 00 30', '0002 00 30')
    expect(attributesIn(decodedUpdate(rawUpdate({ attributes: [elsewhere, ...rest] }), context)).nextHop).toMatchObject({
      address: 0x20010db8000000000000000000000002n,
    })
    expect(context.attributeCache.size).toBe(2)
  })

  test('the same octets for an NLRI field, for MP_REACH_NLRI and for both are judged apart', () => {
    const context = external()
    const withoutNextHop = [ORIGIN_IGP, PATH_65001]
    expect(decodedUpdate(rawUpdate({ attributes: [REACH_V6, ...withoutNextHop] }), context).announced).toHaveLength(1)
    expect(decodedUpdate(rawUpdate({ attributes: withoutNextHop, nlri: PREFIX }), context).announced).toHaveLength(0)
    expect(decodedUpdate(rawUpdate({ attributes: withoutNextHop }), context).malformations).toEqual([])
    expect(decodedUpdate(rawUpdate({ attributes: [REACH_V6, ...withoutNextHop] }), context).announced).toHaveLength(1)
  })

  test('a next hop is not taken for the end of the attributes, nor the other way round', () => {
    const context = external()
    const tail = attributeHex(0xc0, 99, '20010db8000000000000000000000001')
    const first = decodedUpdate(rawUpdate({ attributes: [REACH_V6, ORIGIN_IGP, PATH_65001] }), context)
    const second = decodedUpdate(rawUpdate({ attributes: [ORIGIN_IGP, PATH_65001, tail] }), context)
    expect(first.announced).toHaveLength(1)
    expect(second.announced).toHaveLength(0)
  })

  test('is bounded by entries and by octets: when full it starts again', () => {
    for (const cache of [new AttributeCache({ maxEntries: 10 }), new AttributeCache({ maxKeyOctets: 300 })]) {
      const context = external({ attributeCache: cache })
      for (let med = 0; med < 1000; med++) {
        const update = decodedUpdate(rawUpdate({ attributes: withMed(med), nlri: PREFIX }), context)
        expect(attributesIn(update).med).toBe(med)
        expect(cache.size).toBeLessThanOrEqual(12)
      }
      expect(cache.size).toBeGreaterThan(0)
    }
  })

  test('a set larger than the whole cache is decoded and not kept', () => {
    const cache = new AttributeCache({ maxKeyOctets: 20 })
    const context = external({ attributeCache: cache })
    expect(decodedUpdate(rawUpdate({ attributes: withMed(1), nlri: PREFIX }), context).announced).toHaveLength(1)
    expect(cache.size).toBe(0)
  })

  test('thousands of sets are told apart', () => {
    const context = external()
    const seen = new Map<number, unknown>()
    for (let round = 0; round < 2; round++) {
      for (let med = 0; med < 2000; med++) {
        const attributes = attributesIn(decodedUpdate(rawUpdate({ attributes: withMed(med), nlri: PREFIX }), context))
        expect(attributes.med).toBe(med)
        if (round === 0) seen.set(med, attributes)
        else expect(attributes).toBe(seen.get(med))
      }
    }
    expect(context.attributeCache.size).toBe(2000)
  })

  test('sets of equal hash are told apart by their octets', () => {
    const context = external()
    const [a, b] = equalHashes().map((value) =>
      attributesIn(decodedUpdate(rawUpdate({ attributes: [...mandatory('eBGP'), attributeHex(0xc0, 8, value)], nlri: PREFIX }), context)),
    )
    expect(a?.communities).not.toEqual(b?.communities)
    expect(context.attributeCache.size).toBe(2)
  })

  test('sets made to collide are not searched for long: the cache starts again', () => {
    const cache = new AttributeCache()
    const context = external({ attributeCache: cache })
    const meds = collidingMeds(100)
    expect(meds).toHaveLength(100)
    for (const med of meds) {
      const update = decodedUpdate(rawUpdate({ attributes: withMed(med), nlri: PREFIX }), context)
      expect(attributesIn(update).med).toBe(med)
    }
    expect(cache.size).toBeLessThanOrEqual(65)
  })
})

/** FNV-1a, as the cache hashes. */
function fnv(octets: ArrayLike<number>, seed: number): number {
  let hash = seed
  for (let at = 0; at < octets.length; at++) hash = Math.imul(hash ^ (octets[at] ?? 0), 0x0100_0193)
  return hash
}

/** Where the hash of an attribute list for an NLRI field stands after the mandatory attributes and these octets. */
function hashBehindMandatory(hex: string): number {
  const shapeOfNlriField = 0x100
  return fnv(bytesOf(`${mandatory('eBGP').join('')}${hex}`), shapeOfNlriField)
}

function octetsOf(value: number): readonly number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]
}

/** MEDs that put their attribute sets into the same slot, whatever the size of the table: what a hostile peer would send. */
function collidingMeds(count: number): readonly number[] {
  const prefix = hashBehindMandatory('800404')
  const found: number[] = []
  for (let med = 0; found.length < count && med < 8_000_000; med++) {
    const hash = fnv(octetsOf(med), prefix)
    if (((hash ^ (hash >>> 15)) & 0xfff) === 0) found.push(med)
  }
  return found
}

/** Two values of a community list whose attribute sets have one and the same 32-bit hash (found by birthday). */
function equalHashes(): readonly [string, string] {
  const prefix = hashBehindMandatory('c00808')
  const seen = new Map<number, string>()
  for (let index = 1; index < 2_000_000; index++) {
    const octets = [...octetsOf(Math.imul(index, 0x9e37_79b1)), ...octetsOf(Math.imul(index, 0x85eb_ca6b) ^ 0x5bd1_e995)]
    const hash = fnv(octets, prefix)
    const text = Buffer.from(octets).toString('hex')
    const before = seen.get(hash)
    if (before !== undefined) return [before, text]
    seen.set(hash, text)
  }
  throw new Error('no two sets collide')
}
