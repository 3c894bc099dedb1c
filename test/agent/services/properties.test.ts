// Whatever order events come in, and however slices are rewritten: the plan is what the last state of everything says, and no route
// goes that should not.
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { LINGER_MS } from '../../../src/agent/services/endpoints.ts'
import { PROXY_MS, type ServiceFacts } from '../../../src/agent/services/index.ts'
import { formatIp, formatPrefix, hostPrefix, ip } from '../../../src/net/index.ts'
import type { Change, ResourceOf } from '../../../src/store/index.ts'
import { FACTS, gone, planner, put, routesOf, service, slice } from './world.ts'

type Service = ResourceOf<'Service'>
type Slice = ResourceOf<'EndpointSlice'>

const NODES = ['me', 'n2', 'n3', 'stranger'] as const
const MARKS = ['', '', '!', '~', '-'] as const
const LONG_MS = 60_000
const RUNS = { numRuns: 300 }

/** A state of one slice, as text of `world.ts`. */
const endpoints = fc.uniqueArray(
  fc
    .tuple(fc.integer({ min: 1, max: 4 }), fc.constantFrom(...NODES), fc.constantFrom(...MARKS))
    .map(([host, node, mark]) => ({ host, node, mark })),
  { maxLength: 4, selector: ({ host }) => host },
)
// An address is of one node for good, as those of pods are: which one follows from the address.
const sliceOf = (name: string, of: string) =>
  endpoints.map((list) =>
    slice(
      name,
      of,
      list.map(({ host, mark }) => `10.244.0.${host}@${NODES[host % NODES.length]}${mark}`),
    ),
  )

const someService = (name: string, host: number) =>
  fc
    .record({
      type: fc.constantFrom('ClusterIP', 'LoadBalancer', 'ExternalName'),
      external: fc.constantFrom('Cluster', 'Local'),
      internal: fc.constantFrom('Cluster', 'Local'),
      shared: fc.boolean(),
    })
    .map(({ type, external, internal, shared }) =>
      service(name, {
        spec: {
          type: type as 'ClusterIP' | 'LoadBalancer' | 'ExternalName',
          clusterIPs: [`10.96.0.${host}`],
          externalIPs: [shared ? '198.51.100.1' : `198.51.100.${host}`],
          externalTrafficPolicy: external as 'Cluster' | 'Local',
          internalTrafficPolicy: internal as 'Cluster' | 'Local',
        },
        balancer: [`192.0.2.${host}`],
      }),
    )

const standing = fc.constantFrom<ServiceFacts['standing']>('in', 'cordoned', 'excluded')
const others = fc.subarray(['n2', 'n3']).map((names) => new Set(names))

/** Histories of four slices and two services: the versions of each object in order; null: it is gone. */
const history = fc.record({
  objects: fc.tuple(
    fc.array(fc.option(someService('web', 2)), { minLength: 1, maxLength: 3 }),
    fc.array(fc.option(someService('api', 3)), { minLength: 1, maxLength: 3 }),
    fc.array(fc.option(sliceOf('a', 'web')), { minLength: 1, maxLength: 4 }),
    fc.array(fc.option(sliceOf('b', 'web')), { minLength: 1, maxLength: 4 }),
    fc.array(fc.option(sliceOf('c', 'api')), { minLength: 1, maxLength: 4 }),
  ),
  /** Who comes next, how long it takes, and whether somebody looks in between. */
  pace: fc.array(fc.record({ pick: fc.nat(), ms: fc.nat({ max: 3_000 }), isLooked: fc.boolean() }), { minLength: 30, maxLength: 30 }),
  standings: fc.array(fc.record({ at: fc.nat({ max: 20 }), standing, others }), { maxLength: 3 }),
  last: fc.record({ standing, others }),
})

type Objects = (Service | Slice | null)[][]
const NAMES = ['web', 'api', 'a', 'b', 'c'] as const

function change(name: string, at: number, next: Service | Slice | null): readonly Change[] {
  if (next !== null) return put(next)
  return at < 2 ? gone(service(name)) : gone(slice(name, at === 4 ? 'api' : 'web', []))
}

/** What must come of the last state of everything once nothing has happened for a long time: said again, from the beginning. */
function oracle(services: readonly Service[], slices: readonly Slice[], facts: ServiceFacts): readonly string[] {
  const result = new Map<string, boolean>() // yields?
  if (facts.standing === 'excluded') return []
  for (const { metadata, spec, status } of services) {
    if (spec.type === 'ExternalName') continue
    const rank = new Map<string, { node: string; state: number }>()
    for (const { endpoints: list } of slices.filter((each) => each.metadata.labels['kubernetes.io/service-name'] === metadata.name)) {
      for (const { addresses, conditions, nodeName = '' } of list) {
        const state = conditions.ready === undefined ? 2 : conditions.terminating === true && conditions.serving === true ? 1 : 0
        const [address = ''] = addresses
        if (state > (rank.get(address)?.state ?? 0)) rank.set(address, { node: nodeName, state })
      }
    }
    const has = (node: string, state: number): boolean => [...rank.values()].some((each) => each.node === node && each.state === state)
    const want = (text: string, policy: string): void => {
      const key = formatPrefix(hostPrefix(ip(text)))
      const canOthers = policy === 'Local' ? [...facts.others].some((node) => has(node, 2)) : facts.others.size > 0
      const isServed = policy === 'Local' ? has('me', 2) || has('me', 1) : rank.size > 0
      const isWell = facts.standing === 'in' && (policy === 'Cluster' || has('me', 2))
      if (!isServed || (!isWell && canOthers)) return
      result.set(key, (result.get(key) ?? true) && !isWell)
    }
    const [clusterIP = ''] = spec.clusterIPs
    if (spec.externalTrafficPolicy === 'Local' || spec.internalTrafficPolicy === 'Local') want(clusterIP, 'Local')
    for (const text of spec.externalIPs) want(text, spec.externalTrafficPolicy)
    if (spec.type === 'LoadBalancer') for (const { ip: text = '' } of status.loadBalancer.ingress) want(text, spec.externalTrafficPolicy)
  }
  return [...result].map(([key, isYielding]) => `${key}${isYielding ? '~' : ''}`).sort()
}

describe('orders of events', () => {
  test('in the end only the last state of each object counts, and how the node stands', () => {
    fc.assert(
      fc.property(history, ({ objects, pace, standings, last }) => {
        const made = planner([])
        const queues: Objects = (objects as Objects).map((versions) => [...versions])
        let nowMs = 0
        for (const [step, { pick, ms, isLooked }] of pace.entries()) {
          const waiting = queues.flatMap((queue, at) => (queue.length > 0 ? [at] : []))
          const at = waiting[pick % Math.max(1, waiting.length)]
          if (at !== undefined) made.apply(change(NAMES[at] ?? '', at, queues[at]?.shift() ?? null))
          for (const each of standings) if (each.at === step) made.configure({ ...FACTS, ...each })
          nowMs += ms
          if (isLooked) made.plan(nowMs)
        }
        made.configure({ ...FACTS, ...last })
        made.plan(nowMs)
        const settled = made.plan(nowMs + LONG_MS)
        const final = (objects as Objects).map((versions) => versions.at(-1) ?? null)
        const services = final.slice(0, 2).filter((each) => each !== null) as Service[]
        const slices = final.slice(2).filter((each) => each !== null) as Slice[]
        expect([...routesOf(settled)].sort()).toEqual(oracle(services, slices, { ...FACTS, ...last }))
        expect(made.dueMs).toBeNull()
      }),
      RUNS,
    )
  })

  test('a plan is due when it says so: looking more often shows nothing else', () => {
    fc.assert(
      fc.property(history, ({ objects, pace, standings, last }) => {
        // One is asked at every event and whenever it is due, the other also every 100 ms in between.
        const [lazy, eager] = [planner([]), planner([])]
        const queues: Objects = (objects as Objects).map((versions) => [...versions])
        let nowMs = 0
        for (const [step, { pick, ms }] of pace.entries()) {
          const waiting = queues.flatMap((queue, at) => (queue.length > 0 ? [at] : []))
          const at = waiting[pick % Math.max(1, waiting.length)]
          const next = at === undefined ? [] : change(NAMES[at] ?? '', at, queues[at]?.shift() ?? null)
          const facts = standings.find((each) => each.at === step) ?? (step === pace.length - 1 ? last : null)
          for (const each of [lazy, eager]) {
            each.apply(next)
            if (facts !== null) each.configure({ ...FACTS, ...facts })
            each.plan(nowMs)
          }
          for (let due = lazy.dueMs; due !== null && due <= nowMs + ms; due = lazy.dueMs) lazy.plan(due)
          const dues = [...Array(Math.ceil(ms / 100)).keys()].map((tick) => nowMs + tick * 100)
          for (const tick of dues) {
            for (let due = eager.dueMs; due !== null && due <= tick; due = eager.dueMs) eager.plan(due)
            eager.plan(tick)
          }
          nowMs += ms
          expect(routesOf(lazy.plan(nowMs))).toEqual(routesOf(eager.plan(nowMs)))
        }
      }),
      { numRuns: 100 },
    )
  })
})

/** Endpoints of others do what they like; ours is ready all the while, in one slice or another, or for a moment in none. */
const upheaval = fc.array(
  fc.record({
    ms: fc.nat({ max: LINGER_MS / 2 - 1 }),
    rest: fc.tuple(endpoints, endpoints),
    move: fc.constantFrom('stay', 'copy', 'drop', 'delete'),
    others,
  }),
  { minLength: 1, maxLength: 30 },
)

test.each(['Local', 'Cluster'] as const)(
  'policy %s: the route stays and is plain while an endpoint is there, whatever else happens',
  (policy) => {
    const web = service('web', { spec: { externalIPs: ['198.51.100.9'], externalTrafficPolicy: policy } })
    const ours = '10.244.9.9@me'
    fc.assert(
      fc.property(upheaval, (steps) => {
        const made = planner([web, slice('a', 'web', [ours]), slice('b', 'web', [])])
        expect(routesOf(made.plan(0))).toEqual(['198.51.100.9/32'])
        let nowMs = 0
        let home: 'a' | 'b' = 'a'
        for (const { ms, rest, move, others: able } of steps) {
          made.configure({ ...FACTS, others: able })
          const texts = rest.map((list) =>
            list.flatMap(({ host, mark }) =>
              NODES[host % NODES.length] === 'me' ? [] : [`10.244.0.${host}@${NODES[host % NODES.length]}${mark}`],
            ),
          )
          const write = (name: 'a' | 'b', has: boolean): void =>
            made.apply(put(slice(name, 'web', [...(texts[name === 'a' ? 0 : 1] ?? []), ...(has ? [ours] : [])])))
          const look = (): void => {
            nowMs += ms
            expect(routesOf(made.plan(nowMs))).toEqual(['198.51.100.9/32'])
          }
          const away: 'a' | 'b' = home === 'a' ? 'b' : 'a'
          if (move === 'copy') {
            write(away, true) // in both for a while
            look()
            write(home, false)
            home = away
          } else if (move === 'drop') {
            write(home, false) // in neither for a while
            look()
            write(away, true)
            home = away
          } else if (move === 'delete') {
            made.apply(gone(slice(home, 'web', []))) // made anew
            look()
            write(home, true)
          } else {
            write(home, true)
            write(away, false)
          }
          look()
        }
      }),
      RUNS,
    )
  },
)

test('an event costs its own service: 1,000 services with 10,000 endpoints', () => {
  const services = Array.from({ length: 1_000 }, (_, at) =>
    service(`s${at}`, { spec: { type: 'LoadBalancer', externalTrafficPolicy: 'Local' }, balancer: [formatIp(ip(`192.0.2.${at % 256}`))] }),
  )
  const slices = services.map(({ metadata: { name } }, at) =>
    slice(
      `${name}-x`,
      name,
      Array.from({ length: 10 }, (_, each) => `10.${at >> 8}.${at & 255}.${each + 1}@n${each}`),
    ),
  )
  const made = planner([...services, ...slices])
  made.plan(0)
  expect(made.counts).toEqual({ services: 1_000, endpoints: 10_000 })
  expect(made.looks).toBe(1_000)
  const first = made.plan(1)
  made.apply(put(slice('s7-x', 's7', ['10.0.7.1@n1'])))
  expect(made.plan(2)).toBe(first)
  expect(made.looks).toBe(1_001)
  made.apply(put(slice('s7-x', 's7', ['10.0.7.1@me'])))
  expect(routesOf(made.plan(3))).toEqual([])
  expect(routesOf(made.plan(3 + PROXY_MS))).toEqual(['192.0.2.7/32'])
  expect(made.looks).toBe(1_003)
})
