// From services and endpoints to routes.
import { describe, expect, test } from '@jest/globals'
import { LINGER_MS } from '../../../src/agent/services/endpoints.ts'
import { HAND_OVER_MS, PROXY_MS } from '../../../src/agent/services/stance.ts'
import { cidr } from '../../../src/net/index.ts'
import { FACTS, gone, planner, put, routesOf, service, slice } from './world.ts'

const LB = { type: 'LoadBalancer' } as const
const CLUSTER = service('web', { spec: LB, balancer: ['192.0.2.9', '2001:db8:1b::9'] })
const LOCAL = service('web', { spec: { ...LB, externalTrafficPolicy: 'Local' }, balancer: ['192.0.2.9', '2001:db8:1b::9'] })

describe('ranges of cluster IPs', () => {
  test('are advertised whatever services there are', () => {
    expect(routesOf(planner([]).plan(0), true)).toEqual(['10.96.0.0/16', 'fd00:96::/112'])
  })
  test('not from an excluded node', () => {
    expect(routesOf(planner([], { standing: 'excluded' }).plan(0), true)).toEqual([])
  })
  test('a node that is cordoned lets go of them at once when others have them', () => {
    const made = planner([])
    made.plan(0)
    made.configure({ ...FACTS, standing: 'cordoned' })
    expect(routesOf(made.plan(5_000), true)).toEqual([])
  })
  test('the only node keeps them when it is cordoned, at least preference, until another has had them for HAND_OVER_MS', () => {
    const made = planner([], { others: new Set() })
    made.plan(0)
    made.configure({ ...FACTS, others: new Set(), standing: 'cordoned' })
    expect(routesOf(made.plan(1_000), true)).toEqual(['10.96.0.0/16~', 'fd00:96::/112~'])
    made.configure({ ...FACTS, others: new Set(['n2']), standing: 'cordoned' })
    expect(routesOf(made.plan(9_000), true)).toEqual(['10.96.0.0/16~', 'fd00:96::/112~'])
    expect(made.dueMs).toBe(9_000 + HAND_OVER_MS)
    expect(routesOf(made.plan(9_000 + HAND_OVER_MS), true)).toEqual([])
    expect(made.dueMs).toBeNull()
  })
  test('a cordoned node that starts says nothing of them', () => {
    expect(routesOf(planner([], { standing: 'cordoned' }).plan(0), true)).toEqual([])
  })
})

describe('policy Cluster', () => {
  test('the address goes from every node while somebody serves it, each family by itself', () => {
    const made = planner([CLUSTER, slice('a', 'web', ['10.244.0.1@n2'])])
    expect(routesOf(made.plan(0))).toEqual(['192.0.2.9/32'])
    made.apply(put(slice('b', 'web', ['fd00:244::1@n2'], 'IPv6')))
    expect(routesOf(made.plan(1))).toEqual(['192.0.2.9/32', '2001:db8:1b::9/128'])
  })
  test('not while nobody does', () => {
    const made = planner([CLUSTER, slice('a', 'web', ['10.244.0.1@n2!'])])
    expect(routesOf(made.plan(0))).toEqual([])
  })
  test('what terminates and serves is as good as ready where there is nothing else', () => {
    const made = planner([CLUSTER, slice('a', 'web', ['10.244.0.1@n2~'])])
    expect(routesOf(made.plan(0))).toEqual(['192.0.2.9/32'])
  })
  test('it goes with the service, at once', () => {
    const made = planner([CLUSTER, slice('a', 'web', ['10.244.0.1@n2'])])
    made.plan(0)
    made.apply(gone(CLUSTER))
    expect(routesOf(made.plan(1))).toEqual([])
  })
  test('endpoints that come before their service, or stay behind it, are no harm', () => {
    const made = planner([slice('a', 'web', ['10.244.0.1@n2'])])
    expect(routesOf(made.plan(0))).toEqual([])
    made.apply(put(CLUSTER))
    expect(routesOf(made.plan(1))).toEqual(['192.0.2.9/32'])
  })
  test('two services with one external IP keep it until both have gone', () => {
    const one = service('one', { spec: { externalIPs: ['198.51.100.9'] } })
    const two = service('two', { spec: { externalIPs: ['198.51.100.9'] } })
    const made = planner([one, two, slice('a', 'one', ['10.244.0.1@n2']), slice('b', 'two', ['10.244.0.2@n2'])])
    expect(made.plan(0).routes.filter(({ prefix }) => prefix.length === 32)).toEqual([
      { prefix: cidr('198.51.100.9/32'), isYielding: false, sources: ['Service/default/one', 'Service/default/two'] },
    ])
    made.apply(gone(one))
    expect(routesOf(made.plan(1))).toEqual(['198.51.100.9/32'])
    made.apply(gone(two))
    expect(routesOf(made.plan(2))).toEqual([])
  })
  test('a cordoned node lets go of it', () => {
    const made = planner([CLUSTER, slice('a', 'web', ['10.244.0.1@n2'])])
    made.plan(0)
    made.configure({ ...FACTS, standing: 'cordoned' })
    expect(routesOf(made.plan(1))).toEqual([])
    made.configure(FACTS)
    expect(routesOf(made.plan(2))).toEqual(['192.0.2.9/32'])
  })
})

describe('policy Local', () => {
  test('only from nodes with a ready endpoint', () => {
    expect(routesOf(planner([LOCAL, slice('a', 'web', ['10.244.0.1@n2'])]).plan(0))).toEqual([])
    expect(routesOf(planner([LOCAL, slice('a', 'web', ['10.244.0.1@me'])]).plan(0))).toEqual(['192.0.2.9/32'])
  })
  test('a cluster IP with internalTrafficPolicy Local has a route beside the range', () => {
    const made = planner([
      service('web', { spec: { clusterIPs: ['10.96.0.7'], internalTrafficPolicy: 'Local' } }),
      slice('a', 'web', ['10.244.0.1@me']),
    ])
    expect(routesOf(made.plan(0), true)).toEqual(['10.96.0.0/16', '10.96.0.7/32', 'fd00:96::/112'])
  })
  test('a service that goes while its route waits for kube-proxy leaves nothing to wait for', () => {
    const made = planner([LOCAL, slice('a', 'web', ['10.244.0.1@me!'])])
    made.plan(0)
    made.apply(put(slice('a', 'web', ['10.244.0.1@me'])))
    made.plan(1_000)
    made.apply(gone(LOCAL))
    expect(routesOf(made.plan(2_000))).toEqual([])
    expect(made.dueMs).toBeNull()
  })
  test('an endpoint that becomes ready has its route once kube-proxy has had its time', () => {
    const made = planner([LOCAL, slice('a', 'web', ['10.244.0.1@me!'])])
    made.plan(0)
    made.apply(put(slice('a', 'web', ['10.244.0.1@me'])))
    expect(routesOf(made.plan(1_000))).toEqual([])
    expect(made.dueMs).toBe(1_000 + PROXY_MS)
    expect(routesOf(made.plan(1_000 + PROXY_MS))).toEqual(['192.0.2.9/32'])
    made.apply(put(slice('a', 'web', ['10.244.0.1@me~', '10.244.0.2@me'])))
    expect(routesOf(made.plan(9_000))).toEqual(['192.0.2.9/32'])
  })
  test('where one terminates and another has just become ready, the route yields until kube-proxy has had its time', () => {
    const made = planner([LOCAL, slice('a', 'web', ['10.244.0.1@me~'])])
    made.plan(0)
    made.apply(put(slice('a', 'web', ['10.244.0.1@me~', '10.244.0.2@me'])))
    expect(routesOf(made.plan(1_000))).toEqual(['192.0.2.9/32~'])
    expect(routesOf(made.plan(1_000 + PROXY_MS))).toEqual(['192.0.2.9/32'])
  })
  test('an endpoint that is not ready any more costs the route at once', () => {
    const made = planner([LOCAL, slice('a', 'web', ['10.244.0.1@me'])])
    made.plan(0)
    made.apply(put(slice('a', 'web', ['10.244.0.1@me!'])))
    expect(routesOf(made.plan(1))).toEqual([])
  })
  test('the last one terminates while others have long been ready: withdrawn at once, before it stops', () => {
    const made = planner([LOCAL, slice('a', 'web', ['10.244.0.1@me', '10.244.1.1@n2'])])
    made.plan(0)
    made.apply(put(slice('a', 'web', ['10.244.0.1@me~', '10.244.1.1@n2'])))
    expect(routesOf(made.plan(1))).toEqual([])
  })
  test('the only one terminates: the route yields until another has been ready for HAND_OVER_MS', () => {
    const made = planner([LOCAL, slice('a', 'web', ['10.244.0.1@me'])])
    made.plan(0)
    made.apply(put(slice('a', 'web', ['10.244.0.1@me~'])))
    expect(routesOf(made.plan(1_000))).toEqual(['192.0.2.9/32~'])
    made.apply(put(slice('a', 'web', ['10.244.0.1@me~', '10.244.1.1@n2'])))
    expect(routesOf(made.plan(2_000))).toEqual(['192.0.2.9/32~'])
    expect(made.dueMs).toBe(2_000 + HAND_OVER_MS)
    expect(routesOf(made.plan(2_000 + HAND_OVER_MS))).toEqual([])
  })
  test('it stops serving before anybody else is ready: withdrawn at once', () => {
    const made = planner([LOCAL, slice('a', 'web', ['10.244.0.1@me~'])])
    made.plan(0)
    made.apply(put(slice('a', 'web', ['10.244.0.1@me-'])))
    expect(routesOf(made.plan(1))).toEqual([])
  })
  test('an endpoint on a node that does not take part is no reason to let go', () => {
    const made = planner([LOCAL, slice('a', 'web', ['10.244.0.1@me', '10.244.9.1@excluded'])])
    made.plan(0)
    made.apply(put(slice('a', 'web', ['10.244.0.1@me~', '10.244.9.1@excluded'])))
    expect(routesOf(made.plan(60_000))).toEqual(['192.0.2.9/32~'])
  })
  test('cordoned with the only endpoint: keeps the route until the pod has a successor elsewhere, and then lets go', () => {
    const made = planner([LOCAL, slice('a', 'web', ['10.244.0.1@me'])])
    made.plan(0)
    made.configure({ ...FACTS, standing: 'cordoned' })
    expect(routesOf(made.plan(1_000))).toEqual(['192.0.2.9/32~'])
    made.apply(put(slice('a', 'web', ['10.244.0.1@me~', '10.244.1.1@n2!'])))
    expect(routesOf(made.plan(2_000))).toEqual(['192.0.2.9/32~'])
    made.apply(put(slice('a', 'web', ['10.244.0.1@me~', '10.244.1.1@n2'])))
    expect(routesOf(made.plan(3_000))).toEqual(['192.0.2.9/32~'])
    expect(routesOf(made.plan(3_000 + HAND_OVER_MS))).toEqual([])
  })
  test('families do not speak for one another', () => {
    const made = planner([LOCAL, slice('a', 'web', ['10.244.0.1@me~', '10.244.1.1@n2']), slice('b', 'web', ['fd00::1@me'], 'IPv6')])
    expect(routesOf(made.plan(0))).toEqual(['2001:db8:1b::9/128'])
  })
  test('vanished without a word: believed for LINGER_MS', () => {
    const made = planner([LOCAL, slice('a', 'web', ['10.244.0.1@me'])])
    made.plan(0)
    made.apply(gone(slice('a', 'web', [])))
    expect(routesOf(made.plan(1))).toEqual(['192.0.2.9/32'])
    expect(routesOf(made.plan(1 + LINGER_MS))).toEqual([])
  })
  test('a plain route of one service outweighs that another one yields the same address', () => {
    const shared = (name: string) => service(name, { spec: { externalIPs: ['198.51.100.9'], externalTrafficPolicy: 'Local' } })
    const made = planner([shared('one'), shared('two'), slice('a', 'one', ['10.244.0.1@me~']), slice('b', 'two', ['10.244.0.2@me'])])
    expect(routesOf(made.plan(0))).toEqual(['198.51.100.9/32'])
    made.apply(gone(shared('two')))
    expect(routesOf(made.plan(1))).toEqual(['198.51.100.9/32~'])
  })
})

test('a plan in which nothing changed is the same object, whatever endpoints of others do', () => {
  const made = planner([LOCAL, slice('a', 'web', ['10.244.0.1@me', '10.244.1.1@n2'])])
  const first = made.plan(0)
  made.apply(put(slice('a', 'web', ['10.244.0.1@me', '10.244.1.1@n2!', '10.244.2.1@n3'])))
  expect(made.plan(1)).toBe(first)
  made.configure({ ...FACTS, others: new Set(['n3', 'n2']) })
  expect(made.plan(2)).toBe(first)
})

test('other ranges take effect at once', () => {
  const made = planner([CLUSTER, slice('a', 'web', ['10.244.0.1@n2'])])
  made.plan(0)
  made.configure({ ...FACTS, loadBalancerIPs: [cidr('192.0.2.0/29')] })
  expect(routesOf(made.plan(1))).toEqual([])
})

test('faults become problems, come and go, and are bounded', () => {
  const bad = (name: string) => service(name, { annotations: { 'fibula.network/advertise': 'maybe' } })
  const made = planner([bad('a')])
  expect(made.plan(0).problems).toEqual([expect.objectContaining({ severity: 'warning', subject: 'Service/default/a' })])
  made.apply(put(service('a')))
  expect(made.plan(1).problems).toEqual([])
  made.apply(put(...Array.from({ length: 100 }, (_, at) => bad(`s${at}`))))
  const { problems } = made.plan(2)
  expect(problems).toHaveLength(21)
  expect(problems.at(-1)?.message).toMatch(/80 more services/)
  made.apply(gone(...Array.from({ length: 79 }, (_, at) => bad(`s${at}`)))) // one more than are shown
  expect(made.plan(3).problems.at(-1)?.message).toMatch(/^1 more services/)
  made.apply(gone(...Array.from({ length: 100 }, (_, at) => bad(`s${at}`))))
  expect(made.plan(4).problems).toEqual([])
})
