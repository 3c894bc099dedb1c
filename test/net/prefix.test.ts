import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  cidr,
  comparePrefix,
  containsAddress,
  covers,
  formatIp,
  formatPrefix,
  hostPrefix,
  ip,
  ipv4,
  ipv6,
  lastAddress,
  type Prefix,
  PrefixMap,
  parseAsn,
  parseMac,
  parsePrefix,
  prefix,
} from '../../src/net/index.ts'

const anyPrefix: fc.Arbitrary<Prefix> = fc.oneof(
  fc.tuple(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 0, max: 32 })).map(([value, length]) => prefix(ipv4(value), length)),
  fc
    .tuple(fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), fc.integer({ min: 0, max: 128 }))
    .map(([value, length]) => prefix(ipv6(value), length)),
)

describe('text', () => {
  test.each([
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['255.255.255.255/0', '0.0.0.0/0'],
    ['10.1.2.3/32', '10.1.2.3/32'],
    ['fd00:1:2:3::4/48', 'fd00:1:2::/48'],
    ['ffff::/0', '::/0'],
  ])('%s is %s', (text, canonical) => {
    expect(formatPrefix(cidr(text))).toBe(canonical)
  })

  test.each(['10.0.0.0', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/08', 'fd00::/129', '/8', '10.0.0.0/8/8'])(
    '%j is no prefix',
    (text) => {
      expect(parsePrefix(text)).toBeNull()
    },
  )

  test('parse(format(p)) is p, for every prefix', () => {
    fc.assert(fc.property(anyPrefix, (value) => comparePrefix(parsePrefix(formatPrefix(value)) ?? cidr('0.0.0.0/0'), value) === 0))
  })
})

test.each([
  ['10.0.0.0/8', '10.1.0.0/16', true],
  ['10.0.0.0/8', '10.0.0.0/8', true],
  ['10.1.0.0/16', '10.0.0.0/8', false],
  ['10.0.0.0/8', '11.0.0.0/16', false],
  ['0.0.0.0/0', '::/0', false],
  ['::/0', 'fd00::/8', true],
])('%s covers %s: %s', (outer, inner, expected) => {
  expect(covers(cidr(outer), cidr(inner))).toBe(expected)
})

test.each([
  ['10.0.0.0/30', '10.0.0.3'],
  ['0.0.0.0/0', '255.255.255.255'],
  ['10.0.0.1/32', '10.0.0.1'],
  ['fd00::/126', 'fd00::3'],
])('the last address of %s is %s', (text, last) => {
  expect(formatIp(lastAddress(cidr(text)))).toBe(last)
  expect(containsAddress(cidr(text), ip(last))).toBe(true)
})

test('the host prefix of an address is itself', () => {
  expect(formatPrefix(hostPrefix(ip('10.0.0.1')))).toBe('10.0.0.1/32')
  expect(formatPrefix(hostPrefix(ip('fd00::1')))).toBe('fd00::1/128')
})

describe('PrefixMap', () => {
  const small: fc.Arbitrary<Prefix> = fc
    .tuple(fc.integer({ min: 0, max: 15 }), fc.integer({ min: 28, max: 32 }))
    .map(([low, length]) => prefix(ipv4(low), length))

  test('agrees with a plain list on every operation', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), small, fc.integer()), { maxLength: 40 }), small, (operations, asked) => {
        const map = new PrefixMap<number>()
        const list = new Map<string, { readonly at: Prefix; readonly value: number }>()
        for (const [isSet, at, value] of operations) {
          if (isSet) {
            map.set(at, value)
            list.set(formatPrefix(at), { at, value })
          } else expect(map.delete(at)).toBe(list.delete(formatPrefix(at)))
        }
        expect(map.size).toBe(list.size)
        const covering = [...list.values()].filter(({ at }) => covers(at, asked)).sort((a, b) => b.at.length - a.at.length)
        expect(map.longestMatch(asked)?.value).toBe(covering[0]?.value)
        expect(map.get(asked)).toBe(list.get(formatPrefix(asked))?.value)
        const inside = [...list.values()].filter(({ at }) => covers(asked, at)).map(({ at }) => formatPrefix(at))
        expect([...map.coveredBy(asked)].map(([at]) => formatPrefix(at)).sort()).toEqual(inside.sort())
      }),
    )
  })

  test('longest match may pass over entries', () => {
    const map = new PrefixMap<string>()
    map.set(cidr('10.0.0.0/8'), 'wide')
    map.set(cidr('10.0.0.0/24'), 'narrow')
    expect(map.lookup(ip('10.0.0.1'))?.value).toBe('narrow')
    expect(map.lookup(ip('10.0.0.1'), (value) => value !== 'narrow')?.value).toBe('wide')
    expect(map.lookup(ip('fd00::1'))).toBeUndefined()
    map.clear()
    expect([...map.entries()]).toEqual([])
  })
})

test.each([
  ['65001', 65001],
  ['4294967295', 4294967295],
  ['1.10', 65546],
  ['0', null],
  ['4294967296', null],
  ['65536.1', null],
  ['-1', null],
  ['', null],
])('AS number %j is %s', (text, expected) => {
  expect(parseAsn(text)).toBe(expected)
})

test('MAC addresses are lower case; anything else is none', () => {
  expect(parseMac('EE:EE:ee:00:0A:01')).toBe('ee:ee:ee:00:0a:01')
  expect(parseMac('ee-ee-ee-00-0a-01')).toBeNull()
})
