// Ranges of services in the tables of a reflector: passed on, and kept out of its own FIB.
import { expect, test } from '@jest/globals'
import { routerId } from '../../../src/bgp/index.ts'
import type { RibConfig } from '../../../src/bgp/rib/index.ts'
import { asn, cidr } from '../../../src/net/index.ts'
import { Bench, CONFIG, path } from './support.ts'

const REFLECTOR: Partial<RibConfig> = {
  mode: 'Host',
  asn: asn(65_000),
  clusterId: routerId(500),
  importBounds: [],
  serviceRanges: [cidr('20.1.0.0/16')],
}

test('a reflector passes on what its clients say of services, and has no route to it; others it installs', () => {
  const bench = new Bench(REFLECTOR)
  const client = bench.peer('client', '10.0.0.1', 65_000, { routeReflectorClient: true, clusterNode: true })
  const other = bench.peer('other', '10.0.0.2', 65_000, { routeReflectorClient: true, clusterNode: true })
  bench.announce(client, path('10.0.0.1', [], { localPref: 100 }), '20.1.2.3/32', '20.2.0.0/16')
  expect(bench.reason('20.1.2.3/32', 'client')).toBe('best: only path')
  expect([...other.held.keys()].sort()).toEqual(['20.1.2.3/32', '20.2.0.0/16'])
  expect([...bench.fib.keys()]).toEqual(['20.2.0.0/16'])
})

test('ranges that come and go change what it installs', () => {
  const bench = new Bench({ ...REFLECTOR, serviceRanges: [] })
  const client = bench.peer('client', '10.0.0.1', 65_000, { routeReflectorClient: true, clusterNode: true })
  bench.announce(client, path('10.0.0.1', [], { localPref: 100 }), '20.1.2.3/32')
  expect([...bench.fib.keys()]).toEqual(['20.1.2.3/32'])
  bench.rib.configure({ ...CONFIG, ...REFLECTOR })
  bench.settle()
  expect([...bench.fib.keys()]).toEqual([])
  bench.rib.configure({ ...CONFIG, ...REFLECTOR, serviceRanges: [] })
  bench.settle()
  expect([...bench.fib.keys()]).toEqual(['20.1.2.3/32'])
})

test('from outside the cluster a reflector believes no more than any host', () => {
  const bench = new Bench(REFLECTOR)
  bench.announce(bench.peer('tor', '10.0.0.9', 65_001), path('10.0.0.9', [65_001]), '20.1.2.3/32')
  expect(bench.reason('20.1.2.3/32', 'tor')).toBe("not accepted: inside the cluster's own service ranges")
})
