import { describe, expect, test } from '@jest/globals'
import { cidr, ip } from '../../src/net/index.ts'
import { CREATE, type HostAddress, REMOVE, REPLACE } from '../../src/routes/backend.ts'
import { decide, KEEP, NO_LOCAL_ROUTES, planLocal, planNextHops, type Row, usableSource } from '../../src/routes/plan.ts'
import { BLACKHOLE, describeRoute, unicast } from '../../src/routes/route.ts'
import type { Shape } from '../../src/routes/shape.ts'
import { via } from '../support/fib-batch.ts'

const X = unicast([via('10.0.0.2', 2)], null)
const X_AND_Y = unicast([via('10.0.0.2', 2), via('10.0.1.2', 3)], null)
const Y = unicast([via('10.0.1.2', 3)], null)
const wants = (body: typeof X): Shape => ({ kind: 'body', body })

describe('what to write for a row', () => {
  const desireds: readonly (Shape | null)[] = [null, wants(X), wants(X_AND_Y), wants(BLACKHOLE), { kind: 'impossible', reason: 'no' }]
  const installeds = [null, X, Y]
  const grid = desireds.flatMap((desired) =>
    installeds.flatMap((installed) =>
      [true, false].flatMap((isStale) =>
        (['nothing', 'write', 'removal'] as const).flatMap((failing) =>
          (['none', 'taken', 'connected'] as const).flatMap((foreign) =>
            [true, false].flatMap((installRoutes) =>
              [true, false].map((maySweep) => ({
                row: {
                  desired,
                  installed,
                  isSame: desired?.kind === 'body' && desired.body === installed,
                  isStale,
                  failing,
                  foreign,
                } satisfies Row,
                policy: { installRoutes, maySweep },
              })),
            ),
          ),
        ),
      ),
    ),
  )
  const decisions = grid.map(({ row, policy }) => ({ row, policy, decision: decide(row, policy) }))

  test('the grid is whole', () => expect(decisions).toHaveLength(5 * 3 * 2 * 3 * 3 * 2 * 2))

  test('nothing is created where something of ours is, nor removed or replaced where nothing is', () => {
    for (const { row, decision } of decisions) {
      if (row.installed === null) expect([KEEP, CREATE]).toContain(decision)
      else expect([KEEP, REPLACE, REMOVE]).toContain(decision)
    }
  })

  test('without installRoutes nothing is written but removals', () => {
    for (const { policy, decision } of decisions) if (!policy.installRoutes) expect([KEEP, REMOVE]).toContain(decision)
  })

  test('where another route has our metric, or the host is connected, nothing of ours is created or replaced', () => {
    for (const { row, decision } of decisions) if (row.foreign !== 'none') expect([KEEP, REMOVE]).toContain(decision)
  })

  test('a left-over that nobody asked for stays until sweeping is allowed', () => {
    for (const { row, policy, decision } of decisions) {
      if (row.desired === null && row.isStale && !policy.maySweep && policy.installRoutes) expect(decision).toBe(KEEP)
    }
  })

  test('what was refused lately is not tried again', () => {
    for (const { row, decision } of decisions) {
      if (row.failing === 'removal') expect(decision).not.toBe(REMOVE)
      if (row.failing === 'write') expect([KEEP, REMOVE]).toContain(decision)
    }
  })

  test.each<[string, Partial<Row>, number]>([
    ['wanted, not there', { desired: wants(X) }, CREATE],
    ['wanted, there', { desired: wants(X), installed: X, isSame: true }, KEEP],
    ['wanted otherwise than it is', { desired: wants(X_AND_Y), installed: X }, REPLACE],
    ['not wanted, there', { installed: X }, REMOVE],
    ['refused, and the old one has none of the wanted next hops', { desired: wants(X), installed: Y, failing: 'write' }, REMOVE],
    ['refused, and the old one has one of the wanted next hops', { desired: wants(X_AND_Y), installed: Y, failing: 'write' }, KEEP],
    ['cannot be installed any more', { desired: { kind: 'impossible', reason: 'no' }, installed: X }, REMOVE],
    ['connected, and ours is there already', { desired: wants(X), installed: X, isSame: true, foreign: 'connected' }, REMOVE],
  ])('%s', (_what, facts, decision) => {
    const row: Row = { desired: null, installed: null, isSame: false, isStale: false, failing: 'nothing', foreign: 'none', ...facts }
    expect(decide(row, { installRoutes: true, maySweep: false })).toBe(decision)
  })
})

describe('routes of this node', () => {
  const own = (address: string, prefixLength: number, interfaceIndex: number, isUsable = true): HostAddress => ({
    address: ip(address),
    prefixLength,
    interfaceIndex,
    isUsable,
  })
  const addresses = [
    own('10.0.0.1', 24, 2),
    own('10.0.0.65', 26, 3),
    own('fd00::1', 64, 2),
    own('fe80::1', 64, 2),
    own('fd00::9', 64, 2, false),
  ]
  const local = {
    blackholes: [cidr('10.244.0.0/26'), cidr('fd44::/122')],
    statics: [{ prefix: cidr('192.0.2.1/32'), gateway: ip('10.0.0.70') }],
    preferredSource: { ipv4: ip('10.0.0.1'), ipv6: ip('fd00::1') },
  }

  test('blackholes and statics go to their family; a static takes the longest link that covers its gateway', () => {
    expect(planLocal(4, local, addresses)).toEqual([
      { prefix: cidr('10.244.0.0/26'), shape: wants(BLACKHOLE) },
      { prefix: cidr('192.0.2.1/32'), shape: wants(unicast([via('10.0.0.70', 3)], ip('10.0.0.1'))) },
    ])
    expect(planLocal(6, local, addresses)).toEqual([{ prefix: cidr('fd44::/122'), shape: wants(BLACKHOLE) }])
  })

  test.each([
    ['10.0.9.9', 'no interface of this host is on the link of gateway 10.0.9.9'],
    ['10.0.0.1', 'gateway 10.0.0.1 is an address of this host'],
    ['fe80::7', 'gateway fe80::7 is link-local: it names no interface'],
  ])('a static by %s cannot be: %s', (gateway, reason) => {
    expect(planLocal(4, { ...NO_LOCAL_ROUTES, statics: [{ prefix: cidr('192.0.2.1/32'), gateway: ip(gateway) }] }, addresses)).toEqual([
      { prefix: cidr('192.0.2.1/32'), shape: { kind: 'impossible', reason } },
    ])
  })

  test('a source must be an address of the host, and usable', () => {
    expect(usableSource(4, local, addresses)).toBe(ip('10.0.0.1'))
    expect(usableSource(4, local, [])).toBeNull()
    expect(usableSource(6, { ...local, preferredSource: { ipv4: null, ipv6: ip('fd00::9') } }, addresses)).toBeNull()
    expect(usableSource(6, NO_LOCAL_ROUTES, addresses)).toBeNull()
  })
})

describe('next hops from BGP', () => {
  test.each([
    [6, [via('10.0.0.2', 2)], 'an IPv6 route cannot have an IPv4 gateway'],
    [4, [via('10.0.0.2', 0)], 'a next hop names no interface'],
    [4, [], 'the speaker named no next hop'],
    [4, Array.from({ length: 257 }, (_, n) => via(`10.0.${n >> 8}.${n & 255}`, 2)), 'more than 256 next hops'],
  ] as const)('IPv%d: impossible (%#)', (family, hops, reason) => {
    expect(planNextHops(family, hops, null)).toEqual({ kind: 'impossible', reason })
  })

  test('an IPv4 route may have an IPv6 gateway (RFC 8950)', () => {
    expect(planNextHops(4, [via('fd00::2', 2)], ip('10.0.0.1'))).toEqual(wants(unicast([via('fd00::2', 2)], ip('10.0.0.1'))))
  })
})

test('a foreign route is described as a person would', () => {
  const name = (index: number): string => `eth${index}`
  const base = { prefix: cidr('0.0.0.0/0'), protocol: 16, metric: 100, tos: 0 }
  expect(describeRoute({ ...base, body: X_AND_Y }, name)).toBe('dhcp route via 10.0.0.2 on eth2 and via 10.0.1.2 on eth3, metric 100')
  expect(describeRoute({ ...base, protocol: 77, body: BLACKHOLE }, name)).toBe('protocol 77 route blackhole, metric 100')
  expect(describeRoute({ ...base, protocol: 2, body: unicast([{ gateway: null, interfaceIndex: 2, onlink: false }], null) }, name)).toBe(
    'kernel route on eth2, metric 100',
  )
})
