import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { ORIGINATED, type PathAttributes } from '../../../src/bgp/attributes.ts'
import { hashAttributes, sameAttributes } from '../../../src/bgp/rib/attribute-equality.ts'
import { AttributeTable } from '../../../src/bgp/rib/attribute-table.ts'
import { Bits, RowQueue } from '../../../src/bgp/rib/columns.ts'
import { IntPairMap } from '../../../src/bgp/rib/int-pair-map.ts'
import { NextHopTable } from '../../../src/bgp/rib/next-hop-table.ts'
import { PrefixTable } from '../../../src/bgp/rib/prefix-table.ts'
import { PrefixSet, wordsOf } from '../../../src/bgp/rib/prefix-words.ts'
import { containsAddress, covers, formatPrefix, ip, ipv4, ipv6, type Prefix, prefix } from '../../../src/net/index.ts'
import { path, V4, V6 } from './support.ts'

const small4 = fc
  .tuple(fc.nat({ max: 15 }), fc.nat({ max: 8 }))
  .map(([bits, length]): Prefix => prefix(ipv4(((bits << 28) | 0x0012_3456) >>> 0), length))
const small6 = fc
  .tuple(fc.nat({ max: 7 }), fc.nat({ max: 128 }))
  .map(([bits, length]): Prefix => prefix(ipv6((BigInt(bits) << 96n) | (BigInt(bits) << 62n) | BigInt(bits)), length))

describe('PrefixTable behaves as a map from prefix to a row of its own', () => {
  test.each([
    ['IPv4', V4, small4],
    ['IPv6', V6, small6],
  ] as const)('%s', (_name, family, arbitrary) => {
    fc.assert(
      fc.property(fc.array(fc.tuple(arbitrary, fc.boolean()), { maxLength: 300 }), (steps) => {
        const table = new PrefixTable(family)
        const model = new Map<string, number>()
        for (const [value, isAdd] of steps) {
          const { w0, w1, w2, w3, length } = wordsOf(value)
          const key = formatPrefix(value)
          const row = table.find(w0, w1, w2, w3, length)
          expect(row).toBe(model.get(key) ?? 0)
          if (isAdd) model.set(key, table.findOrAdd(w0, w1, w2, w3, length))
          else if (row !== 0) {
            table.remove(row)
            model.delete(key)
          }
        }
        expect(table.count).toBe(model.size)
        expect(new Set(model.values()).size).toBe(model.size)
        for (const [key, row] of model) expect([formatPrefix(table.prefixOf(row)), table.isUsed(row)]).toEqual([key, true])
      }),
      { numRuns: 200 },
    )
  })

  test('growing keeps everything, and tells the columns of others', () => {
    const table = new PrefixTable(V4)
    const grown: number[] = []
    table.onGrow.add((capacity) => grown.push(capacity))
    const rows = Array.from({ length: 20_000 }, (_, index) => table.findOrAdd((index * 256) | 0, 0, 0, 0, 24))
    expect(rows.map((_row, index) => table.find((index * 256) | 0, 0, 0, 0, 24))).toEqual(rows)
    expect(grown.at(-1)).toBe(table.capacity)
  })
})

test('IntPairMap behaves as a map, also when entries of one key are taken out', () => {
  const key = fc.nat({ max: 12 })
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          fc.constantFrom('set' as const, 'set' as const, 'delete' as const, 'reset' as const),
          key,
          fc.integer({ min: -3, max: 3 }),
          fc.nat(),
        ),
        { maxLength: 200 },
      ),
      (steps) => {
        const map = new IntPairMap()
        let model = new Map<string, number>()
        for (const [kind, first, second, value] of steps) {
          if (kind === 'set') {
            map.set(first, second, value)
            model.set(`${first} ${second}`, value)
          } else if (kind === 'delete') {
            const removed: number[] = []
            map.deleteAll(first, (each) => removed.push(each))
            const expected = [...model].filter(([each]) => each.startsWith(`${first} `))
            for (const [each] of expected) model.delete(each)
            expect(removed.sort()).toEqual(expected.map(([, each]) => each).sort())
          } else if (value % 5 === 0) {
            map.reset()
            model = new Map()
          }
        }
        expect(map.size).toBe(model.size)
        for (let first = 0; first <= 12; first++)
          for (let second = -3; second <= 3; second++) expect(map.get(first, second, -9)).toBe(model.get(`${first} ${second}`) ?? -9)
      },
    ),
    { numRuns: 300 },
  )
})

test('Bits behaves as a sorted set', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat({ max: 200 }), fc.boolean())), fc.nat({ max: 220 }), (steps, from) => {
      const bits = new Bits()
      const model = new Set<number>()
      for (const [index, isAdd] of steps) {
        expect(isAdd ? bits.add(index) : bits.delete(index)).toBe(model.has(index) !== isAdd)
        if (isAdd) model.add(index)
        else model.delete(index)
      }
      expect(bits.count).toBe(model.size)
      expect(bits.next(from)).toBe([...model].filter((index) => index >= from).sort((a, b) => a - b)[0] ?? -1)
    }),
  )
})

test('RowQueue gives back what went in, in order, over any number of blocks', () => {
  const queue = new RowQueue()
  let next = 1
  let expected = 1
  for (const [put, take] of [
    [10, 5],
    [20_000, 12_000],
    [1, 8006],
    [9000, 9000],
    [0, 0],
    [3, 3],
  ] as const) {
    for (let index = 0; index < put; index++) queue.push(next++)
    const taken = Array.from({ length: take }, () => queue.shift())
    expect(taken).toEqual(Array.from({ length: take }, () => expected++))
    expect(queue.length).toBe(next - expected)
  }
  expect(queue.shift()).toBe(0)
})

describe('PrefixSet agrees with looking at every member', () => {
  test.each([
    [4, small4],
    [6, small6],
  ] as const)('IPv%i', (family, arbitrary) => {
    fc.assert(
      fc.property(fc.array(arbitrary, { maxLength: 12 }), arbitrary, (members, asked) => {
        const set = new PrefixSet(members, family)
        const { w0, w1, w2, w3, length } = wordsOf(asked)
        expect(set.covers(w0, w1, w2, w3, length)).toBe(members.some((member) => covers(member, asked)))
        const hosts = new PrefixSet(
          members.map(({ address }) => prefix(address, family === 4 ? 32 : 128)),
          family,
        )
        expect(hosts.hasWithin(w0, w1, w2, w3, length)).toBe(members.some(({ address }) => containsAddress(asked, address)))
      }),
      { numRuns: 500 },
    )
  })
})

describe('AttributeTable', () => {
  const table = (): AttributeTable => new AttributeTable(new NextHopTable())

  test('equal sets have one number, whoever built them', () => {
    const attributes = table()
    expect(attributes.intern(path('10.0.0.1', [1, 2]))).toBe(attributes.intern(path('10.0.0.1', [1, 2])))
    expect(attributes.intern(path('10.0.0.1', [1, 2]))).not.toBe(attributes.intern(path('10.0.0.2', [1, 2])))
  })

  test('every field tells sets apart', () => {
    const base = path('10.0.0.1', [1, 2])
    const others: readonly Partial<PathAttributes>[] = [
      { origin: 'egp' },
      { asPath: [{ type: 'set', asns: base.asPath[0]?.asns ?? [] }] },
      { asPath: [...base.asPath, ...base.asPath] },
      { nextHop: null },
      { nextHop: { address: ip('2001:db8::1'), linkLocal: ip('fe80::1') as never } },
      { nextHop: { address: ip('2001:db8::1'), linkLocal: null } },
      { med: 0 },
      { localPref: 0 },
      { atomicAggregate: true },
      { aggregator: { asn: 1 as never, address: 1 as never } },
      { aggregator: { asn: 2 as never, address: 1 as never } },
      { communities: [1 as never] },
      { communities: [2 as never] },
      { originatorId: 1 as never },
      { clusterList: [1 as never] },
      { extendedCommunities: [1n] },
      { extendedCommunities: [1n << 40n] },
      { ipv6ExtendedCommunities: ['00'.repeat(20)] },
      { largeCommunities: [[1, 2, 3]] },
      { largeCommunities: [[9, 2, 3]] },
      { onlyToCustomer: 1 as never },
      { unknown: [{ type: 99, flags: 0xc0, value: Uint8Array.of(1) }] },
      { unknown: [{ type: 99, flags: 0xe0, value: Uint8Array.of(1) }] },
      { unknown: [{ type: 99, flags: 0xc0, value: Uint8Array.of(2) }] },
    ]
    const sets = [base, ...others.map((more) => ({ ...base, ...more }))]
    const attributes = table()
    expect(new Set(sets.map((set) => attributes.intern(set))).size).toBe(sets.length)
    for (const [at, set] of sets.entries()) {
      const copy = structuredClone(set)
      expect([hashAttributes(copy), attributes.intern(copy)]).toEqual([hashAttributes(set), attributes.intern(set)])
      for (const [other, each] of sets.entries()) expect(sameAttributes(set, each)).toBe(at === other)
    }
  })

  test('what nobody holds is given back, and its number used again', () => {
    const attributes = table()
    const freed: number[] = []
    attributes.onFree.add((id) => freed.push(id))
    const kept = attributes.intern(ORIGINATED)
    attributes.hold(kept)
    const lost = attributes.intern(path('10.0.0.1', [1]))
    attributes.reap()
    expect([freed, attributes.count]).toEqual([[lost], 1])
    expect(attributes.intern(path('10.0.0.2', [2]))).toBe(lost)
    attributes.release(kept)
    attributes.hold(kept)
    attributes.reap()
    expect(attributes.get(kept)).toBe(ORIGINATED)
  })

  test('thousands of sets come and go', () => {
    const attributes = table()
    const ids = Array.from({ length: 5000 }, (_, index) => {
      const id = attributes.intern(path('10.0.0.1', [index + 1]))
      attributes.hold(id)
      return id
    })
    expect(ids.map((_id, index) => attributes.intern(path('10.0.0.1', [index + 1])))).toEqual(ids)
    for (const id of ids) attributes.release(id)
    attributes.reap()
    expect(attributes.count).toBe(0)
  })
})
