import { describe, expect, test } from '@jest/globals'
import { FakeClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { cidr, formatIp, formatPrefix, type HostNetwork, ip } from '../../src/net/index.ts'
import { type LocalRoutes, NO_LOCAL_ROUTES, RouteSyncer } from '../../src/routes/index.ts'
import { BLACKHOLE, type KernelRoute, OUR_PROTOCOL, unicast } from '../../src/routes/route.ts'
import { FakeKernel } from '../support/fake-kernel.ts'
import { fibBatch, via } from '../support/fib-batch.ts'

const ETH0 = 2
const ETH1 = 3
const A = '203.0.113.0/24'
const B = '198.51.100.0/24'
const HOPS_A = [via('10.0.0.2', ETH0)]
const HOPS_B = [via('10.0.1.2', ETH1)]
const BOTH = [...HOPS_A, ...HOPS_B]
const SOURCES: LocalRoutes = { ...NO_LOCAL_ROUTES, preferredSource: { ipv4: ip('10.0.0.1'), ipv6: ip('fd00::1') } }
const READ_BACK_MS = 60_000

function setUp(kernel = FakeKernel.host()) {
  const clock = new FakeClock()
  const told: HostNetwork[] = []
  const syncer = new RouteSyncer({
    backend: kernel,
    log: silentLog,
    clock,
    random: () => 0,
    readBackIntervalMs: READ_BACK_MS,
    onHostNetwork: (network) => told.push(network),
  })
  return { kernel, clock, syncer, told }
}

/** Ours as `PREFIX via GATEWAY[,GATEWAY]`. */
function ours(kernel: FakeKernel): readonly string[] {
  return kernel.ours
    .map(({ prefix, body }) => {
      const hops =
        body.kind === 'unicast' ? body.nextHops.map((hop) => (hop.gateway === null ? 'link' : formatIp(hop.gateway))).join() : body.kind
      return `${formatPrefix(prefix)} ${hops}`
    })
    .sort()
}

function foreign(prefix: string, metric: number, protocol = 4): KernelRoute {
  return { prefix: cidr(prefix), body: unicast([via('10.0.0.9', ETH0)], null), protocol, metric, tos: 0 }
}

function left(prefix: string, hops = HOPS_A): KernelRoute {
  return { prefix: cidr(prefix), body: unicast(hops, null), protocol: OUR_PROTOCOL, metric: 179, tos: 0 }
}

const isOurs = (route: KernelRoute): boolean => route.protocol === OUR_PROTOCOL
const states = (syncer: RouteSyncer): Readonly<Record<string, string>> =>
  Object.fromEntries(syncer.status().map(({ prefix, state }) => [prefix, state]))

describe('best paths become kernel routes', () => {
  test('a batch installs, changes in one step, and withdraws', () => {
    const { kernel, syncer } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1, [B]: 2 }, { 1: HOPS_A, 2: BOTH }))
    expect(ours(kernel)).toEqual([`${B} 10.0.0.2,10.0.1.2`, `${A} 10.0.0.2`])
    syncer.applyBatch(fibBatch({ [A]: 3 }, { 3: HOPS_B }))
    expect(ours(kernel)).toEqual([`${B} 10.0.0.2,10.0.1.2`, `${A} 10.0.1.2`])
    expect(kernel.calls).toMatchObject({ created: 2, replaced: 1, removed: 0 })
    syncer.applyBatch(fibBatch({ [A]: 0, [B]: 0 }))
    expect(ours(kernel)).toEqual([])
    expect(syncer.counts()).toMatchObject({ desired: 0, inKernel: 0, failed: 0 })
  })

  test('both families take the same path, and IPv4 may have an IPv6 next hop (RFC 8950)', () => {
    const { kernel, syncer } = setUp()
    syncer.applyBatch(fibBatch({ '2001:db8::/32': 1 }, { 1: [via('fd00::2', ETH0)] }))
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: [via('fd00::2', ETH0)] }))
    expect(ours(kernel)).toEqual(['2001:db8::/32 fd00::2', `${A} fd00::2`])
  })

  test('an announcement that changes nothing writes nothing', () => {
    const { kernel, syncer } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A, 2: HOPS_A }))
    const before = kernel.calls.written
    syncer.applyBatch(fibBatch({ [A]: 1 }))
    syncer.applyBatch(fibBatch({ [A]: 2 }))
    expect(kernel.calls.written).toBe(before)
  })

  test('a next hop set that was never named is a failure of its routes only', () => {
    const { kernel, syncer } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 9, [B]: 1 }, { 1: HOPS_A }))
    expect(ours(kernel)).toEqual([`${B} 10.0.0.2`])
    expect(states(syncer)).toEqual({ [A]: 'failed', [B]: 'inSync' })
  })

  test('own blocks are blackholes and win over what BGP says of them; without them BGP holds again', () => {
    const { kernel, syncer } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    syncer.setLocal({ ...SOURCES, blackholes: [cidr(A)] })
    expect(kernel.ours.map(({ body }) => body)).toEqual([BLACKHOLE])
    syncer.setLocal(SOURCES)
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
  })

  test('a static towards a peer goes by the interface its gateway is on', () => {
    const { kernel, syncer } = setUp()
    syncer.setLocal({ ...SOURCES, statics: [{ prefix: cidr('192.0.2.1/32'), gateway: ip('10.0.1.7') }] })
    expect(kernel.ours.map(({ body }) => body)).toEqual([unicast([via('10.0.1.7', ETH1)], ip('10.0.0.1'))])
  })

  test('a static whose gateway is on no link is reported, and installed when an address puts it on one', () => {
    const { kernel, syncer } = setUp()
    syncer.setLocal({ ...SOURCES, statics: [{ prefix: cidr('192.0.2.1/32'), gateway: ip('172.16.0.7') }] })
    expect(syncer.status('192.0.2.1/32')).toMatchObject([
      { state: 'failed', detail: 'no interface of this host is on the link of gateway 172.16.0.7' },
    ])
    kernel.addAddress('172.16.0.1/16', ETH1)
    syncer.poll()
    expect(ours(kernel)).toEqual(['192.0.2.1/32 172.16.0.7'])
  })
})

describe('preferred source', () => {
  test('routes prefer the node address while the host has it, and do without when it goes', () => {
    const { kernel, syncer, clock } = setUp()
    syncer.setLocal(SOURCES)
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_B }))
    expect(kernel.ours.map(({ body }) => body)).toEqual([unicast(HOPS_B, ip('10.0.0.1'))])
    kernel.removeAddress('10.0.0.1/24', ETH0)
    expect(kernel.ours).toEqual([]) // the kernel dropped it without a word
    syncer.poll()
    clock.advance(1000)
    expect(kernel.ours.map(({ body }) => body)).toEqual([unicast(HOPS_B, null)])
    expect(syncer.problems()).toMatchObject([{ severity: 'warning', subject: 'address/10.0.0.1' }])
    kernel.addAddress('10.0.0.1/24', ETH0)
    syncer.poll()
    expect(kernel.ours.map(({ body }) => body)).toEqual([unicast(HOPS_B, ip('10.0.0.1'))])
    expect(syncer.problems()).toEqual([])
  })

  test('a tentative IPv6 address is no source yet (RFC 4862 §5.4)', () => {
    const { kernel, syncer } = setUp()
    kernel.addAddress('fd00::5/64', ETH0, false)
    syncer.setLocal({ ...NO_LOCAL_ROUTES, preferredSource: { ipv4: null, ipv6: ip('fd00::5') } })
    syncer.applyBatch(fibBatch({ '2001:db8::/32': 1 }, { 1: [via('fd00::2', ETH0)] }))
    expect(kernel.ours.map(({ body }) => body)).toEqual([unicast([via('fd00::2', ETH0)], null)])
    kernel.addAddress('fd00::5/64', ETH0, true)
    syncer.poll()
    expect(kernel.ours.map(({ body }) => body)).toEqual([unicast([via('fd00::2', ETH0)], ip('fd00::5'))])
  })
})

describe('next hops through a tunnel', () => {
  const TUNNEL = 9
  const FAR = '2001:db8:44::/64'
  const bodyOf = (kernel: FakeKernel, prefix: string) => kernel.ours.find((each) => formatPrefix(each.prefix) === prefix)?.body

  test('IPv6 names the far node in an outer header from the node address, plain next hops stay as they are', () => {
    const { kernel, syncer } = setUp()
    kernel.setLink({ index: TUNNEL, name: 'fibip6tnl', isUp: true, isRunning: true })
    syncer.setLocal(SOURCES)
    syncer.applyBatch(fibBatch({ [FAR]: 1 }, { 1: [via('fd02::13', TUNNEL, true)] }))
    const outer = { destination: ip('fd02::13'), source: ip('fd00::1') }
    const hop = { gateway: null, interfaceIndex: TUNNEL, onlink: false, outer }
    expect(bodyOf(kernel, FAR)).toEqual({ kind: 'unicast', nextHops: [hop], source: ip('fd00::1') })
    expect(syncer.status(FAR)).toMatchObject([
      { state: 'inSync', nextHops: [{ gateway: 'fd02::13', interface: 'fibip6tnl', onlink: true }] },
    ])
    syncer.applyBatch(fibBatch({ [FAR]: 2 }, { 2: [via('fd00::2', ETH0)] }))
    expect(bodyOf(kernel, FAR)).toEqual(unicast([via('fd00::2', ETH0)], ip('fd00::1')))
    expect(kernel.calls).toMatchObject({ created: 1, replaced: 1, removed: 0 })
  })

  test('IPv4 has an onlink gateway', () => {
    const { kernel, syncer } = setUp()
    kernel.setLink({ index: TUNNEL, name: 'fibip6tnl', isUp: true, isRunning: true })
    kernel.setLink({ index: TUNNEL + 1, name: 'fibipip', isUp: true, isRunning: true })
    syncer.setLocal(SOURCES)
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: [via('10.2.0.13', TUNNEL + 1, true)] }))
    expect(bodyOf(kernel, A)).toEqual(unicast([via('10.2.0.13', TUNNEL + 1, true)], ip('10.0.0.1')))
  })

  test('a device that is made anew under another number takes its routes with it as soon as BGP names that', () => {
    const { kernel, syncer } = setUp()
    kernel.setLink({ index: TUNNEL, name: 'fibip6tnl', isUp: true, isRunning: true })
    syncer.setLocal(SOURCES)
    syncer.applyBatch(fibBatch({ [FAR]: 1 }, { 1: [via('fd02::13', TUNNEL, true)] }))
    kernel.removeLink(TUNNEL)
    kernel.setLink({ index: TUNNEL + 5, name: 'fibip6tnl', isUp: true, isRunning: true })
    syncer.poll()
    syncer.applyBatch(fibBatch({ [FAR]: 2 }, { 2: [via('fd02::13', TUNNEL + 5, true)] }))
    expect(bodyOf(kernel, FAR)).toMatchObject({ nextHops: [{ interfaceIndex: TUNNEL + 5, outer: { destination: ip('fd02::13') } }] })
  })
})

describe('restart', () => {
  test('what a predecessor left stays until sweeping is allowed, and what is confirmed stays for good', () => {
    const { kernel, syncer } = setUp()
    kernel.foreign('add', left(A))
    kernel.foreign('add', left(B))
    syncer.resync()
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    expect(states(syncer)).toEqual({ [A]: 'inSync', [B]: 'stale' })
    expect(kernel.calls.written).toBe(0)
    syncer.allowSweep()
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
    expect(kernel.calls).toMatchObject({ created: 0, replaced: 0, removed: 1 })
  })

  test('sweeping may be allowed for one family', () => {
    const { kernel, syncer } = setUp()
    kernel.foreign('add', left(A))
    kernel.foreign('add', left('2001:db8::/32', [via('fd00::2', ETH0)]))
    syncer.allowSweep(6)
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
  })

  test('a left-over with other next hops is replaced at once, before sweeping', () => {
    const { kernel, syncer } = setUp()
    kernel.foreign('add', left(A, HOPS_B))
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
    expect(kernel.calls).toMatchObject({ created: 0, replaced: 1, removed: 0 })
  })

  test('a withdrawal is obeyed before sweeping', () => {
    const { kernel, syncer } = setUp()
    kernel.foreign('add', left(A))
    syncer.resync()
    syncer.applyBatch(fibBatch({ [A]: 0 }))
    expect(ours(kernel)).toEqual([])
  })

  test('routes of ours with another metric or TOS, or doubled, are swept too', () => {
    const { kernel, syncer, clock } = setUp()
    kernel.foreign('add', { ...left(A), metric: 20 })
    kernel.foreign('add', { ...left(A), tos: 8 })
    kernel.foreign('add', left(A))
    kernel.foreign('append', left(A, HOPS_B))
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    expect(kernel.ours).toHaveLength(4)
    syncer.allowSweep()
    clock.advance(2000)
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
    expect(kernel.ours).toMatchObject([{ metric: 179, tos: 0 }])
  })

  test('nothing is written before the kernel has been read', () => {
    const { kernel, syncer, clock } = setUp()
    kernel.failLists = 1
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    expect(kernel.calls.writes).toBe(0)
    expect(syncer.hasSynced()).toBe(false)
    expect(syncer.problems()).toMatchObject([{ severity: 'error', subject: 'routes' }])
    clock.advance(2000)
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
    expect(syncer.hasSynced()).toBe(true)
  })
})

describe('drift', () => {
  test('a route that somebody removes is back at once', () => {
    const { kernel, syncer } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1, [B]: 1 }, { 1: HOPS_A }))
    kernel.remove(isOurs)
    syncer.poll()
    expect(ours(kernel)).toHaveLength(2)
  })

  test('a route that vanishes without an event is back after the read-back', () => {
    const { kernel, syncer, clock } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    kernel.remove(isOurs, { silently: true })
    syncer.poll()
    expect(ours(kernel)).toEqual([])
    clock.advance(READ_BACK_MS)
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
  })

  test('a route of ours that somebody changes is changed back', () => {
    const { kernel, syncer } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    kernel.foreign('replace', left(A, HOPS_B))
    syncer.poll()
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
  })

  test('a route with our mark that nobody asked for goes, once sweeping is allowed', () => {
    const { kernel, syncer } = setUp()
    syncer.allowSweep()
    kernel.foreign('add', left(A))
    syncer.poll()
    expect(ours(kernel)).toEqual([])
  })

  test('a second route of ours beside the right one is found by its event, and swept', () => {
    const { kernel, syncer, clock } = setUp()
    syncer.allowSweep()
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    kernel.foreign('append', left(A, HOPS_B))
    syncer.poll()
    clock.advance(2000)
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
  })

  test('one next hop of several that somebody removes is back', () => {
    const { kernel, syncer, clock } = setUp()
    const hops = [via('fd00::2', ETH0), via('fd01::2', ETH1)]
    syncer.applyBatch(fibBatch({ '2001:db8::/32': 1 }, { 1: hops }))
    clock.advance(1000)
    kernel.removeNextHop(isOurs, 'fd00::2')
    expect(ours(kernel)).toEqual(['2001:db8::/32 fd01::2'])
    syncer.poll()
    expect(ours(kernel)).toEqual(['2001:db8::/32 fd00::2,fd01::2'])
  })

  test('a look that finds nothing new costs one question', () => {
    const { kernel, syncer } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    syncer.poll()
    const before = kernel.calls.drains
    syncer.poll()
    expect(kernel.calls.drains).toBe(before + 1)
    kernel.remove(isOurs)
    syncer.poll()
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
  })

  test('somebody who undoes whatever we do does not keep us from returning, and is outlasted', () => {
    const { kernel, syncer, clock } = setUp()
    kernel.afterWrites = () => kernel.remove(isOurs)
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    expect(kernel.calls.writes).toBeLessThan(30)
    kernel.afterWrites = null
    clock.advance(200)
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
  })

  test('lost events lead to a read-back', () => {
    const { kernel, syncer, clock } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1, [B]: 1 }, { 1: HOPS_A }))
    kernel.limitEvents(0)
    kernel.remove(isOurs)
    syncer.poll()
    clock.advance(1000)
    expect(ours(kernel)).toHaveLength(2)
  })

  test('an interrupted read-back takes nothing for missing, and is repeated', () => {
    const { kernel, syncer, clock } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    kernel.interruptLists = 2
    kernel.remove(isOurs, { silently: true })
    syncer.resync()
    expect(ours(kernel)).toEqual([])
    clock.advance(1000)
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
  })

  test('writes whose answers were lost are read back, and done again where they failed', () => {
    const { kernel, syncer, clock } = setUp()
    kernel.loseAnswers = 1
    kernel.refuse.set(B, { code: 'ENOMEM', text: 'no memory' })
    syncer.applyBatch(fibBatch({ [A]: 1, [B]: 1 }, { 1: HOPS_A }))
    kernel.refuse.clear()
    clock.advance(1000)
    expect(ours(kernel)).toHaveLength(2)
    expect(states(syncer)).toEqual({ [A]: 'inSync', [B]: 'inSync' })
  })

  test('read-backs are rationed: doubt raised a hundred times a second is settled a few times', () => {
    const { kernel, syncer, clock } = setUp()
    syncer.resync()
    const before = kernel.calls.listRoutes
    for (let n = 0; n < 100; n++) {
      kernel.foreign('append', foreign('192.0.2.0/24', 5000 + n))
      syncer.poll()
      clock.advance(10)
    }
    expect(kernel.calls.listRoutes - before).toBeGreaterThanOrEqual(3)
    expect(kernel.calls.listRoutes - before).toBeLessThanOrEqual(6)
  })
})

describe('routes of others', () => {
  test('one with our metric keeps its place: a condition, and ours follows when it goes', () => {
    const { kernel, syncer } = setUp()
    kernel.foreign('add', foreign(A, 179))
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    expect(ours(kernel)).toEqual([])
    expect(syncer.status(A)).toMatchObject([{ state: 'shadowed', detail: 'static route via 10.0.0.9 on eth0, metric 179 wins' }])
    expect(syncer.problems()).toMatchObject([{ severity: 'warning', subject: `route/${A}` }])
    kernel.remove((route) => route.protocol === 4)
    syncer.poll()
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
    expect(syncer.problems()).toEqual([])
  })

  test('one with a better metric shadows ours, which waits behind it', () => {
    const { kernel, syncer } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    kernel.foreign('add', foreign(A, 100))
    syncer.poll()
    expect(states(syncer)).toEqual({ [A]: 'shadowed' })
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
    expect(syncer.counts()).toMatchObject({ shadowed: 1, inKernel: 1 })
  })

  test('one that no event told of is found by the EEXIST of ours, long before the next planned read-back', () => {
    const { kernel, syncer, clock } = setUp()
    syncer.resync()
    kernel.foreign('add', foreign(A, 179), { silently: true })
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    clock.advance(300)
    expect(states(syncer)).toEqual({ [A]: 'shadowed' })
    kernel.remove((route) => route.protocol === 4)
    syncer.poll()
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
  })

  test('one that is limited to a TOS shadows nothing', () => {
    const { kernel, syncer } = setUp()
    kernel.foreign('add', { ...foreign(A, 0), tos: 8 })
    kernel.foreign('add', { ...foreign(A, 179), tos: 8 })
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    expect(states(syncer)).toEqual({ [A]: 'inSync' })
  })

  test('one that loses one next hop of several still shadows ours', () => {
    const { kernel, syncer, clock } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    clock.advance(1000)
    kernel.foreign('add', { ...foreign(A, 100), body: unicast(BOTH, null) })
    kernel.removeNextHop((route) => route.protocol === 4, '10.0.0.2')
    syncer.poll()
    expect(syncer.status(A)).toMatchObject([{ state: 'shadowed', detail: 'static route via 10.0.1.2 on eth1, metric 100 wins' }])
  })

  test('one with a worse metric is of no concern', () => {
    const { kernel, syncer } = setUp()
    kernel.foreign('add', foreign(A, 1024))
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    expect(states(syncer)).toEqual({ [A]: 'inSync' })
  })

  test('one that has just taken the place of ours is seen before we write, and stays', () => {
    const { kernel, syncer } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    kernel.foreign('replace', foreign(A, 179)) // its event is still in the queue when the next batch comes
    syncer.applyBatch(fibBatch({ [A]: 2 }, { 2: HOPS_B }))
    expect(kernel.routes.filter(({ prefix }) => formatPrefix(prefix) === A).map(({ protocol }) => protocol)).toEqual([4])
    expect(states(syncer)).toEqual({ [A]: 'shadowed' })
  })

  test('one that takes the place of ours while we write others is seen before its turn comes', () => {
    const { kernel, syncer } = setUp()
    const many = Array.from({ length: 5000 }, (_, n) => `100.64.${n >> 8}.${n & 255}/32`)
    const last = many.at(-1) ?? ''
    const all = (set: number) => Object.fromEntries(many.map((prefix) => [prefix, set]))
    syncer.applyBatch(fibBatch(all(1), { 1: HOPS_A }))
    kernel.duringWrite = () => kernel.foreign('replace', foreign(last, 179))
    syncer.applyBatch(fibBatch(all(2), { 2: HOPS_B }))
    expect(kernel.routes.filter(({ protocol }) => protocol === 4)).toHaveLength(1)
    expect(syncer.status(last)).toMatchObject([{ state: 'shadowed' }])
  })

  test('one that took the place of ours while events were lost is not replaced either', () => {
    const { kernel, syncer, clock } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    kernel.limitEvents(0)
    kernel.foreign('replace', foreign(A, 179))
    syncer.applyBatch(fibBatch({ [A]: 2 }, { 2: HOPS_B }))
    clock.advance(1000)
    expect(kernel.routes.filter(({ protocol }) => protocol === 4)).toHaveLength(1)
    expect(states(syncer)).toEqual({ [A]: 'shadowed' })
  })

  test('one that comes in while we write is found by its EEXIST', () => {
    const { kernel, syncer, clock } = setUp()
    syncer.resync()
    kernel.duringWrite = () => kernel.foreign('add', foreign(A, 179))
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    clock.advance(1000)
    expect(states(syncer)).toEqual({ [A]: 'shadowed' })
    expect(ours(kernel)).toEqual([])
  })

  test('an IPv6 prefix the host is connected to is never installed, whatever BGP says', () => {
    const { kernel, syncer } = setUp()
    syncer.applyBatch(fibBatch({ 'fd00::/64': 1 }, { 1: [via('fd01::2', ETH1)] }))
    expect(ours(kernel)).toEqual([])
    expect(states(syncer)).toEqual({ 'fd00::/64': 'shadowed' })
    kernel.removeAddress('fd00::1/64', ETH0)
    syncer.poll()
    expect(ours(kernel)).toEqual(['fd00::/64 fd01::2'])
    kernel.addAddress('fd00::1/64', ETH0)
    syncer.poll()
    expect(ours(kernel)).toEqual([])
  })
})

describe('failures', () => {
  test('a refused route carries its reason, is retried with back-off, and holds back no other', () => {
    const { kernel, syncer, clock } = setUp()
    kernel.refuse.set(A, { code: 'ENETUNREACH', text: 'Nexthop has invalid gateway' })
    syncer.applyBatch(fibBatch({ [A]: 1, [B]: 1 }, { 1: HOPS_A }))
    expect(syncer.status()).toMatchObject([
      { prefix: B, state: 'inSync', detail: null },
      { prefix: A, state: 'failed', detail: 'ENETUNREACH (Nexthop has invalid gateway)' },
    ])
    expect(syncer.problems()).toMatchObject([{ severity: 'error', subject: `route/${A}` }])
    const before = kernel.calls.written
    clock.advance(30_000)
    expect(kernel.calls.written - before).toBeGreaterThanOrEqual(4)
    expect(kernel.calls.written - before).toBeLessThanOrEqual(6)
    kernel.refuse.clear()
    clock.advance(60_000)
    expect(states(syncer)).toEqual({ [A]: 'inSync', [B]: 'inSync' })
    expect(syncer.counts()).toMatchObject({ failed: 0 })
  })

  const connected: KernelRoute = {
    ...foreign('172.16.0.0/16', 0, 2),
    body: unicast([{ gateway: null, interfaceIndex: ETH0, onlink: false }], null),
  }
  test.each<[string, (kernel: FakeKernel) => void]>([
    ['a link comes up', (kernel) => kernel.setLink({ index: 9, name: 'eth9', isUp: true, isRunning: true })],
    ['an address becomes usable', (kernel) => kernel.addAddress('10.0.0.77/24', ETH0, true)],
    ['a connected route appears', (kernel) => kernel.foreign('add', connected)],
  ])('what failed is tried at once when %s', (_what, happen) => {
    const { kernel, syncer, clock } = setUp()
    kernel.addAddress('10.0.0.77/24', ETH0, false)
    kernel.refuse.set(A, { code: 'ENETUNREACH', text: 'Nexthop has invalid gateway' })
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    clock.advance(45_000)
    kernel.refuse.clear()
    expect(ours(kernel)).toEqual([])
    happen(kernel)
    syncer.poll()
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
  })

  test('what failed and is not wanted any more is not retried, nor does it keep us busy', () => {
    const { kernel, syncer, clock } = setUp()
    kernel.refuse.set(A, { code: 'ENOMEM', text: '' })
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    syncer.setInstall(false)
    clock.advance(5000)
    const before = kernel.calls.drains
    clock.advance(30_000)
    expect(kernel.calls.drains).toBe(before)
    expect(syncer.counts()).toMatchObject({ failed: 0 })
  })

  test('a removal that is refused is not tried again in the same breath', () => {
    const { kernel, syncer, clock } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    kernel.refuse.set(A, { code: 'EPERM', text: 'Operation not permitted' })
    syncer.applyBatch(fibBatch({ [A]: 0 }))
    expect(kernel.calls.written).toBe(2)
    kernel.refuse.clear()
    clock.advance(2000)
    expect(ours(kernel)).toEqual([])
  })

  test('while a change is refused, the old route stays if it shares a next hop with the new one', () => {
    const { kernel, syncer } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: BOTH }))
    kernel.setLink({ index: ETH1, name: 'eth1', isUp: false, isRunning: false })
    syncer.applyBatch(fibBatch({ [A]: 2 }, { 2: [via('10.0.0.2', ETH0), via('10.0.1.9', ETH1)] }))
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2,10.0.1.2`])
    expect(states(syncer)).toEqual({ [A]: 'failed' })
  })

  test('while a change is refused, an old route with none of the wanted next hops goes', () => {
    const { kernel, syncer } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    kernel.setLink({ index: ETH1, name: 'eth1', isUp: false, isRunning: false })
    syncer.applyBatch(fibBatch({ [A]: 2 }, { 2: HOPS_B }))
    expect(ours(kernel)).toEqual([])
    expect(states(syncer)).toEqual({ [A]: 'failed' })
  })

  test('a hundred thousand failures of one kind are one condition', () => {
    const { kernel, syncer } = setUp()
    const routes = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`100.64.${n >> 8}.${n & 255}/32`, 1]))
    for (const prefix of Object.keys(routes)) kernel.refuse.set(prefix, { code: 'ENOMEM', text: '' })
    syncer.applyBatch(fibBatch(routes, { 1: HOPS_A }))
    expect(syncer.problems()).toHaveLength(1)
    expect(syncer.problems()[0]?.message).toContain('999 more')
  })
})

describe('links', () => {
  test('a link that goes down takes its routes, and they are back as soon as it is', () => {
    const { kernel, syncer, clock } = setUp()
    syncer.applyBatch(fibBatch({ [A]: 1, [B]: 2 }, { 1: HOPS_A, 2: HOPS_B }))
    kernel.setLink({ index: ETH1, name: 'eth1', isUp: false, isRunning: false })
    syncer.poll()
    clock.advance(1000)
    expect(ours(kernel)).toEqual([`${A} 10.0.0.2`])
    expect(states(syncer)).toEqual({ [A]: 'inSync', [B]: 'failed' })
    kernel.setLink({ index: ETH1, name: 'eth1', isUp: true, isRunning: true })
    syncer.poll()
    expect(states(syncer)).toEqual({ [A]: 'inSync', [B]: 'inSync' })
    expect(ours(kernel)).toHaveLength(2)
  })

  test('a flap that is over before we look is noticed all the same', () => {
    const { kernel, syncer, clock } = setUp()
    syncer.applyBatch(fibBatch({ [B]: 2 }, { 2: HOPS_B }))
    clock.advance(5000)
    kernel.setLink({ index: ETH1, name: 'eth1', isUp: false, isRunning: false })
    kernel.setLink({ index: ETH1, name: 'eth1', isUp: true, isRunning: true })
    syncer.poll()
    expect(ours(kernel)).toEqual([`${B} 10.0.1.2`])
  })
})

describe('installRoutes', () => {
  test('false takes out everything of ours at once, left-overs too, and true brings back what is wanted', () => {
    const { kernel, syncer } = setUp()
    kernel.foreign('add', left('192.0.2.0/24'))
    kernel.foreign('add', foreign(B, 100))
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    syncer.setInstall(false)
    expect(ours(kernel)).toEqual([])
    expect(kernel.routes.filter(({ protocol }) => protocol === 4)).toHaveLength(1)
    expect(syncer.status(A)).toMatchObject([{ state: 'missing', detail: 'installRoutes is false' }])
    expect(syncer.counts()).toMatchObject({ desired: 1, inKernel: 0, failed: 0, installRoutes: false })
    syncer.applyBatch(fibBatch({ [B]: 1 }))
    expect(ours(kernel)).toEqual([])
    syncer.setInstall(true)
    expect(ours(kernel)).toHaveLength(2)
  })
})

describe('the host network', () => {
  test('is told once for many changes, and holds what resolves next hops but nothing of ours', () => {
    const { kernel, syncer, clock, told } = setUp()
    kernel.foreign('add', foreign('0.0.0.0/0', 100))
    syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
    clock.advance(100)
    expect(told).toHaveLength(1)
    expect(told[0]?.routes).toContainEqual({ prefix: cidr('0.0.0.0/0'), interfaceIndex: ETH0, gateway: ip('10.0.0.9'), metric: 100 })
    expect(told[0]?.routes).toContainEqual({ prefix: cidr('fd01::/64'), interfaceIndex: ETH1, gateway: null, metric: 256 })
    expect(told[0]?.routes.some((route) => formatPrefix(route.prefix) === A)).toBe(false)
    expect(told[0]?.localAddresses).toContainEqual({ address: ip('10.0.1.1'), prefixLength: 24, interfaceIndex: ETH1 })
    kernel.setLink({ index: ETH1, name: 'eth1', isUp: true, isRunning: false })
    kernel.remove((route) => route.protocol === 4)
    syncer.poll()
    syncer.poll()
    clock.advance(100)
    expect(told).toHaveLength(2)
    expect(told[1]?.interfaces.find((each) => each.name === 'eth1')?.up).toBe(false)
    clock.advance(READ_BACK_MS * 3)
    expect(told).toHaveLength(2)
  })

  test('keeps a route of several next hops while one of its links is up', () => {
    const { kernel, syncer } = setUp()
    kernel.foreign('add', { ...foreign('192.0.2.0/24', 5), body: unicast(BOTH, null) })
    syncer.resync()
    kernel.setLink({ index: ETH1, name: 'eth1', isUp: false, isRunning: false })
    syncer.poll()
    expect(syncer.hostNetwork().routes.filter(({ metric }) => metric === 5)).toHaveLength(2)
  })

  test('loses routes over a link that goes, though the kernel says nothing of them', () => {
    const { kernel, syncer } = setUp()
    syncer.resync()
    const over = (index: number): number => syncer.hostNetwork().routes.filter((route) => route.interfaceIndex === index).length
    expect(over(ETH1)).toBe(2)
    kernel.setLink({ index: ETH1, name: 'eth1', isUp: false, isRunning: false })
    syncer.poll()
    expect(over(ETH1)).toBe(0)
    kernel.setLink({ index: ETH1, name: 'eth1', isUp: true, isRunning: true })
    syncer.poll()
    expect(over(ETH1)).toBe(1) // IPv6 addresses of a link that went down are gone
    kernel.removeLink(ETH1)
    syncer.poll()
    expect(over(ETH1)).toBe(0)
  })
})

test('everything armed is given back', () => {
  const { syncer, clock, kernel } = setUp()
  kernel.refuse.set(A, { code: 'EINVAL', text: '' })
  syncer.applyBatch(fibBatch({ [A]: 1 }, { 1: HOPS_A }))
  expect(clock.armed).toBeGreaterThan(0)
  syncer[Symbol.dispose]()
  expect(clock.armed).toBe(0)
})

test('status of something that is no prefix is a RangeError', () => {
  expect(() => setUp().syncer.status('10.0.0.1')).toThrow(RangeError)
})
