// Which pools a pod's addresses come from, and what people are told when there is none.
import { describe, expect, test } from '@jest/globals'
import type { AssignRequest, IpamConfig } from '../../src/ipam/index.ts'
import { isGeneral, needsOf, poolOf } from '../../src/ipam/pools.ts'
import { cidr, ip } from '../../src/net/index.ts'
import { assignRequest, ipamConfig, poolConfig } from './world.ts'

const A = poolConfig('a', '10.1.0.0/16')
const B = poolConfig('b', '10.2.0.0/16')
const V6 = poolConfig('c6', 'fd00::/64')
const TEAM = poolConfig('team', '10.3.0.0/16', { namespaceSelector: { matchLabels: { team: 'blue' } } })

function named(config: IpamConfig, over: Partial<AssignRequest> = {}): string {
  const needs = needsOf(config, assignRequest('h', over))
  if (!needs.ok) return `${needs.error.kind}: ${needs.error.message}`
  if (needs.value.kind === 'exact') return needs.value.addresses.map(({ pool }) => pool.name).join()
  return needs.value.families.map(({ family, pools }) => `${family}:${pools.map(({ name }) => name).join('+')}`).join(' ')
}

describe('by selectors', () => {
  test.each([
    ['in order of names, each family by itself', ipamConfig([A, B, V6]), {}, '4:a+b 6:c6'],
    ['a pool for chosen namespaces comes first', ipamConfig([A, TEAM]), { namespaceLabels: { team: 'blue' } }, '4:team+a'],
    ['and is not for others', ipamConfig([A, TEAM]), { namespaceLabels: { team: 'red' } }, '4:a'],
    ['nor for those nobody knows', ipamConfig([A, TEAM]), { namespaceLabels: null }, '4:a'],
    [
      'disabled, for other nodes, not for pods, manual: left out',
      ipamConfig([
        { ...A, disabled: true },
        { ...B, selectsNode: false },
        poolConfig('lb', '10.4.0.0/16', { forWorkloads: false }),
        poolConfig('manual', '10.5.0.0/16', { assignmentMode: 'Manual' }),
        V6,
      ]),
      {},
      '6:c6',
    ],
  ])('%s', (_, config, over, expected) => expect(named(config, over)).toBe(expected))
})

describe('by name', () => {
  const manual = poolConfig('manual', '10.5.0.0/16', { assignmentMode: 'Manual', namespaceSelector: { matchLabels: { never: 'there' } } })
  test.each([
    [
      'names and ranges, in the order of the pod; selectors of namespaces and assignmentMode do not matter',
      { ipv4: ['manual', '10.1.0.0/16'], ipv6: null },
      '4:manual+a 6:c6',
    ],
    ['an empty list: none of that family', { ipv4: null, ipv6: [] }, '4:a+b'],
    [
      'one there is not',
      { ipv4: ['nope'], ipv6: null },
      'refused: there is no IPPool "nope"; there are a (10.1.0.0/16), b (10.2.0.0/16), c6 (fd00::/64), manual (10.5.0.0/16)',
    ],
    [
      'one of the other family',
      { ipv4: ['c6'], ipv6: null },
      'refused: IPPool c6 (fd00::/64) is an IPv6 pool, but fibula.network/ipv4-pools names it; write it in fibula.network/ipv6-pools',
    ],
  ])('%s', (_, pools, expected) => expect(named(ipamConfig([A, B, V6, manual]), { pools })).toBe(expected))

  test.each([
    [{ disabled: true }, 'is disabled; set disabled: false or use another pool'],
    [{ selectsNode: false }, 'does not select this node; change its nodeSelector'],
    [{ forWorkloads: false }, 'is not for pods; add Workload to its allowedUses'],
  ])('one that cannot be used: %j', (over, expected) => {
    expect(named(ipamConfig([{ ...A, ...over }]), { pools: { ipv4: ['a'], ipv6: null } })).toMatch(expected)
  })
})

describe('these very addresses', () => {
  test.each([
    [['10.2.0.5'], {}, 'b'],
    [['10.2.0.5', 'fd00::5'], {}, 'b,c6'],
    [['192.0.2.1'], {}, 'refused: requested address 192.0.2.1 is in no IPPool; there are a'],
    [['10.1.0.1', '10.2.0.1'], {}, 'refused: two IPv4 addresses are requested; a pod has at most one of each family, remove 10.2.0.1'],
    [
      ['10.1.0.9'],
      { reservations: [cidr('10.1.0.8/29')] },
      'refused: requested address 10.1.0.9 lies in 10.1.0.8/29, which an IPReservation keeps back',
    ],
  ])('%j', (addresses, over, expected) => {
    expect(named(ipamConfig([A, B, V6], over), { requested: addresses.map(ip) })).toMatch(expected)
  })

  test('not in the pools that the pod names', () => {
    expect(named(ipamConfig([A, B]), { requested: [ip('10.2.0.1')], pools: { ipv4: ['a'], ipv6: null } })).toMatch(
      'which is not among the pools the pod names',
    )
  })
})

describe('no pool at all', () => {
  test.each([
    [ipamConfig([]), {}, 'noPool: there is no IPPool; create one'],
    [
      ipamConfig([{ ...A, disabled: true }]),
      {},
      'noPool: no IPPool gives addresses to pods of this node: IPPool a (10.1.0.0/16) is disabled',
    ],
    [
      ipamConfig([{ ...A, assignmentMode: 'Manual' }]),
      {},
      'noPool: every IPPool of this node (a) has assignmentMode Manual; name one in the annotation',
    ],
    [ipamConfig([TEAM]), {}, 'noPool: no IPPool selects namespace default; change the namespaceSelector of one of team'],
    [
      ipamConfig([TEAM]),
      { namespaceLabels: null },
      'the labels of namespace default are not known; this passes once the API server can be reached',
    ],
  ] as const)('%#', (config, over, expected) => expect(named(config, over)).toContain(expected))
})

test('something is kept ready only of pools for everybody', () => {
  expect([A, TEAM, { ...A, assignmentMode: 'Manual' as const }, { ...A, disabled: true }].map(isGeneral)).toEqual([
    true,
    false,
    false,
    false,
  ])
})

test('a block belongs to the smallest pool around it', () => {
  const wide = poolConfig('wide', '10.0.0.0/8')
  expect(poolOf([wide, A], cidr('10.1.2.0/26'))?.name).toBe('a')
  expect(poolOf([wide, A], cidr('10.9.2.0/26'))?.name).toBe('wide')
  expect(poolOf([A], cidr('10.0.0.0/8'))).toBeNull()
  expect(poolOf([A], cidr('fd00::/122'))).toBeNull()
})
