// Which nodes have endpoints of a service, from all its slices.
import { expect, test } from '@jest/globals'
import { EndpointIndex, LINGER_MS } from '../../../src/agent/services/endpoints.ts'
import { slice } from './world.ts'

const WEB = 'default/web'

function reach(index: EndpointIndex, family: 4 | 6 = 4) {
  const { readyOn, terminatingOn, isServed } = index.reach(WEB, family)
  return { ready: [...readyOn].sort(), terminating: [...terminatingOn].sort(), isServed }
}

test('an absent condition means ready; what terminates counts only while it serves (discovery.k8s.io/v1)', () => {
  const index = new EndpointIndex()
  index.put(slice('a', 'web', ['10.0.0.1@n1', '10.0.0.2@n2!', '10.0.0.3@n3~', '10.0.0.4@n4-']))
  expect(index.settle(0)).toEqual([WEB])
  expect(reach(index)).toEqual({ ready: ['n1'], terminating: ['n3'], isServed: true })
})

test('publishNotReadyAddresses shows itself as ready; one of those that terminates counts as such', () => {
  const index = new EndpointIndex()
  const published = slice('a', 'web', ['10.0.0.1@n1', '10.0.0.2@n2'])
  const [first, second] = published.endpoints
  index.put({
    ...published,
    endpoints: [
      { addresses: [], ...first, conditions: { ready: true, serving: false } },
      { addresses: [], ...second, conditions: { ready: true, serving: false, terminating: true } },
    ],
  })
  index.settle(0)
  expect(reach(index)).toEqual({ ready: ['n1'], terminating: ['n2'], isServed: true })
})

test('slices of one service are joined by label, families apart; FQDN and slices without a service are nothing', () => {
  const index = new EndpointIndex()
  index.put(slice('a', 'web', ['10.0.0.1@n1']))
  index.put(slice('b', 'web', ['10.0.0.2@n2']))
  index.put(slice('c', 'web', ['fd00::3@n3'], 'IPv6'))
  index.put(slice('d', 'web', ['example.com@n4'], 'FQDN'))
  index.put(slice('e', 'other', ['10.0.0.5@n5']))
  const bare = slice('f', 'web', ['10.0.0.6@n6'])
  index.put({ ...bare, metadata: { ...bare.metadata, labels: {} } })
  index.settle(0)
  expect(reach(index, 4).ready).toEqual(['n1', 'n2'])
  expect(reach(index, 6).ready).toEqual(['n3'])
  expect(index.count).toBe(4)
})

test('an endpoint without a node is served from nowhere in particular', () => {
  const index = new EndpointIndex()
  index.put(slice('a', 'web', ['10.0.0.1']))
  index.settle(0)
  expect(reach(index)).toEqual({ ready: [], terminating: [], isServed: true })
})

test('in two slices at once it counts once, in its best state, in either order', () => {
  for (const [first, second] of [
    ['10.0.0.1@n1', '10.0.0.1@n1!'],
    ['10.0.0.1@n1!', '10.0.0.1@n1'],
  ] as const) {
    const index = new EndpointIndex()
    index.put(slice('a', 'web', [first]))
    index.put(slice('b', 'web', [second]))
    index.settle(0)
    expect(reach(index).ready).toEqual(['n1'])
    expect(index.count).toBe(1)
  }
})

test('what vanishes without a word is believed for LINGER_MS, and no longer', () => {
  const index = new EndpointIndex()
  index.put(slice('a', 'web', ['10.0.0.1@n1']))
  index.settle(0)
  index.put(slice('a', 'web', []))
  expect(index.settle(100)).toEqual([])
  expect(index.dueMs).toBe(100 + LINGER_MS)
  expect(index.settle(99 + LINGER_MS)).toEqual([])
  expect(reach(index).ready).toEqual(['n1'])
  expect(index.settle(100 + LINGER_MS)).toEqual([WEB])
  expect(reach(index)).toEqual({ ready: [], terminating: [], isServed: false })
  expect(index.dueMs).toBeNull()
})

test('what has been terminating has ended when it vanishes', () => {
  const index = new EndpointIndex()
  index.put(slice('a', 'web', ['10.0.0.1@n1~']))
  index.settle(0)
  index.put(slice('a', 'web', []))
  expect(index.settle(1)).toEqual([WEB])
  expect(reach(index).isServed).toBe(false)
})

test('what is said not to be ready, or no longer to serve, is believed at once', () => {
  for (const mark of ['!', '-']) {
    const index = new EndpointIndex()
    index.put(slice('a', 'web', ['10.0.0.1@n1']))
    index.settle(0)
    index.put(slice('a', 'web', [`10.0.0.1@n1${mark}`]))
    expect(index.settle(1)).toEqual([WEB])
    expect(reach(index).isServed).toBe(false)
  }
})

test('a move between two slices, with a gap, is no change at all', () => {
  const index = new EndpointIndex()
  index.put(slice('a', 'web', ['10.0.0.1@n1']))
  index.settle(0)
  index.put(slice('a', 'web', []))
  expect(index.settle(10)).toEqual([])
  index.put(slice('b', 'web', ['10.0.0.1@n1']))
  expect(index.settle(500)).toEqual([])
  expect(index.settle(10_000)).toEqual([])
  expect(reach(index).ready).toEqual(['n1'])
})

test('a slice may change its service', () => {
  const index = new EndpointIndex()
  index.put(slice('a', 'web', ['10.0.0.1@n1']))
  index.settle(0)
  index.put(slice('a', 'other', ['10.0.0.1@n1']))
  index.settle(1)
  expect([...index.reach('default/other', 4).readyOn]).toEqual(['n1'])
  index.settle(1 + LINGER_MS)
  expect(reach(index).isServed).toBe(false)
})

test('when all slices of a service are gone nothing is kept of it', () => {
  const index = new EndpointIndex()
  const only = slice('a', 'web', ['10.0.0.1@n1', '10.0.0.2@n1!'])
  index.put(only)
  index.settle(0)
  index.remove(only)
  index.settle(1)
  index.settle(1 + LINGER_MS)
  expect(index.count).toBe(0)
  expect(index.dueMs).toBeNull()
})
