import { describe, expect, test } from '@jest/globals'
import { announceAll, Churn, FIRST_ORIGIN_ASN, type GenerateOptions, generateTable } from '../../bench/generate.ts'
import { UpdateWriter } from '../../bench/table.ts'
import { contextOf, ModelReceiver, updatesOf } from './model.ts'

const FEEDER = 4_200_000_001
const PREFIXES = 20_000
const options = (change: Partial<GenerateOptions> = {}): GenerateOptions => ({
  family: 'IPv4Unicast',
  prefixes: PREFIXES,
  attributeSets: 200,
  firstPrefix: 0,
  seed: 1,
  firstAsn: FEEDER,
  ...change,
})
const nextHops = { IPv4Unicast: Uint8Array.of(198, 18, 1, 2), IPv6Unicast: new Uint8Array(16).fill(1) } as const
const stream = (change: Partial<GenerateOptions> = {}): { readonly bytes: Uint8Array; readonly messages: number } => {
  const table = generateTable(options(change))
  const writer = new UpdateWriter(table, nextHops[table.family])
  announceAll(table, writer)
  return { bytes: writer.finish(), messages: writer.messages }
}

describe.each(['IPv4Unicast', 'IPv6Unicast'] as const)('a generated table of %s', (family) => {
  const { bytes, messages } = stream({ family })
  const updates = updatesOf(bytes, contextOf(family, FEEDER))

  test('announces every prefix once, in runs of mean 8', () => {
    const model = new ModelReceiver(contextOf(family, FEEDER))
    const changed = model.take(bytes)
    expect([changed.length, model.held.size]).toEqual([PREFIXES, PREFIXES])
    expect(updates).toHaveLength(messages)
    expect(PREFIXES / messages).toBeGreaterThan(7.5)
    expect(PREFIXES / messages).toBeLessThan(8.5)
  })

  test('has the promised attributes: paths of 3 to 6 from the feeder, MED on 30 %, communities on 50 %', () => {
    const sets = new Map(
      updates.flatMap(({ announced }) => announced.map(({ attributes }) => [attributes.asPath[0]?.asns.at(-1), attributes])),
    )
    expect(sets.size).toBe(200)
    const all = [...sets.values()]
    const share = (holds: (one: (typeof all)[number]) => boolean): number => all.filter(holds).length / all.length
    expect(all.every(({ asPath }) => asPath.length === 1 && asPath[0]?.asns[0] === FEEDER)).toBe(true)
    expect([...new Set(all.map(({ asPath }) => asPath[0]?.asns.length))].toSorted()).toEqual([3, 4, 5, 6])
    expect(share(({ med }) => med !== null)).toBe(0.3)
    expect(share(({ communities }) => communities.length > 0)).toBe(0.5)
    expect(Math.min(...[...sets.keys()].map((asn) => asn ?? 0))).toBe(FIRST_ORIGIN_ASN)
  })
})

test('the same seed gives the same octets, another gives others', () => {
  expect(Buffer.from(stream().bytes).equals(stream().bytes)).toBe(true)
  expect(Buffer.from(stream().bytes).equals(stream({ seed: 2 }).bytes)).toBe(false)
})

test('iBGP tables carry LOCAL_PREF and no AS of the feeder', () => {
  const attributes = updatesOf(stream({ firstAsn: null, prefixes: 100 }).bytes, contextOf('IPv4Unicast', null))[0]?.announced[0]?.attributes
  expect(attributes?.localPref).toBe(100)
  expect(attributes?.asPath[0]?.asns).not.toContain(FEEDER)
})

test('tables that begin where another ends share no prefix', () => {
  const model = new ModelReceiver(contextOf('IPv4Unicast', FEEDER))
  model.take(stream({ prefixes: 1000 }).bytes)
  model.take(stream({ prefixes: 1000, firstPrefix: 1000 }).bytes)
  expect(model.held.size).toBe(2000)
  expect(model.held.has('20.0.0.0/24') && model.held.has('20.7.207.0/24')).toBe(true)
})

test('a run that does not fit one message is cut into several of at most 4096 octets', () => {
  const table = {
    ...generateTable(options({ prefixes: 5000 })),
    runStarts: Uint32Array.of(0),
    runLengths: Uint32Array.of(5000),
    runSets: Uint32Array.of(0),
  }
  const writer = new UpdateWriter(table, nextHops.IPv4Unicast)
  announceAll(table, writer)
  expect(writer.messages).toBe(5)
  writer.withdraw(0)
  expect(writer.messages).toBe(10)
  const model = new ModelReceiver(contextOf('IPv4Unicast', FEEDER)) // whose codec refuses a message of over 4096 octets
  expect(model.take(writer.finish())).toHaveLength(10_000)
  expect(model.held.size).toBe(0)
})

describe.each(['IPv4Unicast', 'IPv6Unicast'] as const)('churn of %s', (family) => {
  test('each turn changes a tenth of the prefixes, each at most once, some away and some anew', () => {
    const table = generateTable(options({ family, prefixes: 5000 }))
    const model = new ModelReceiver(contextOf(family, FEEDER))
    const first = new UpdateWriter(table, nextHops[family])
    announceAll(table, first)
    model.take(first.finish())
    const churn = new Churn(table, { fraction: 0.1, seed: 7 })
    for (let turn = 0; turn < 5; turn++) {
      const before = new Map(model.held)
      const writer = new UpdateWriter(table, nextHops[family])
      const promised = churn.turn(writer)
      const changed = model.take(writer.finish())
      expect(changed).toHaveLength(promised)
      expect(new Set(changed).size).toBe(promised)
      expect(Math.abs(promised - 500)).toBeLessThanOrEqual(15)
      const gone = changed.filter((prefix) => before.has(prefix) && !model.held.has(prefix)).length
      const anew = changed.filter((prefix) => before.has(prefix) && model.held.has(prefix))
      expect(gone).toBeGreaterThan(100)
      expect(anew.length).toBeGreaterThan(100)
      expect(anew.every((prefix) => before.get(prefix) !== model.held.get(prefix))).toBe(true)
      expect(changed.every((prefix) => before.get(prefix) !== model.held.get(prefix))).toBe(true)
    }
  })
})
