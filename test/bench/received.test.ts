import { describe, expect, test } from '@jest/globals'
import { announceAll, Churn, generateTable } from '../../bench/generate.ts'
import { Framer } from '../../bench/messages.ts'
import { PrefixTable } from '../../bench/prefix-table.ts'
import { ReceivedRoutes } from '../../bench/received.ts'
import { UpdateWriter } from '../../bench/table.ts'
import { contextOf, ModelReceiver } from './model.ts'

const FEEDER = 65_001
const nextHops = { IPv4Unicast: Uint8Array.of(198, 18, 1, 2), IPv6Unicast: new Uint8Array(16).fill(1) } as const

describe('PrefixTable', () => {
  test('one slot for each prefix, the same one ever after', () => {
    const table = new PrefixTable('IPv4Unicast', 70_000)
    const octets = Uint8Array.of(0, 0, 0, 0)
    const slots = new Map<string, number>()
    for (const bits of [0, 8, 15, 16, 24, 25, 32]) {
      for (let third = 0; third < 256; third++) {
        octets.set([10, bits > 8 ? third : 0, bits > 16 ? third : 0, bits > 24 ? 128 : 0])
        slots.set(`${octets.slice(0, (bits + 7) >>> 3).join('.')}/${bits}`, table.slotOf(octets, 0, bits))
      }
    }
    expect(new Set(slots.values()).size).toBe(slots.size)
    expect(table.size).toBe(slots.size)
    octets.set([10, 7, 0, 0])
    expect(table.slotOf(octets, 0, 16)).toBe(slots.get('10.7/16'))
    expect(table.size).toBe(slots.size)
  })

  test('prefixes that differ in length only do not share a slot when they crowd one another', () => {
    const table = new PrefixTable('IPv4Unicast', 10)
    const octets = new Uint8Array(4)
    const lengths = Array.from({ length: 14 }, (_, bits) => bits)
    const slots = lengths.map((bits) => table.slotOf(octets, 0, bits))
    expect(new Set(slots).size).toBe(14)
    expect(lengths.toReversed().map((bits) => table.slotOf(octets, 0, bits))).toEqual(slots.toReversed())
  })

  test('octets after the prefix do not matter', () => {
    const table = new PrefixTable('IPv6Unicast', 100)
    const slot = table.slotOf(Uint8Array.of(0x2a, 0, 0, 0, 0, 1, 99, 99), 0, 48)
    expect(table.slotOf(Uint8Array.of(0x2a, 0, 0, 0, 0, 1), 0, 48)).toBe(slot)
  })

  test('IPv6 prefixes that differ in any octet or in length have slots of their own', () => {
    const table = new PrefixTable('IPv6Unicast', 100)
    const slots = new Set<number>()
    for (let octet = 0; octet < 16; octet++) slots.add(table.slotOf(new Uint8Array(16).fill(1, octet, octet + 1), 0, 128))
    slots.add(table.slotOf(new Uint8Array(16), 0, 128)).add(table.slotOf(new Uint8Array(16), 0, 64))
    expect(slots.size).toBe(18)
  })

  test('refuses more prefixes than it has room for', () => {
    const table = new PrefixTable('IPv4Unicast', 10)
    const fill = (): void => {
      for (let host = 0; host < 64; host++) table.slotOf(Uint8Array.of(10, 0, 0, host), 0, 32)
    }
    expect(fill).toThrow(RangeError)
  })
})

describe.each(['IPv4Unicast', 'IPv6Unicast'] as const)('ReceivedRoutes of %s', (family) => {
  const source = generateTable({ family, prefixes: 3000, attributeSets: 50, firstPrefix: 0, seed: 1, firstAsn: FEEDER })
  const make = (): { readonly routes: ReceivedRoutes; readonly feed: (stream: Uint8Array) => void } => {
    const routes = new ReceivedRoutes(new PrefixTable(family, 3000), 9)
    const framer = new Framer((_type, bytes, start, end) => routes.apply(bytes, start, end))
    return { routes, feed: (stream) => framer.push(stream) }
  }
  const written = (write: (writer: UpdateWriter) => void): Uint8Array => {
    const writer = new UpdateWriter(source, nextHops[family])
    write(writer)
    return writer.finish()
  }
  const runs = [...source.runStarts.keys()]
  const all = written((writer) => announceAll(source, writer))

  test('counts what a receiver made of maps counts, through announcements and churn', () => {
    const { routes, feed } = make()
    const model = new ModelReceiver(contextOf(family, FEEDER))
    feed(all)
    model.take(all)
    expect(routes.holding.prefixes).toBe(3000)
    const churn = new Churn(source, { fraction: 0.3, seed: 3 })
    for (let turn = 0; turn < 10; turn++) {
      const stream = written((writer) => churn.turn(writer))
      feed(stream)
      model.take(stream)
      expect(routes.holding.prefixes).toBe(model.held.size)
    }
  })

  test('the fingerprint does not depend on the order, or on what was there in between', () => {
    const straight = make()
    straight.feed(all)
    const winding = make()
    winding.feed(written((writer) => runs.toReversed().map((run) => writer.announce(run, 49))))
    winding.feed(written((writer) => runs.filter((run) => run % 3 === 0).map((run) => writer.withdraw(run))))
    expect(winding.routes.holds(straight.routes.holding)).toBe(false)
    winding.feed(written((writer) => runs.toReversed().map((run) => writer.announce(run, source.runSets[run] ?? 0))))
    winding.feed(all)
    expect(winding.routes.holding).toEqual(straight.routes.holding)
    expect(winding.routes.holds(straight.routes.holding)).toBe(true)
  })

  test('the fingerprint tells a prefix from another and an origin from another', () => {
    const holdingAfter = (run: number, set: number): number => {
      const { routes, feed } = make()
      feed(written((writer) => writer.announce(run, set)))
      return routes.holding.fingerprint
    }
    expect(new Set([holdingAfter(0, 0), holdingAfter(0, 1), holdingAfter(1, 0), holdingAfter(1, 1)]).size).toBe(4)
  })

  test('withdrawing what is not held changes nothing', () => {
    const { routes, feed } = make()
    feed(written((writer) => runs.map((run) => writer.withdraw(run))))
    expect(routes.holding).toEqual({ prefixes: 0, fingerprint: 0 })
  })
})

test('a client ignores what comes back from it (RFC 4456 §8)', () => {
  const source = generateTable({ family: 'IPv4Unicast', prefixes: 8, attributeSets: 1, firstPrefix: 0, seed: 1, firstAsn: null })
  const originator = Uint8Array.of(0x80, 9, 4, 0, 0, 0, 9)
  const reflected = { ...source, attributeSets: source.attributeSets.map((set) => new Uint8Array(Buffer.concat([set, originator]))) }
  const writer = new UpdateWriter(reflected, nextHops.IPv4Unicast)
  announceAll(reflected, writer)
  const table = new PrefixTable('IPv4Unicast', 8)
  const [own, other] = [new ReceivedRoutes(table, 9), new ReceivedRoutes(table, 10)]
  for (const routes of [own, other]) new Framer((_type, bytes, start, end) => routes.apply(bytes, start, end)).push(writer.finish())
  expect([own.holding.prefixes, other.holding.prefixes]).toEqual([0, 8])
})

test('an NLRI that ends beyond its field is refused', () => {
  const routes = new ReceivedRoutes(new PrefixTable('IPv4Unicast', 8), 9)
  const message = Buffer.from(`${'ff'.repeat(16)}001a02${'0000'}0000${'181400'}`, 'hex')
  expect(() => routes.apply(message, 0, message.length)).toThrow(RangeError)
})
