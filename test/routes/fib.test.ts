import { describe, expect, test } from '@jest/globals'
import { cidr, ip, ipToBytes } from '../../src/net/index.ts'
import type { RouteView } from '../../src/routes/backend.ts'
import { Fib } from '../../src/routes/fib.ts'
import { FibTable, RowQueue } from '../../src/routes/fib-table.ts'
import { unicast } from '../../src/routes/route.ts'
import { fibBatch, via } from '../support/fib-batch.ts'

function view(prefix: string, protocol: number): RouteView {
  const { address, length } = cidr(prefix)
  const bytes = new Uint8Array(16)
  bytes.set(ipToBytes(address))
  const body = unicast([{ gateway: ip('10.0.0.9'), interfaceIndex: 2, onlink: false }], null)
  return { family: 4, address: bytes, length, protocol, metric: 0, tos: 0, body }
}

function emptied(fib: Fib): Fib {
  expect(fib.nextWrites(100, 0)).toBeNull()
  return fib
}

describe('Fib', () => {
  test('rows of foreign routes that are gone are given back, also those only an abandoned read-back saw', () => {
    const fib = new Fib(4, () => 0)
    fib.startReadBack()
    fib.readRoute(view('192.0.2.0/24', 4))
    fib.startReadBack()
    fib.readRoute(view('198.51.100.0/24', 4))
    fib.finishReadBack('consistent')
    expect(emptied(fib).table.findPrefix(cidr('192.0.2.0/24'))).toBe(-1)
    expect(fib.table.findPrefix(cidr('198.51.100.0/24'))).toBeGreaterThanOrEqual(0)
    fib.routeChanged(view('198.51.100.0/24', 4), 'removed')
    expect(emptied(fib).table.findPrefix(cidr('198.51.100.0/24'))).toBe(-1)
  })

  test('writes come in portions, changes before removals', () => {
    const fib = new Fib(4, () => 0)
    fib.startReadBack()
    fib.finishReadBack('consistent')
    const done = (): readonly number[] => {
      const pending = fib.nextWrites(3, 0)
      if (pending === null) return []
      fib.recordOutcome(pending, { failures: [], unknown: [] }, 0)
      return [...pending.writes.operations.subarray(0, pending.writes.count)]
    }
    fib.applyBatch(fibBatch({ '10.1.0.0/16': 1, '10.2.0.0/16': 1 }, { 1: [via('10.0.0.2', 2)] }))
    expect(done()).toEqual([0, 0])
    fib.applyBatch(fibBatch({ '10.1.0.0/16': 0, '10.2.0.0/16': 0, '10.3.0.0/16': 1, '10.4.0.0/16': 1, '10.5.0.0/16': 1, '10.6.0.0/16': 1 }))
    expect([done(), done(), done(), done()]).toEqual([[0, 0, 0], [0], [2, 2], []])
  })

  test('a removal that is taken back while it waits is forgotten, not the row', () => {
    const fib = new Fib(4, () => 0)
    fib.startReadBack()
    fib.finishReadBack('consistent')
    const done = (): readonly number[] => {
      const pending = fib.nextWrites(100, 0)
      if (pending !== null) fib.recordOutcome(pending, { failures: [], unknown: [] }, 0)
      return pending === null ? [] : [...pending.writes.operations.subarray(0, pending.writes.count)]
    }
    fib.applyBatch(fibBatch({ '10.1.0.0/16': 1 }, { 1: [via('10.0.0.2', 2)], 2: [via('10.0.0.3', 2)] }))
    expect(done()).toEqual([0])
    fib.applyBatch(fibBatch({ '10.1.0.0/16': 0, '10.3.0.0/16': 1 }))
    expect(done()).toEqual([0])
    fib.applyBatch(fibBatch({ '10.1.0.0/16': 1 }))
    expect(done()).toEqual([])
    fib.applyBatch(fibBatch({ '10.1.0.0/16': 2 }))
    expect(done()).toEqual([1])
  })

  test('a set named anew changes every route that uses it', () => {
    const fib = new Fib(4, () => 0)
    fib.startReadBack()
    fib.finishReadBack('consistent')
    fib.applyBatch(fibBatch({ '10.1.0.0/16': 1, '10.2.0.0/16': 1 }, { 1: [via('10.0.0.2', 2)] }))
    const first = fib.nextWrites(10, 0)
    if (first !== null) fib.recordOutcome(first, { failures: [], unknown: [] }, 0)
    fib.applyBatch(fibBatch({}, { 1: [via('10.0.0.3', 2)] }))
    expect(fib.nextWrites(10, 0)?.writes).toMatchObject({ count: 2, bodies: [unicast([via('10.0.0.3', 2)], null)] })
  })
})

describe('FibTable agrees with a map', () => {
  test.each([4, 6] as const)('IPv%d: fifty thousand random insertions and releases', (family) => {
    const table = new FibTable(family)
    const model = new Map<string, number>()
    const octets = family === 4 ? 4 : 16
    let seed = 12345
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      return (seed >>> 8) % below
    }
    const key = new Uint8Array(octets)
    const wrong: string[] = []
    for (let step = 0; step < 50_000; step++) {
      key[octets - 1] = random(256)
      key[octets - 2] = random(16)
      key[0] = random(4)
      const length = random(3) + 24
      const text = `${key.join('.')}/${length}`
      const row = table.find(key, 0, length)
      if (row !== (model.get(text) ?? -1)) wrong.push(`step ${step}: ${text} found in row ${row}`)
      if (row < 0) {
        const made = table.insert(key, 0, length)
        if (table.insert(key, 0, length) !== made) wrong.push(`step ${step}: ${text} inserted twice`)
        model.set(text, made)
      } else if (random(2) === 0) {
        table.release(row)
        model.delete(text)
      }
    }
    expect(new Set(model.values()).size).toBe(model.size)
    expect(table.high).toBeLessThanOrEqual(256 * 16 * 4 * 3)
    for (const [text, row] of model) {
      const into = new Uint8Array(octets)
      table.putAddress(row, into, 0)
      if (`${into.join('.')}/${table.lengthOf(row)}` !== text) wrong.push(`row ${row} is not ${text}`)
    }
    expect(wrong).toEqual([])
  })
})

test('RowQueue is first in, first out, over growth and wrap-around', () => {
  const queue = new RowQueue()
  let next = 0
  let expected = 0
  for (let round = 0; round < 2000; round++) {
    for (let n = 0; n < round % 7; n++) queue.push(next++)
    for (let n = 0; n < round % 5 && queue.length > 0; n++) expect(queue.shift()).toBe(expected++)
  }
  while (queue.length > 0) expect(queue.shift()).toBe(expected++)
  expect([expected, queue.shift()]).toEqual([next, -1])
})
