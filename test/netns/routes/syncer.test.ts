// The syncer on the real kernel, with its event thread: others interfere by `ip`, and the table is read back by `ip` too.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { systemClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { cidr, type FibBatch, formatIp, formatPrefix, type HostNetwork, ip } from '../../../src/net/index.ts'
import { type KernelListener, KernelRoutes, NetlinkRouteBackend, NO_LOCAL_ROUTES, RouteSyncer } from '../../../src/routes/index.ts'
import { fibBatch, via } from '../../support/fib-batch.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { until } from '../../support/poll.ts'
import { drained, shown } from '../../support/route-backend-contract.ts'
import { openKernel } from './kernel-harness.ts'

const A = '203.0.113.0/24'
const B = '198.51.100.0/24'
const A6 = '2001:db8:a::/48'
const B6 = '2001:db8:b::/48'

let net: Netns
let routes: KernelRoutes
let eth0 = 0
let eth1 = 0
let told: HostNetwork[] = []

function openRoutes(): KernelRoutes {
  const opened = net.run(
    'host',
    () => new KernelRoutes({ log: silentLog, clock: systemClock, onHostNetwork: (network) => told.push(network) }),
  )
  const indexOf = (name: string): number => opened.syncer.hostNetwork().interfaces.find((each) => each.name === name)?.index ?? 0
  eth0 = indexOf('eth0')
  eth1 = indexOf('eth1')
  return opened
}

beforeEach(async () => {
  told = []
  net = await buildNetns('syncer', {
    nodes: ['host'],
    stubs: [
      { node: 'host', name: 'eth0', addresses: ['10.0.0.1/24', 'fd00::1/64'] },
      { node: 'host', name: 'eth1', addresses: ['10.0.1.1/24', 'fd01::1/64'] },
    ],
  })
  routes = openRoutes()
  routes.syncer.setLocal({ ...NO_LOCAL_ROUTES, preferredSource: { ipv4: ip('10.0.0.1'), ipv6: ip('fd00::1') } })
})

afterEach(async () => {
  await routes[Symbol.asyncDispose]()
  await net[Symbol.asyncDispose]()
})

/** What `ip` says of routes that are not the kernel's, without trailing blanks. */
async function ipRoutes(family: 4 | 6, ...filter: readonly string[]): Promise<readonly string[]> {
  const { stdout } = await net.exec('host', 'ip', [`-${family}`, '-o', 'route', 'show', ...filter])
  return stdout
    .split('\n')
    .map((line) => line.replaceAll('\\', '').replaceAll(/\s+/g, ' ').replace(' pref medium', '').trim())
    .filter((line) => line !== '' && !line.includes('proto kernel'))
}

function announce(set = 1): void {
  const { syncer } = routes
  syncer.applyBatch(fibBatch({ [A]: set, [B]: set }, { 1: [via('10.0.0.2', eth0)], 2: [via('10.0.0.2', eth0), via('10.0.1.2', eth1)] }))
  syncer.applyBatch(fibBatch({ [A6]: set, [B6]: set }, { 1: [via('fd00::2', eth0)], 2: [via('fd00::2', eth0), via('fd01::2', eth1)] }))
}

const OURS_A = `${A} via 10.0.0.2 dev eth0 proto 179 src 10.0.0.1 metric 179`
const OURS_A6 = `${A6} via fd00::2 dev eth0 proto 179 src fd00::1 metric 179`

test('every kind of route looks to ip as it should: protocol 179, metric 179, the node address as source', async () => {
  const { syncer } = routes
  syncer.setLocal({
    blackholes: [cidr('10.244.1.0/26'), cidr('fd44::/122')],
    statics: [
      { prefix: cidr('192.0.2.1/32'), gateway: ip('10.0.1.9') },
      { prefix: cidr('2001:db8::1/128'), gateway: ip('fd01::9') },
    ],
    preferredSource: { ipv4: ip('10.0.0.1'), ipv6: ip('fd00::1') },
  })
  syncer.applyBatch(
    fibBatch(
      { '0.0.0.0/0': 1, [A]: 2, [B]: 3, '100.64.0.0/10': 4, '100.65.0.0/16': 5 },
      {
        1: [via('10.0.0.2', eth0)],
        2: [via('10.0.0.2', eth0), via('10.0.1.2', eth1)],
        3: [via('fd00::2', eth0)],
        4: [via('172.16.5.5', eth1, true)],
        5: [via('fd00::2', eth0), via('10.0.1.2', eth1)],
      },
    ),
  )
  syncer.applyBatch(fibBatch({ '::/0': 1, [A6]: 2 }, { 1: [via('fe80::77', eth0)], 2: [via('fd00::2', eth0), via('fd01::2', eth1)] }))
  expect(await ipRoutes(4)).toEqual([
    'default via 10.0.0.2 dev eth0 proto 179 src 10.0.0.1 metric 179',
    'blackhole 10.244.1.0/26 proto 179 metric 179',
    '100.64.0.0/10 via 172.16.5.5 dev eth1 proto 179 src 10.0.0.1 metric 179 onlink',
    '100.65.0.0/16 proto 179 src 10.0.0.1 metric 179 nexthop via 10.0.1.2 dev eth1 weight 1 nexthop via inet6 fd00::2 dev eth0 weight 1',
    '192.0.2.1 via 10.0.1.9 dev eth1 proto 179 src 10.0.0.1 metric 179',
    `${B} via inet6 fd00::2 dev eth0 proto 179 src 10.0.0.1 metric 179`,
    `${A} proto 179 src 10.0.0.1 metric 179 nexthop via 10.0.0.2 dev eth0 weight 1 nexthop via 10.0.1.2 dev eth1 weight 1`,
  ])
  expect(await ipRoutes(6)).toEqual([
    '2001:db8::1 via fd01::9 dev eth1 proto 179 src fd00::1 metric 179',
    `${A6} proto 179 src fd00::1 metric 179 nexthop via fd00::2 dev eth0 weight 1 nexthop via fd01::2 dev eth1 weight 1`,
    'blackhole fd44::/122 dev lo proto 179 metric 179',
    'default via fe80::77 dev eth0 proto 179 src fd00::1 metric 179',
  ])
  expect(syncer.status().every(({ state }) => state === 'inSync')).toBe(true)
  syncer.resync()
  expect(syncer.status().every(({ state }) => state === 'inSync')).toBe(true)
  expect(syncer.counts()).toMatchObject({ desired: 11, inKernel: 11, failed: 0, shadowed: 0, stale: 0 })
})

describe('others interfere', () => {
  test('a route removed by hand is back by event, both families, single and multipath', async () => {
    for (const set of [1, 2]) {
      announce(set)
      const before = [await ipRoutes(4), await ipRoutes(6)]
      await net.ip('host', `-4 route del ${A} proto 179`)
      await net.ip('host', `-6 route del ${A6} proto 179`)
      await until('the routes are back', async () => JSON.stringify([await ipRoutes(4), await ipRoutes(6)]) === JSON.stringify(before), {
        everyMs: 5,
      })
    }
  })

  test('one next hop of an IPv6 multipath route removed by hand is back by event', async () => {
    announce(2)
    const before = await ipRoutes(6)
    await net.ip('host', `-6 route del ${A6} via fd00::2 dev eth0`)
    await until('both next hops are back', async () => JSON.stringify(await ipRoutes(6)) === JSON.stringify(before))
  })

  test('all routes flushed by hand are back by event', async () => {
    announce()
    await net.ip('host', '-4 route flush proto 179')
    await net.ip('host', '-6 route flush proto 179')
    await until('four routes are back', async () => (await ipRoutes(4)).length === 2 && (await ipRoutes(6)).length === 2)
  })

  test('a foreign route with our metric, there first, is never replaced; ours follows when it goes', async () => {
    await net.ip('host', `route add ${A} via 10.0.0.9 metric 179 proto static`)
    await net.ip('host', `-6 route add ${A6} via fd00::9 metric 179 proto static`)
    announce()
    announce(2)
    const foreign = [`${A} via 10.0.0.9 dev eth0 proto static metric 179`, `${A6} via fd00::9 dev eth0 proto static metric 179`]
    expect([...(await ipRoutes(4, A)), ...(await ipRoutes(6, A6))]).toEqual(foreign)
    expect(routes.syncer.status(A)).toMatchObject([{ state: 'shadowed', detail: 'static route via 10.0.0.9 on eth0, metric 179 wins' }])
    expect(routes.syncer.status(A6)).toMatchObject([{ state: 'shadowed' }])
    announce()
    await net.ip('host', `route del ${A} via 10.0.0.9 metric 179`)
    await net.ip('host', `-6 route del ${A6} via fd00::9 metric 179`)
    await until('ours are in', async () => (await ipRoutes(4, A)).includes(OURS_A) && (await ipRoutes(6, A6)).includes(OURS_A6))
  })

  test('a foreign route that took the place of ours is not replaced by our next change', async () => {
    announce()
    await net.ip('host', `route replace ${A} via 10.0.0.9 metric 179 proto static`)
    await net.ip('host', `-6 route replace ${A6} via fd00::9 metric 179 proto static`)
    announce(2)
    expect(await ipRoutes(4, A)).toEqual([`${A} via 10.0.0.9 dev eth0 proto static metric 179`])
    expect(await ipRoutes(6, A6)).toEqual([`${A6} via fd00::9 dev eth0 proto static metric 179`])
    expect(routes.syncer.status().map(({ prefix, state }) => `${prefix} ${state}`)).toEqual([
      `${B} inSync`,
      `${A} shadowed`,
      `${A6} shadowed`,
      `${B6} inSync`,
    ])
  })

  test('foreign routes of all sorts survive everything we do', async () => {
    const theirs = [
      '203.0.113.0/24 via 10.0.0.9 dev eth0 proto static metric 20',
      '192.0.2.0/24 via 10.0.1.9 dev eth1 proto bird metric 32',
    ]
    for (const route of theirs) await net.ip('host', `route add ${route}`)
    await net.ip('host', 'route add unreachable 192.0.2.128/25 proto static metric 5')
    announce()
    announce(2)
    routes.syncer.allowSweep()
    routes.syncer.setInstall(false)
    routes.syncer.resync()
    const left = (await ipRoutes(4)).map((line) => line.replace(/ metric.*$/, ''))
    expect(left.sort()).toEqual([
      '192.0.2.0/24 via 10.0.1.9 dev eth1 proto bird',
      `${A} via 10.0.0.9 dev eth0 proto static`,
      'unreachable 192.0.2.128/25 proto static',
    ])
  })
})

describe('links', () => {
  test('a link that goes down and comes up has its routes back, and the others never went', async () => {
    announce(1)
    routes.syncer.applyBatch(fibBatch({ [B]: 3 }, { 3: [via('10.0.1.2', eth1)] }))
    await using watcher = await watch()
    await net.ip('host', 'link set eth1 down')
    await until('the failure shows', () => routes.syncer.status(B)[0]?.state === 'failed')
    expect(await ipRoutes(4)).toEqual([OURS_A])
    await net.ip('host', 'link set eth1 up')
    await until('the route is back', async () => (await ipRoutes(4, B)).length === 1)
    expect(routes.syncer.status(B)).toMatchObject([{ state: 'inSync' }])
    expect(watcher.lines().filter((line) => line.startsWith('removed') && line.includes(A))).toEqual([])
  })

  test('a link flapping many times ends with every route in place, IPv4 and IPv6', async () => {
    announce(2)
    for (let flap = 0; flap < 20; flap++) {
      await net.ip('host', 'link set eth1 down')
      await net.ip('host', 'link set eth1 up')
    }
    await net.ip('host', 'address add fd01::1/64 dev eth1 nodad')
    await until('all in sync', () => routes.syncer.status().every(({ state }) => state === 'inSync'))
    routes.syncer.resync()
    expect(routes.syncer.status().map(({ state }) => state)).toEqual(['inSync', 'inSync', 'inSync', 'inSync'])
    expect((await ipRoutes(6, A6))[0]).toContain('via fd01::2 dev eth1')
  })

  test('losing the node address keeps every route, without a source, until it is back', async () => {
    announce()
    await net.ip('host', 'address add 10.0.0.100/23 dev eth0')
    await net.ip('host', 'address del 10.0.0.1/24 dev eth0')
    await until('routes without source', async () => (await ipRoutes(4, A))[0] === `${A} via 10.0.0.2 dev eth0 proto 179 metric 179`)
    await net.ip('host', 'address add 10.0.0.1/24 dev eth0')
    await until('routes with source', async () => (await ipRoutes(4, A))[0] === OURS_A)
  })

  test('the host network follows links, addresses and routes', async () => {
    const last = (): HostNetwork | undefined => told.at(-1)
    await net.ip('host', 'route add default via 10.0.0.9 metric 100')
    await until('the default route', () =>
      last()?.routes.some((r) => formatPrefix(r.prefix) === '0.0.0.0/0' && r.gateway === ip('10.0.0.9')),
    )
    await net.ip('host', 'link set eth1-far down')
    await until('no carrier on eth1', () => last()?.interfaces.some(({ name, up }) => name === 'eth1' && !up))
    await net.ip('host', 'address add 10.77.0.1/16 dev eth0')
    await until('the address', () => last()?.localAddresses.some(({ address }) => formatIp(address) === '10.77.0.1'))
    await net.ip('host', 'link set eth0 down')
    await until('nothing over eth0', () => last()?.routes.every((r) => r.interfaceIndex !== eth0))
    await net.ip('host', 'link del eth1')
    await until('eth1 is gone', () => last()?.interfaces.every(({ name }) => name !== 'eth1'))
    await until('what was told is what is there', async () => {
      await using fresh = net.run('host', () => new KernelRoutes({ log: silentLog, clock: systemClock, onHostNetwork: () => {} }))
      return JSON.stringify(sorted(fresh.syncer.hostNetwork())) === JSON.stringify(sorted(last()))
    })
  })
})

describe('restart', () => {
  test('a successor keeps every route untouched, and sweeps what nobody confirmed only when allowed', async () => {
    announce()
    await routes[Symbol.asyncDispose]()
    await using watcher = await watch()
    routes = openRoutes()
    const { syncer } = routes
    expect(syncer.counts()).toMatchObject({ desired: 0, inKernel: 4, stale: 4 })
    syncer.setLocal({ ...NO_LOCAL_ROUTES, preferredSource: { ipv4: ip('10.0.0.1'), ipv6: ip('fd00::1') } })
    syncer.applyBatch(fibBatch({ [A]: 7 }, { 7: [via('10.0.0.2', eth0)] }))
    syncer.applyBatch(fibBatch({ [A6]: 7 }, { 7: [via('fd00::2', eth0)] }))
    syncer.resync()
    expect(watcher.lines()).toEqual([])
    expect(syncer.status().map(({ prefix, state }) => `${prefix} ${state}`)).toEqual([
      `${B} stale`,
      `${A} inSync`,
      `${A6} inSync`,
      `${B6} stale`,
    ])
    syncer.allowSweep()
    expect(await ipRoutes(4)).toEqual([OURS_A])
    expect(await ipRoutes(6)).toEqual([OURS_A6])
    expect(watcher.lines()).toEqual([`removed ${B} proto 179 metric 179`, `removed ${B6} proto 179 metric 179`])
  })
})

describe('many', () => {
  const many = (count: number, set: number): FibBatch => {
    const addresses = new Uint8Array(count * 4)
    for (let n = 0; n < count; n++) new DataView(addresses.buffer).setUint32(n * 4, 0x1400_0000 + n * 256)
    return {
      family: 4,
      count,
      addresses,
      lengths: new Uint8Array(count).fill(24),
      nextHopSets: new Uint32Array(count).fill(set),
      newSets: [],
    }
  }

  test('a hundred thousand routes go in, change without a gap, survive a flush by hand, and go out', async () => {
    const { syncer } = routes
    announce(2)
    const count = 100_000
    const inKernel = async (): Promise<number> => (await ipRoutes(4, 'root', '20.0.0.0/7')).length
    syncer.applyBatch(many(count, 1))
    expect(await inKernel()).toBe(count)
    syncer.applyBatch(many(count, 2))
    syncer.resync()
    expect(syncer.counts()).toMatchObject({ desired: count + 4, inKernel: count + 4, failed: 0 })
    await net.ip('host', '-4 route flush proto 179')
    await until('all are back', async () => (await inKernel()) === count, { everyMs: 500 })
    syncer.applyBatch(many(count, 0))
    expect(await inKernel()).toBe(0)
    expect((await ipRoutes(4)).length).toBe(2)
  }, 600_000)

  test('events lost in a flood (ENOBUFS) lead to a resync: ours are back, and what is foreign is known exactly', async () => {
    const kernel = net.run('host', () => new CountingBackend({ eventBufferBytes: 8192 }))
    await routes[Symbol.asyncDispose]()
    const syncer = new RouteSyncer({ backend: kernel, log: silentLog, clock: systemClock })
    syncer.applyBatch(fibBatch({ [A]: 1, [B]: 1 }, { 1: [via('10.0.0.2', eth0)] }))
    const adds = Array.from({ length: 5000 }, (_, n) => `route add 100.64.${n >> 8}.${n & 255}/32 via 10.0.0.9`)
    await net.ipBatch('host', [...adds, `route del ${A} proto 179`, 'route del 100.64.0.1/32'])
    syncer.poll()
    expect(kernel.lost).toBeGreaterThan(0)
    await until('the route is back', async () => (await ipRoutes(4, A)).length === 1)
    expect(syncer.hostNetwork().routes.filter(({ gateway }) => gateway === ip('10.0.0.9'))).toHaveLength(4999)
    syncer[Symbol.dispose]()
    kernel[Symbol.dispose]()
    routes = openRoutes()
  })
})

class CountingBackend extends NetlinkRouteBackend {
  lost = 0

  override drain(listener: KernelListener): boolean {
    return super.drain({
      routeChanged: (view, change) => listener.routeChanged(view, change),
      linkChanged: (link) => listener.linkChanged(link),
      linkRemoved: (index) => listener.linkRemoved(index),
      addressChanged: (address) => listener.addressChanged(address),
      addressRemoved: (address) => listener.addressRemoved(address),
      eventsLost: () => {
        this.lost++
        listener.eventsLost()
      },
    })
  }
}

/** Hears all that happens to routes, as another program would. */
async function watch(): Promise<{ lines(): readonly string[] } & AsyncDisposable> {
  const backend = net.run('host', () => new NetlinkRouteBackend())
  drained(backend)
  const lines: string[] = []
  return {
    lines: () => {
      lines.push(...drained(backend).filter((line) => line.includes(' proto '))) // links may be settling still
      return lines
    },
    async [Symbol.asyncDispose]() {
      backend[Symbol.dispose]()
    },
  }
}

function sorted(network: HostNetwork | undefined): unknown {
  const text = (value: unknown): string => JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? `${each}` : each))
  return network === undefined
    ? null
    : [network.routes.map(text).sort(), network.localAddresses.map(text).sort(), network.interfaces.map(text).sort()]
}

test('the harness itself: a fresh host has no route of ours', async () => {
  await using kernel = await openKernel()
  expect(shown(kernel.backend, 4)).toEqual([])
})
