// Pods in the dataplane thread: links and routes together, in the order they were asked for, one a turn of the loop.
import { describe, expect, test } from '@jest/globals'
import { Jobs } from '../../../src/agent/dataplane/jobs.ts'
import { Latest } from '../../../src/agent/dataplane/latest.ts'
import { DataplanePods, type PodsDeps } from '../../../src/agent/dataplane/pods.ts'
import { Rules } from '../../../src/agent/dataplane/rules.ts'
import type { DetachedLink, LinkWiring, PodLink, WiredLink, WiringFault } from '../../../src/cni/index.ts'
import { FakeClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { err, ok, type Result } from '../../../src/lib/result.ts'
import { formatIp, formatPrefix, hostPrefix, ip, parseMac } from '../../../src/net/index.ts'
import type { NetfilterService, Ruleset } from '../../../src/netfilter/index.ts'
import type { PodRoute, PodRouteFault, RouteStatus } from '../../../src/routes/index.ts'

const MAC = parseMac('0a:58:0a:f4:00:02') ?? fail()

function fail(): never {
  throw new Error('not a MAC')
}

function link(name: string, address: string, over: Partial<PodLink> = {}): PodLink {
  const hostInterface = `fib${name.padStart(11, '0')}`
  return {
    containerId: name,
    ifName: 'eth0',
    netns: `/run/netns/${name}`,
    hostInterface,
    addresses: [ip(address)],
    mtu: 1500,
    mac: null,
    ...over,
  }
}

/** A kernel that keeps links by name and routes by address, and can be told to refuse. */
class FakeNode implements LinkWiring {
  readonly steps: string[] = []
  readonly links = new Map<string, number>()
  readonly routes = new Map<string, string>()
  refuseLink: WiringFault | null = null
  refuseRoute: string | null = null
  stuck = new Set<string>()

  attach({ hostInterface, mtu }: PodLink): Result<WiredLink, WiringFault> {
    this.steps.push(`attach ${hostInterface}`)
    if (this.refuseLink !== null) return err(this.refuseLink)
    this.links.set(hostInterface, mtu)
    return ok({ mac: MAC, hostMac: MAC, hostIndex: 7, warnings: [] })
  }

  detach(links: readonly DetachedLink[]): readonly string[] {
    this.steps.push(`detach ${links.map(({ hostInterface }) => hostInterface).join()}`)
    for (const { hostInterface } of links) if (!this.stuck.has(hostInterface)) this.links.delete(hostInterface)
    return [...this.stuck].map((name) => `${name}: EBUSY`)
  }

  check({ hostInterface, mtu }: PodLink): readonly string[] {
    const actual = this.links.get(hostInterface)
    if (actual === undefined) return [`${hostInterface} is missing`]
    return actual === mtu ? [] : [`MTU ${actual} instead of ${mtu}`]
  }

  repair({ hostInterface }: PodLink): readonly string[] {
    this.steps.push(`repair ${hostInterface}`)
    return []
  }

  list(): readonly string[] {
    return [...this.links.keys()]
  }

  setMtu({ hostInterface }: PodLink, mtu: number): readonly string[] {
    this.steps.push(`mtu ${hostInterface} ${mtu}`)
    this.links.set(hostInterface, mtu)
    return []
  }

  readonly syncer: PodsDeps['syncer'] = {
    setPods: (pods) => {
      this.routes.clear()
      for (const { address, interface: name } of pods) this.routes.set(formatIp(address), name)
    },
    ensurePods: (pods: readonly PodRoute[]): Result<void, PodRouteFault> => {
      const [first] = pods
      if (this.refuseRoute !== null && first !== undefined) return err({ address: first.address, message: this.refuseRoute })
      for (const { address, interface: name } of pods) this.routes.set(formatIp(address), name)
      return ok(undefined)
    },
    dropPods: (pods) => {
      this.steps.push(`drop ${pods.map(({ address }) => formatIp(address)).join()}`)
      for (const { address } of pods) this.routes.delete(formatIp(address))
    },
    status: (prefix = null): readonly RouteStatus[] => {
      const all = [...this.routes].map(([address, name]): RouteStatus => {
        const nextHops = [{ gateway: null, interface: name, onlink: false }]
        return { prefix: formatPrefix(hostPrefix(ip(address))), state: 'inSync', kind: 'unicast', nextHops, detail: null }
      })
      return all.filter((route) => prefix === null || route.prefix === prefix)
    },
  }
}

function setUp() {
  const node = new FakeNode()
  const clock = new FakeClock()
  const resized: string[] = []
  const onResized = ({ containerId, mtu }: PodLink): void => void resized.push(`${containerId} ${mtu}`)
  const pods = new DataplanePods({ links: node, syncer: node.syncer, jobs: new Jobs(clock), log: silentLog, onResized })
  /** Lets the jobs run that a request has made. */
  const done = async <T>(work: Promise<T>): Promise<T> => {
    clock.advance(0)
    return work
  }
  return { node, clock, pods, done, resized }
}

const ONE = link('1', '10.244.0.1')
const TWO = link('2', '10.244.0.2')

describe('attach', () => {
  test('makes link and route', async () => {
    const { node, pods, done } = setUp()
    expect(await done(pods.attach(ONE))).toEqual(ok({ mac: MAC, hostMac: MAC, hostIndex: 7 }))
    expect([[...node.links.keys()], [...node.routes]]).toEqual([[ONE.hostInterface], [['10.244.0.1', ONE.hostInterface]]])
  })

  test('without a route there is no link either, and the fault says why', async () => {
    const { node, pods, done } = setUp()
    node.refuseRoute = 'a foreign route is in the way'
    expect(await done(pods.attach(ONE))).toEqual(err({ kind: 'failed', message: 'no route to 10.244.0.1: a foreign route is in the way' }))
    expect([node.links.size, node.routes.size]).toEqual([0, 0])
  })

  test('what the link was refused for is passed on', async () => {
    const { node, pods, done } = setUp()
    node.refuseLink = { kind: 'namespaceGone', message: 'gone' }
    expect(await done(pods.attach(ONE))).toEqual(err({ kind: 'namespaceGone', message: 'gone' }))
    expect(node.routes.size).toBe(0)
  })

  test('many at once take one turn of the loop each, so that others are heard in between', async () => {
    const { clock, node, pods } = setUp()
    const ran: string[] = []
    const attached = [ONE, TWO].map((each) => pods.attach(each))
    clock.soon(() => ran.push(`others, after ${node.links.size}`))
    clock.advance(0)
    await Promise.all(attached)
    expect(ran).toEqual(['others, after 1'])
    expect(node.links.size).toBe(2)
  })
})

describe('detach', () => {
  test('routes go before links, and links that leave together go together', async () => {
    const { clock, node, pods, done } = setUp()
    await Promise.all([done(pods.attach(ONE)), done(pods.attach(TWO))])
    node.steps.length = 0
    const both = [ONE, TWO].map((each) => pods.detach(each))
    clock.advance(0)
    await Promise.all(both)
    expect(node.steps).toEqual(['drop 10.244.0.1,10.244.0.2', `detach ${ONE.hostInterface},${TWO.hostInterface}`])
    expect([node.links.size, node.routes.size]).toEqual([0, 0])
  })

  test('a link that stays is a failure for whoever asked for it, and for nobody else; asked again it may go', async () => {
    const { node, pods, done } = setUp()
    await Promise.all([done(pods.attach(ONE)), done(pods.attach(TWO))])
    node.stuck.add(ONE.hostInterface)
    const both = Promise.allSettled([ONE, TWO].map((each) => pods.detach(each)))
    const [first, second] = await done(both)
    expect(first).toMatchObject({ status: 'rejected', reason: { message: expect.stringContaining('EBUSY') } })
    expect(second).toMatchObject({ status: 'fulfilled' })
    node.stuck.clear()
    await done(pods.detach(ONE))
    expect(node.links.size).toBe(0)
  })

  test('of what was never there it succeeds', async () => {
    const { pods, done } = setUp()
    expect(await done(pods.detach(ONE))).toBeNull()
  })

  test('what is known here goes too, though the record of the pod was lost', async () => {
    const { node, pods, done } = setUp()
    await done(pods.attach(ONE))
    await done(pods.detach({ ...ONE, addresses: [] }))
    expect(node.routes.size).toBe(0)
  })
})

describe('after a start', () => {
  test('strays go, what is there is looked over, what is missing is told; every pod has its route', async () => {
    const { node, pods, done } = setUp()
    node.links.set(ONE.hostInterface, 1500)
    node.links.set('fib0123456789a', 1500)
    expect(await done(pods.adopt({ links: [ONE, TWO], isStateNew: false }))).toEqual({
      strays: ['fib0123456789a'],
      missing: [TWO.hostInterface],
      unknown: [],
    })
    expect(node.steps).toEqual(['detach fib0123456789a', `repair ${ONE.hostInterface}`])
    expect([...node.routes.values()].sort()).toEqual([ONE.hostInterface, TWO.hostInterface])
  })
})

test('where the records of all pods were lost, pods keep their links and the routes to them, and are told', async () => {
  const { node, pods, done } = setUp()
  node.links.set(ONE.hostInterface, 1500)
  node.routes.set('10.244.0.1', ONE.hostInterface)
  expect(await done(pods.adopt({ links: [], isStateNew: true }))).toEqual({
    strays: [],
    missing: [],
    unknown: [{ hostInterface: ONE.hostInterface, addresses: ONE.addresses }],
  })
  expect([[...node.links.keys()], [...node.routes]]).toEqual([[ONE.hostInterface], [['10.244.0.1', ONE.hostInterface]]])
  await done(pods.detach({ ...ONE, addresses: [] }))
  expect([node.links.size, node.routes.size]).toEqual([0, 0])
})

describe('check', () => {
  test('finds nothing right after attach, and what was changed since', async () => {
    const { node, pods, done } = setUp()
    await done(pods.attach(ONE))
    expect(await done(pods.check(ONE))).toEqual([])
    node.routes.delete('10.244.0.1')
    expect(await done(pods.check(ONE))).toEqual([`no route to 10.244.0.1 by ${ONE.hostInterface}: not wanted`])
    node.links.delete(ONE.hostInterface)
    expect(await done(pods.check(ONE))).toHaveLength(2)
  })

  test('minds the MTU of today, not that of the ADD', async () => {
    const { clock, pods, done } = setUp()
    pods.setMtu(1500)
    await done(pods.attach(ONE))
    pods.setMtu(1480)
    clock.advance(0)
    expect(await done(pods.check(ONE))).toEqual([])
  })

  test('of a link that is not known says so', async () => {
    const { pods, done } = setUp()
    expect(await done(pods.check(ONE))).toEqual([`the agent knows of no link ${ONE.hostInterface}`])
  })
})

describe('MTU', () => {
  test('links with that of the uplink follow it; one that was given less keeps it; none may have more', async () => {
    const { clock, node, pods, done, resized } = setUp()
    pods.setMtu(1500)
    const small = link('3', '10.244.0.3', { mtu: 1400 })
    for (const each of [ONE, small]) await done(pods.attach(each))
    const seen = (): readonly (number | undefined)[] => [node.links.get(ONE.hostInterface), node.links.get(small.hostInterface)]
    pods.setMtu(1480)
    clock.advance(0)
    expect(seen()).toEqual([1480, 1400])
    pods.setMtu(1300)
    clock.advance(0)
    expect(seen()).toEqual([1300, 1300])
    expect(resized).toEqual(['1 1480', '1 1300', '3 1300']) // the journal is told
  })

  test('a link that was asked for with the MTU of before does not keep it', async () => {
    const { node, pods, done } = setUp()
    pods.setMtu(1480)
    await done(pods.attach(ONE))
    expect(node.links.get(ONE.hostInterface)).toBe(1480)
  })

  test('a pod from before the start with more than can be carried now is cut down', async () => {
    const { clock, node, pods, done } = setUp()
    node.links.set(ONE.hostInterface, 1500)
    pods.setMtu(1480)
    await done(pods.adopt({ links: [ONE], isStateNew: false }))
    clock.advance(0)
    expect(node.links.get(ONE.hostInterface)).toBe(1480)
  })
})

describe('rules', () => {
  const GUARDS = { families: [4] as const, pools: [], nodeAddresses: [], tunnels: { 4: null, 6: null } }

  function fakeNetfilter() {
    const asked: Ruleset[] = []
    const problems = [{ severity: 'error', subject: 'iptables', message: 'not there' }] as const
    const service = {
      client: () => ({
        name: 'guards',
        apply: (ruleset: Ruleset) => Promise.resolve(asked.push(ruleset) > 0 && { ok: true, changed: true }),
      }),
      problems: () => problems,
      status: () => null,
    } as unknown as NetfilterService
    let loads = 0
    const rules = new Rules(() => {
      loads++
      return Promise.resolve(service)
    })
    return { rules, asked, problems, loads: () => loads }
  }

  test('nothing is loaded or asked before something is to be guarded', async () => {
    const { rules, loads } = fakeNetfilter()
    await rules.apply(null)
    expect([loads(), rules.problems(), rules.status()]).toEqual([0, [], null])
  })

  test('what is equal is asked once; what is not wanted any more is emptied', async () => {
    const { rules, asked, problems, loads } = fakeNetfilter()
    await rules.apply(GUARDS)
    await rules.apply({ ...GUARDS, pools: [] })
    expect([asked.length, loads()]).toEqual([1, 1])
    expect(asked[0]?.families[4].chains.length).toBeGreaterThan(0)
    await rules.apply(null)
    expect(asked[1]?.families[4].chains).toEqual([])
    expect(rules.problems()).toEqual(problems)
  })
})

test('of whole truths that wait only the latest is applied, and whoever asked hears of a failure', async () => {
  const applied: number[] = []
  const gate = Promise.withResolvers<void>()
  const latest = new Latest<{ readonly value: number }>(async ({ value }) => {
    if (value === 1) await gate.promise
    if (value < 0) throw new Error('refused')
    applied.push(value)
  })
  const all = [1, 2, 3].map((value) => latest.set({ value }))
  gate.resolve()
  await Promise.all(all)
  expect(applied).toEqual([1, 3])
  await expect(latest.set({ value: -1 })).rejects.toThrow('refused')
  await latest.set({ value: 4 })
  expect(applied).toEqual([1, 3, 4])
})
