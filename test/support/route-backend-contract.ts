// The promises of the port to the kernel's routes, run against the fake (unit tier) and the real kernel (netns tier): what the
// syncer may rely on, and what the fake must imitate.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { cidr, comparePrefix, formatPrefix, type IpFamily, ip, ipFromBytes, ipToBytes, prefixFamily } from '../../src/net/index.ts'
import {
  CREATE,
  type KernelListener,
  REMOVE,
  REPLACE,
  type RouteBackend,
  type RouteView,
  type RouteWrites,
  type WriteOutcome,
} from '../../src/routes/backend.ts'
import {
  BLACKHOLE,
  bodyKey,
  type KernelRoute,
  type NextHop,
  OUR_METRIC,
  OUR_PROTOCOL,
  type RouteBody,
  unicast,
} from '../../src/routes/route.ts'
import { until } from './poll.ts'

/** A host with eth0 (10.0.0.1/24, fd00::1/64) and eth1 (10.0.1.1/24, fd01::1/64), both with a carrier, and no other route. */
export interface KernelHarness extends AsyncDisposable {
  readonly backend: RouteBackend
  readonly eth0: number
  readonly eth1: number
  /** What another program does: `ip route add|replace|append|del`. */
  foreign(verb: 'add' | 'replace' | 'append' | 'del', route: ForeignRoute): Promise<void>
  setLink(name: 'eth0' | 'eth1', state: 'up' | 'down'): Promise<void>
  address(verb: 'add' | 'del', name: 'eth0' | 'eth1', address: string): Promise<void>
}

export type ForeignRoute = { readonly prefix: string; readonly via: string; readonly metric: number; readonly protocol: number }

export type Write = {
  readonly operation: typeof CREATE | typeof REPLACE | typeof REMOVE
  readonly prefix: string
  readonly body?: RouteBody
}

export function columns(family: IpFamily, writes: readonly Write[], metric = OUR_METRIC): RouteWrites {
  const bodies = writes.flatMap(({ body }) => body ?? [])
  let body = 0
  return {
    family,
    count: writes.length,
    metric,
    tos: 0,
    operations: Uint8Array.from(writes.map(({ operation }) => operation)),
    addresses: Uint8Array.from(writes.flatMap((write) => [...ipToBytes(cidr(write.prefix).address)])),
    lengths: Uint8Array.from(writes.map((write) => cidr(write.prefix).length)),
    bodyOf: Uint32Array.from(writes.map((write) => (write.body === undefined ? 0 : body++))),
    bodies,
  }
}

export function routeOf(view: RouteView): KernelRoute {
  const { length, protocol, metric, tos, body } = view
  return { prefix: { address: ipFromBytes(view.family, view.address), length }, protocol, metric, tos, body }
}

/** Routes that are not the kernel's own, in order. */
export function listed(backend: RouteBackend, family: IpFamily): readonly KernelRoute[] {
  let routes: KernelRoute[] = []
  backend.listRoutes(family, {
    restart: () => {
      routes = []
    },
    route: (view) => void routes.push(routeOf(view)),
  })
  return routes.filter(({ protocol }) => protocol !== 2).sort((a, b) => comparePrefix(a.prefix, b.prefix) || a.metric - b.metric)
}

/** One line for each route: `PREFIX BODY proto N metric N`. */
export function shown(backend: RouteBackend, family: IpFamily): readonly string[] {
  return listed(backend, family).map((r) => `${formatPrefix(r.prefix)} ${bodyKey(r.body)} proto ${r.protocol} metric ${r.metric}`)
}

/** Everything `drain` tells, one line for each event; links and addresses by their number and text. */
export function drained(backend: RouteBackend): readonly string[] {
  const lines: string[] = []
  const listener: KernelListener = {
    routeChanged: (view, change) => {
      if (view.protocol !== 2) lines.push(`${change} ${formatPrefix(routeOf(view).prefix)} proto ${view.protocol} metric ${view.metric}`)
    },
    linkChanged: ({ name, isUp }) => void lines.push(`link ${name} ${isUp ? 'up' : 'down'}`),
    linkRemoved: (index) => void lines.push(`link ${index} removed`),
    addressChanged: () => void lines.push('address changed'),
    addressRemoved: () => void lines.push('address removed'),
    eventsLost: () => void lines.push('lost'),
  }
  const isTold = backend.drain(listener)
  if (!isTold && lines.length > 0) throw new Error(`drain says that nothing happened, and tells: ${lines.join('; ')}`)
  return lines
}

const DEAF: KernelListener = {
  routeChanged: () => {},
  linkChanged: () => {},
  linkRemoved: () => {},
  addressChanged: () => {},
  addressRemoved: () => {},
  eventsLost: () => {},
}

function refusals({ failures }: WriteOutcome): readonly string[] {
  return failures.map(({ index, code }) => `${index} ${code}`)
}

export function describeRouteBackend(name: string, open: () => Promise<KernelHarness>): void {
  describe(`route backend contract: ${name}`, () => {
    let host: KernelHarness
    const hop = (gateway: string | null, interfaceIndex = host.eth0, onlink = false): NextHop => ({
      gateway: gateway === null ? null : ip(gateway),
      interfaceIndex,
      onlink,
    })
    /** By an outer header: the backend does not ask what kind of device the interface is. */
    const through = (destination: string, source: string | null = 'fd00::1'): NextHop => ({
      gateway: null,
      interfaceIndex: host.eth1,
      onlink: false,
      outer: { destination: ip(destination), source: source === null ? null : ip(source) },
    })
    const write = (family: IpFamily, ...writes: readonly Write[]): WriteOutcome => host.backend.write(columns(family, writes))
    const bodies = (family: IpFamily) => ({
      blackhole: BLACKHOLE,
      single: unicast([hop(family === 4 ? '10.0.0.2' : 'fd00::2')], ip(family === 4 ? '10.0.0.1' : 'fd00::1')),
      other: unicast([hop(family === 4 ? '10.0.1.2' : 'fd01::2', host.eth1)], null),
      ecmp: unicast(
        [hop(family === 4 ? '10.0.0.2' : 'fd00::2'), hop(family === 4 ? '10.0.1.2' : 'fd01::2', host.eth1)],
        ip(family === 4 ? '10.0.0.1' : 'fd00::1'),
      ),
      ecmpOfThree: unicast(
        [
          hop(family === 4 ? '10.0.0.3' : 'fd00::3'),
          hop(family === 4 ? '10.0.1.3' : 'fd01::3', host.eth1),
          hop(family === 4 ? '10.0.1.4' : 'fd01::4', host.eth1),
        ],
        null,
      ),
      onlink: unicast([hop(family === 4 ? '192.0.2.9' : '2001:db8:9::9', host.eth1, true)], null),
      link: unicast([hop(null, host.eth1)], null),
      viaLinkLocal: unicast([hop('fe80::77'), hop('fe80::77', host.eth1)], null),
      ...(family === 4
        ? {
            viaIpv6: unicast([hop('fd00::2')], ip('10.0.0.1')),
            ecmpViaIpv6: unicast([hop('fd00::2'), hop('fd01::2', host.eth1)], null),
            ecmpMixed: unicast([hop('10.0.0.2'), hop('fd01::2', host.eth1)], null),
          }
        : {
            tunnel: unicast([through('2001:db8:9::9')], ip('fd00::1')),
            tunnelOfAnySource: unicast([through('2001:db8:9::9', null)], null),
            ecmpTunnel: unicast([through('2001:db8:9::9'), through('2001:db8:9::a')], ip('fd00::1')),
            ecmpTunnelAndPlain: unicast([through('2001:db8:9::9'), hop('fd00::2')], ip('fd00::1')),
          }),
    })
    const PREFIX = { 4: '203.0.113.0/24', 6: '2001:db8:1::/48' } as const
    const expectOnly = (family: IpFamily, prefix: string, body: RouteBody): void =>
      expect(shown(host.backend, family)).toEqual([`${prefix} ${bodyKey(body)} proto ${OUR_PROTOCOL} metric ${OUR_METRIC}`])

    beforeEach(async () => {
      host = await open()
    })
    afterEach(async () => {
      await host[Symbol.asyncDispose]()
    })

    describe.each([4, 6] as const)('IPv%d', (family) => {
      const other = family === 4 ? '198.51.100.0/24' : '2001:db8:2::/48'
      const gateway = family === 4 ? '10.0.0.7' : 'fd00::7'
      const foreign = (metric: number): ForeignRoute => ({ prefix: PREFIX[family], via: gateway, metric, protocol: 4 })
      const foreignLine = (metric: number): string => `${PREFIX[family]} ${bodyKey(unicast([hop(gateway)], null))} proto 4 metric ${metric}`

      test('every kind of route is created and read back as it was asked for', () => {
        for (const [kind, body] of Object.entries(bodies(family))) {
          expect([kind, ...refusals(write(family, { operation: CREATE, prefix: PREFIX[family], body }))]).toEqual([kind])
          expectOnly(family, PREFIX[family], body)
          expect(refusals(write(family, { operation: REMOVE, prefix: PREFIX[family] }))).toEqual([])
          expect(shown(host.backend, family)).toEqual([])
        }
      })

      test('prefixes of every length, the default route and host routes among them', () => {
        const all =
          family === 4
            ? ['0.0.0.0/0', '128.0.0.0/1', '203.0.113.64/27', '203.0.113.9/32']
            : ['::/0', '8000::/1', '2001:db8:1::/61', '2001:db8::9/128']
        const body = bodies(family).single
        expect(refusals(write(family, ...all.map((prefix) => ({ operation: CREATE, prefix, body }) as Write)))).toEqual([])
        expect(
          listed(host.backend, family)
            .map((route) => formatPrefix(route.prefix))
            .sort(),
        ).toEqual([...all].sort())
        expect(refusals(write(family, ...all.map((prefix) => ({ operation: REMOVE, prefix }) as Write)))).toEqual([])
        expect(shown(host.backend, family)).toEqual([])
      })

      test('any route is replaced by any other in one step, leaving exactly the new one', () => {
        const all = Object.entries(bodies(family))
        for (const [fromKind, from] of all) {
          for (const [toKind, to] of all) {
            write(family, { operation: CREATE, prefix: PREFIX[family], body: from })
            const refused = refusals(write(family, { operation: REPLACE, prefix: PREFIX[family], body: to }))
            expect([fromKind, toKind, ...refused, ...shown(host.backend, family)]).toEqual([
              fromKind,
              toKind,
              `${PREFIX[family]} ${bodyKey(to)} proto ${OUR_PROTOCOL} metric ${OUR_METRIC}`,
            ])
            write(family, { operation: REMOVE, prefix: PREFIX[family] })
          }
        }
      })

      test('a replacement of what is not there creates it', () => {
        const body = bodies(family).single
        expect(refusals(write(family, { operation: REPLACE, prefix: PREFIX[family], body }))).toEqual([])
        expectOnly(family, PREFIX[family], body)
      })

      test('a route that exists is not created again: EEXIST, and it stays as it was', () => {
        const { single, ecmp } = bodies(family)
        write(family, { operation: CREATE, prefix: PREFIX[family], body: single })
        for (const body of [ecmp, single, BLACKHOLE]) {
          expect(refusals(write(family, { operation: CREATE, prefix: PREFIX[family], body }))).toEqual(['0 EEXIST'])
          expectOnly(family, PREFIX[family], single)
        }
      })

      test('a route of another with our metric is neither replaced by a creation nor removed', async () => {
        await host.foreign('add', foreign(OUR_METRIC))
        const { single, ecmp } = bodies(family)
        for (const body of [single, ecmp, BLACKHOLE]) {
          expect(refusals(write(family, { operation: CREATE, prefix: PREFIX[family], body }))).toEqual(['0 EEXIST'])
        }
        expect(refusals(write(family, { operation: REMOVE, prefix: PREFIX[family] }))).toEqual([])
        expect(shown(host.backend, family)).toEqual([foreignLine(OUR_METRIC)])
      })

      test('routes of others with other metrics live beside ours', async () => {
        await host.foreign('add', foreign(100))
        await host.foreign('add', foreign(2000))
        const { single } = bodies(family)
        expect(refusals(write(family, { operation: CREATE, prefix: PREFIX[family], body: single }))).toEqual([])
        expect(shown(host.backend, family)).toHaveLength(3)
        expect(refusals(write(family, { operation: REMOVE, prefix: PREFIX[family] }))).toEqual([])
        expect(shown(host.backend, family)).toEqual([foreignLine(100), foreignLine(2000)])
      })

      test('removing what is not there is success', () => {
        expect(refusals(write(family, { operation: REMOVE, prefix: PREFIX[family] }))).toEqual([])
      })

      test('a refused route in the middle of many is named with reason, and holds back none of the others', () => {
        const good = bodies(family).single
        const bad = unicast([hop(family === 4 ? '192.0.2.77' : '2001:db8:77::77')], null)
        const prefixes = Array.from({ length: 1500 }, (_, n) =>
          family === 4 ? `100.${64 + (n >> 8)}.${n & 255}.0/24` : `2001:db8:${n.toString(16)}::/48`,
        )
        const writes = prefixes.map((prefix, n): Write => ({ operation: CREATE, prefix, body: n === 700 || n === 1499 ? bad : good }))
        const outcome = write(family, ...writes)
        expect(outcome.failures.map(({ index }) => index)).toEqual([700, 1499])
        for (const { code } of outcome.failures) expect(['ENETUNREACH', 'EHOSTUNREACH', 'EINVAL']).toContain(code)
        expect(outcome.unknown).toEqual([])
        expect(listed(host.backend, family)).toHaveLength(1498)
      })

      test('a source address this host does not have is refused', () => {
        const body = unicast([hop(family === 4 ? '10.0.0.2' : 'fd00::2')], ip(family === 4 ? '10.0.0.99' : 'fd00::99'))
        expect(refusals(write(family, { operation: CREATE, prefix: PREFIX[family], body }))).toEqual(['0 EINVAL'])
      })

      const ofRoutes = (): readonly string[] => drained(host.backend).filter((line) => line.includes(' proto ')) // links may be settling still

      test('events tell what others do, in order, and nothing of what we do', async () => {
        drained(host.backend)
        const { single, ecmp } = bodies(family)
        write(family, { operation: CREATE, prefix: other, body: single }, { operation: REPLACE, prefix: other, body: ecmp })
        expect(ofRoutes()).toEqual([])
        await until('the kernel has nothing more to tell', () => !host.backend.drain(DEAF))
        await host.foreign('add', foreign(100))
        await host.foreign('replace', { ...foreign(100), via: family === 4 ? '10.0.0.8' : 'fd00::8' })
        await host.foreign('del', { ...foreign(100), via: family === 4 ? '10.0.0.8' : 'fd00::8' })
        expect(ofRoutes()).toEqual(['added', 'replaced', 'removed'].map((change) => `${change} ${PREFIX[family]} proto 4 metric 100`))
        expect(ofRoutes()).toEqual([])
      })

      test('events tell when another removes ours, or puts its own in its place', async () => {
        const { single } = bodies(family)
        write(family, { operation: CREATE, prefix: PREFIX[family], body: single }, { operation: CREATE, prefix: other, body: single })
        drained(host.backend)
        await host.foreign('del', {
          prefix: PREFIX[family],
          via: family === 4 ? '10.0.0.2' : 'fd00::2',
          metric: OUR_METRIC,
          protocol: OUR_PROTOCOL,
        })
        await host.foreign('replace', { ...foreign(OUR_METRIC), prefix: other })
        expect(ofRoutes()).toEqual([`removed ${PREFIX[family]} proto 179 metric 179`, `replaced ${other} proto 4 metric 179`])
        expect(listed(host.backend, family).map(({ protocol }) => protocol)).toEqual([4])
      })

      test('a link that goes down takes its routes along, refuses new ones while it is down, and takes them when it is up', async () => {
        const { other: overEth1, single } = bodies(family)
        write(family, { operation: CREATE, prefix: PREFIX[family], body: overEth1 }, { operation: CREATE, prefix: other, body: single })
        await host.setLink('eth1', 'down')
        expect(listed(host.backend, family).map((route) => formatPrefix(route.prefix))).toEqual([other])
        expect(drained(host.backend)).toContain('link eth1 down')
        expect(write(family, { operation: CREATE, prefix: PREFIX[family], body: overEth1 }).failures).toHaveLength(1)
        await host.setLink('eth1', 'up')
        expect(drained(host.backend)).toContain('link eth1 up')
        if (family === 6) await host.address('add', 'eth1', 'fd01::1/64') // the kernel drops IPv6 addresses of a link that goes down
        expect(refusals(write(family, { operation: CREATE, prefix: PREFIX[family], body: overEth1 }))).toEqual([])
      })

      test('of a route with several next hops, one link going down leaves the others working', async () => {
        const { ecmp } = bodies(family)
        write(family, { operation: CREATE, prefix: PREFIX[family], body: ecmp })
        await host.setLink('eth1', 'down')
        expectOnly(family, PREFIX[family], ecmp)
      })

      test('links and addresses are listed', () => {
        const { links, addresses } = host.backend.listLinks()
        expect(
          links
            .filter((link) => link.name.startsWith('eth') && !link.name.includes('-'))
            .map(({ name, isUp, isRunning }) => [name, isUp, isRunning])
            .sort(),
        ).toEqual([
          ['eth0', true, true],
          ['eth1', true, true],
        ])
        const own = addresses.find(({ address }) => address === ip(family === 4 ? '10.0.0.1' : 'fd00::1'))
        expect(own).toEqual({
          address: ip(family === 4 ? '10.0.0.1' : 'fd00::1'),
          prefixLength: family === 4 ? 24 : 64,
          interfaceIndex: host.eth0,
          isUsable: true,
        })
      })
    })

    test('an IPv4 address that goes takes routes along that prefer it as source', async () => {
      const body = unicast([hop('10.0.1.2', host.eth1)], ip('10.0.0.1'))
      write(4, { operation: CREATE, prefix: PREFIX[4], body })
      await host.address('add', 'eth0', '10.0.9.1/24')
      await host.address('del', 'eth0', '10.0.0.1/24')
      expect(shown(host.backend, 4)).toEqual([])
      expect(drained(host.backend)).toContain('address removed') // older kernels say nothing of the routes themselves
    })

    test('writes of one family say nothing of the other', () => {
      write(4, { operation: CREATE, prefix: PREFIX[4], body: BLACKHOLE })
      expect(shown(host.backend, 6)).toEqual([])
      expect(prefixFamily(cidr(PREFIX[6]))).toBe(6)
    })
  })
}
