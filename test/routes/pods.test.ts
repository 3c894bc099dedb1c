import { describe, expect, test } from '@jest/globals'
import { FakeClock } from '../../src/lib/clock.ts'
import { type Log, silentLog } from '../../src/lib/log.ts'
import { cidr, formatIp, formatPrefix, type HostNetwork, ip } from '../../src/net/index.ts'
import { Fib } from '../../src/routes/fib.ts'
import { NO_LOCAL_ROUTES, type PodRoute, RouteSyncer } from '../../src/routes/index.ts'
import { OUR_PROTOCOL, type RouteBody, unicast } from '../../src/routes/route.ts'
import { FakeKernel } from '../support/fake-kernel.ts'
import { fibBatch, via } from '../support/fib-batch.ts'

const ETH0 = 2
const POD = 'fib0123456789a'
const OTHER = 'fibaaaaaaaaaaa'
const V4: PodRoute = { address: ip('10.244.0.5'), interface: POD }
const V6: PodRoute = { address: ip('fd44::5'), interface: POD }
const SOURCES = { ...NO_LOCAL_ROUTES, preferredSource: { ipv4: ip('10.0.0.1'), ipv6: ip('fd00::1') } }

function setUp({ kernel = FakeKernel.host(), log = silentLog }: { kernel?: FakeKernel; log?: Log } = {}) {
  const clock = new FakeClock()
  const told: HostNetwork[] = []
  const syncer = new RouteSyncer({ backend: kernel, log, clock, random: () => 0, onHostNetwork: (network) => told.push(network) })
  return { kernel, clock, syncer, told }
}

function plug(kernel: FakeKernel, name = POD, index = 10): void {
  kernel.setLink({ index, name, isUp: true, isRunning: true })
}

/** Ours as `PREFIX blackhole`, `PREFIX dev N src ADDRESS` or `PREFIX via GATEWAY`. */
function ours(kernel: FakeKernel): readonly string[] {
  return kernel.ours.map(({ prefix, body }) => `${formatPrefix(prefix)} ${worded(body)}`).sort()
}

function worded(body: RouteBody): string {
  if (body.kind !== 'unicast') return body.kind
  const [hop] = body.nextHops
  if (hop?.gateway != null) return `via ${formatIp(hop.gateway)}`
  return `dev ${hop?.interfaceIndex}${body.source === null ? '' : ` src ${formatIp(body.source)}`}`
}

const left = (prefix: string, body: RouteBody) => ({ prefix: cidr(prefix), body, protocol: OUR_PROTOCOL, metric: 179, tos: 0 })
const toLink = (interfaceIndex: number): RouteBody => unicast([{ gateway: null, interfaceIndex, onlink: false }], null)

describe('routes to pods', () => {
  test('are host routes to the interface, with the node as source, and go with the pod', () => {
    const { kernel, syncer } = setUp()
    plug(kernel)
    syncer.setLocal(SOURCES)
    syncer.setPods([V4, V6])
    expect(ours(kernel)).toEqual(['10.244.0.5/32 dev 10 src 10.0.0.1', 'fd44::5/128 dev 10 src fd00::1'])
    syncer.setPods([V6])
    expect(ours(kernel)).toEqual(['fd44::5/128 dev 10 src fd00::1'])
    syncer.setPods([])
    expect(ours(kernel)).toEqual([])
    expect(syncer.problems()).toEqual([])
  })

  test('win over what BGP offers and over a blackhole, which come back afterwards', () => {
    const { kernel, syncer } = setUp()
    plug(kernel)
    syncer.setPods([V4])
    syncer.setLocal({ ...NO_LOCAL_ROUTES, blackholes: [cidr('10.244.0.5/32')] })
    expect(ours(kernel)).toEqual(['10.244.0.5/32 dev 10'])
    syncer.applyBatch(fibBatch({ '10.244.0.5/32': 1 }, { 1: [via('10.0.0.2', ETH0)] }))
    expect(ours(kernel)).toEqual(['10.244.0.5/32 dev 10'])
    syncer.setPods([])
    expect(ours(kernel)).toEqual(['10.244.0.5/32 blackhole'])
    syncer.setLocal(NO_LOCAL_ROUTES)
    expect(ours(kernel)).toEqual(['10.244.0.5/32 via 10.0.0.2'])
    syncer.setPods([V4])
    syncer.applyBatch(fibBatch({ '10.244.0.5/32': 0 }))
    expect(ours(kernel)).toEqual(['10.244.0.5/32 dev 10'])
  })

  test('are a blackhole while the interface is not there or down, and follow it when it is made, renamed or made anew', () => {
    const { kernel, syncer } = setUp()
    syncer.setPods([V4])
    expect(ours(kernel)).toEqual(['10.244.0.5/32 blackhole'])
    plug(kernel)
    syncer.poll()
    expect(ours(kernel)).toEqual(['10.244.0.5/32 dev 10'])
    kernel.setLink({ index: 10, name: OTHER, isUp: true, isRunning: true })
    syncer.poll()
    expect(ours(kernel)).toEqual(['10.244.0.5/32 blackhole'])
    plug(kernel)
    kernel.setLink({ index: 10, name: POD, isUp: false, isRunning: false })
    syncer.poll()
    expect(ours(kernel)).toEqual(['10.244.0.5/32 blackhole'])
    kernel.removeLink(10)
    plug(kernel, POD, 11)
    syncer.poll()
    expect(ours(kernel)).toEqual(['10.244.0.5/32 dev 11'])
  })

  test('are written again when the interface has been made anew under its old number before we looked', () => {
    const { kernel, syncer } = setUp()
    plug(kernel)
    syncer.setPods([V4, V6])
    kernel.removeLink(10)
    plug(kernel)
    expect(ours(kernel)).toEqual([])
    syncer.poll()
    expect(ours(kernel)).toEqual(['10.244.0.5/32 dev 10', 'fd44::5/128 dev 10'])
    expect(kernel.calls.listRoutes).toBe(2)
  })

  test('change their source with the node, in one step each', () => {
    const { kernel, syncer } = setUp()
    plug(kernel)
    syncer.setPods([V4])
    syncer.setLocal(SOURCES)
    expect(ours(kernel)).toEqual(['10.244.0.5/32 dev 10 src 10.0.0.1'])
    expect(kernel.calls).toMatchObject({ created: 1, replaced: 1, removed: 0 })
  })

  test('an interface that goes costs no read-back and leaves nothing behind once the pod is dropped', () => {
    const lines: string[] = []
    const log: Log = { ...silentLog, warn: (event) => void lines.push(event), error: (event) => void lines.push(event) }
    const { kernel, syncer, clock } = setUp({ log })
    plug(kernel)
    syncer.allowSweep()
    syncer.setPods([V4, V6])
    const before = kernel.calls.listRoutes
    kernel.setLink({ index: 10, name: POD, isUp: false, isRunning: false })
    kernel.removeLink(10)
    syncer.poll()
    syncer.setPods([])
    clock.advance(5_000)
    expect(ours(kernel)).toEqual([])
    expect(kernel.calls.listRoutes).toBe(before)
    expect(syncer.problems()).toEqual([])
    expect(lines).toEqual([])
  })

  test('dropping a pod spares the address if another interface has it by now', () => {
    const { kernel, syncer } = setUp()
    plug(kernel)
    plug(kernel, OTHER, 11)
    syncer.ensurePods([V4])
    syncer.ensurePods([{ ...V4, interface: OTHER }])
    syncer.dropPods([V4])
    expect(ours(kernel)).toEqual(['10.244.0.5/32 dev 11'])
    syncer.dropPods([{ ...V4, interface: OTHER }])
    expect(ours(kernel)).toEqual([])
  })

  test('of a predecessor stay through sweeping until every pod has been named, other left-overs go at once', () => {
    const { kernel, syncer } = setUp()
    plug(kernel)
    plug(kernel, OTHER, 11)
    kernel.foreign('add', left('10.244.0.5/32', toLink(10)))
    kernel.foreign('add', left('10.244.0.6/32', toLink(11)))
    kernel.foreign('add', left('203.0.113.0/24', unicast([via('10.0.0.2', ETH0)], null)))
    syncer.allowSweep()
    expect(ours(kernel)).toEqual(['10.244.0.5/32 dev 10', '10.244.0.6/32 dev 11'])
    syncer.setPods([V4])
    expect(ours(kernel)).toEqual(['10.244.0.5/32 dev 10'])
    expect(kernel.calls).toMatchObject({ created: 0, replaced: 0, removed: 2 })
  })

  test('and their interfaces are no news to those who resolve next hops', () => {
    const { kernel, syncer, clock, told } = setUp()
    syncer.poll()
    clock.advance(1_000)
    const before = told.length
    plug(kernel)
    kernel.addAddress('fe80::ecee:eeff:feee:eeee/64', 10)
    syncer.ensurePods([V4])
    clock.advance(1_000)
    expect(told).toHaveLength(before)
    const network = syncer.hostNetwork()
    expect(network.interfaces.map(({ name }) => name)).toEqual(['lo', 'eth0', 'eth1'])
    expect([...network.localAddresses, ...network.routes].filter(({ interfaceIndex }) => interfaceIndex === 10)).toEqual([])
  })
})

describe('ensurePods', () => {
  test('has the routes in the kernel when it returns, also as the very first call', () => {
    const { kernel, syncer } = setUp()
    plug(kernel)
    expect(syncer.ensurePods([V4, V6])).toEqual({ ok: true, value: undefined })
    expect(ours(kernel)).toEqual(['10.244.0.5/32 dev 10', 'fd44::5/128 dev 10'])
  })

  test('knows an interface that was made a moment ago, and adds to the pods there are', () => {
    const { kernel, syncer } = setUp()
    plug(kernel)
    syncer.setPods([V4])
    plug(kernel, OTHER, 11)
    expect(syncer.ensurePods([{ address: ip('10.244.0.6'), interface: OTHER }]).ok).toBe(true)
    expect(ours(kernel)).toEqual(['10.244.0.5/32 dev 10', '10.244.0.6/32 dev 11'])
  })

  test('costs one write and no look at anything else, however many pods there are', () => {
    const { kernel, syncer } = setUp()
    const pods = Array.from({ length: 500 }, (_, n) => ({
      address: ip(`10.244.${n >> 8}.${n & 255}`),
      interface: `fib${n.toString(16).padStart(11, '0')}`,
    }))
    for (const [n, pod] of pods.entries()) plug(kernel, pod.interface, 100 + n)
    syncer.setPods(pods)
    expect(kernel.calls.created).toBe(500)
    plug(kernel, OTHER, 99)
    const before = { ...kernel.calls }
    expect(syncer.ensurePods([{ address: ip('10.250.0.1'), interface: OTHER }]).ok).toBe(true)
    expect(kernel.calls.written - before.written).toBe(1)
    expect(kernel.calls.listRoutes).toBe(before.listRoutes)
    expect(kernel.calls.listLinks).toBe(before.listLinks)
  })

  test.each([
    ['there is no such interface', () => {}, 'there is no interface fib0123456789a'],
    [
      'the interface is down',
      (kernel: FakeKernel) => kernel.setLink({ index: 10, name: POD, isUp: false, isRunning: false }),
      'interface fib0123456789a is down',
    ],
    [
      'the kernel refuses',
      (kernel: FakeKernel) => {
        plug(kernel)
        kernel.refuse.set('10.244.0.5/32', { code: 'ENOMEM', text: 'no room' })
      },
      'ENOMEM (no room)',
    ],
  ])('says so when %s, and leaves no trace', (_, prepare, message) => {
    const { kernel, syncer } = setUp()
    syncer.setPods([])
    prepare(kernel)
    expect(syncer.ensurePods([V4])).toEqual({ ok: false, error: { address: V4.address, message } })
    kernel.refuse.clear()
    syncer.resync()
    expect(ours(kernel)).toEqual([])
    expect(syncer.problems()).toEqual([])
  })

  test('a refusal leaves the pod where it was before', () => {
    const { kernel, syncer } = setUp()
    plug(kernel)
    syncer.ensurePods([V4])
    expect(syncer.ensurePods([{ ...V4, interface: OTHER }]).ok).toBe(false)
    expect(ours(kernel)).toEqual(['10.244.0.5/32 dev 10'])
    expect(kernel.calls.written).toBe(1)
  })

  test("a stranger's route in the place of ours is a fault, one beside it that wins too", () => {
    const { kernel, syncer } = setUp()
    plug(kernel)
    const stranger = { prefix: cidr('10.244.0.5/32'), body: unicast([via('10.0.0.9', ETH0)], null), protocol: 4, tos: 0 }
    syncer.setPods([])
    kernel.foreign('add', { ...stranger, metric: 179 }, { silently: true })
    expect(syncer.ensurePods([V4])).toMatchObject({ ok: false, error: { message: expect.stringContaining('static route') } })
    kernel.remove(({ protocol }) => protocol === 4)
    kernel.foreign('add', { ...stranger, metric: 0 })
    expect(syncer.ensurePods([V4])).toMatchObject({ ok: false, error: { message: expect.stringContaining('wins') } })
  })

  test('works where the events were lost, and says so where the kernel cannot be read', () => {
    const { kernel, syncer } = setUp()
    syncer.setPods([])
    kernel.limitEvents(0)
    plug(kernel)
    expect(syncer.ensurePods([V4]).ok).toBe(true)
    kernel.failLists = 3
    plug(kernel, OTHER, 11)
    expect(syncer.ensurePods([{ ...V6, interface: OTHER }])).toMatchObject({
      ok: false,
      error: { message: expect.stringContaining('cannot be read') },
    })
  })

  test('is refused by a node that installs no routes', () => {
    const { kernel, syncer } = setUp()
    plug(kernel)
    syncer.setInstall(false)
    expect(syncer.ensurePods([V4])).toMatchObject({ ok: false, error: { message: 'installRoutes is false' } })
  })
})

test('shapes of interfaces that come and go do not pile up, and those in use keep their meaning', () => {
  const fib = new Fib(4, () => 0)
  fib.applyBatch(fibBatch({ '203.0.113.0/24': 1 }, { 1: [via('10.0.0.2', ETH0)] }))
  fib.setPod(ip('10.244.0.9'), toLink(9))
  for (let index = 100; index < 20_000; index++) {
    fib.setPod(V4.address, toLink(index))
    fib.setPod(V4.address, null)
  }
  expect(fib.shapes.pick(() => true).size).toBeLessThan(5_000)
  const bodies = fib.nextWrites(100, 0)?.writes.bodies ?? []
  expect(bodies.map(worded).sort()).toEqual(['dev 9', 'via 10.0.0.2'])
})
