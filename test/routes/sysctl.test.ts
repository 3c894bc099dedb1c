import { describe, expect, test } from '@jest/globals'
import { applySysctls, type SysctlFiles, type SysctlNeeds, sysctlProblems } from '../../src/routes/index.ts'

const NEEDS: SysctlNeeds = { uplinks: ['eth0'], tunnels: [], raDefaultInterfaces: [], expectedNeighbours: 10 }
const GOOD = {
  'net/ipv4/ip_forward': 1,
  'net/ipv6/conf/all/forwarding': 1,
  'net/ipv4/conf/all/rp_filter': 0,
  'net/ipv4/conf/eth0/rp_filter': 2,
  'net/ipv4/conf/eth0/ignore_routes_with_linkdown': 1,
  'net/ipv6/conf/eth0/ignore_routes_with_linkdown': 1,
  'net/ipv4/fib_multipath_hash_policy': 1,
  'net/ipv6/fib_multipath_hash_policy': 1,
}

/** A /proc/sys in memory that remembers the order of writes; `readOnly` paths refuse. */
function files(values: Readonly<Record<string, number>>, readOnly: readonly string[] = []): SysctlFiles & { readonly written: string[] } {
  const now = new Map(Object.entries(values))
  const written: string[] = []
  return {
    written,
    read: (path) => (now.has(path) ? `${now.get(path)}\n` : null),
    write(path, value) {
      if (readOnly.includes(path)) return false
      written.push(`${path}=${value.trim()}`)
      now.set(path, Number(value))
      return true
    },
  }
}

test('a host that is as it should be is left alone', () => {
  const host = files(GOOD)
  const reports = applySysctls(NEEDS, host)
  expect(reports.every(({ state, remedy }) => state === 'ok' && remedy === null)).toBe(true)
  expect(reports).toHaveLength(7)
  expect(host.written).toEqual([])
  expect(sysctlProblems(reports)).toEqual([])
})

test('what is not is set', () => {
  const host = files({ ...GOOD, 'net/ipv4/ip_forward': 0, 'net/ipv4/fib_multipath_hash_policy': 0 })
  const reports = applySysctls(NEEDS, host)
  expect(host.written).toEqual(['net/ipv4/ip_forward=1', 'net/ipv4/fib_multipath_hash_policy=1'])
  expect(reports.filter(({ state }) => state === 'set').map(({ key, value }) => `${key}=${value}`)).toEqual([
    'net.ipv4.ip_forward=1',
    'net.ipv4.fib_multipath_hash_policy=1',
  ])
})

describe('the reverse-path filter: the kernel takes the higher of "all" and the interface', () => {
  test.each([
    [0, 0, false],
    [0, 1, true],
    [1, 0, true],
    [1, 1, true],
    [1, 2, false],
    [2, 1, false],
    [0, 2, false],
  ])('all=%d, interface=%d: set to loose: %s', (all, own, isSet) => {
    const host = files({ ...GOOD, 'net/ipv4/conf/all/rp_filter': all, 'net/ipv4/conf/eth0/rp_filter': own })
    applySysctls(NEEDS, host)
    expect(host.written).toEqual(isSet ? ['net/ipv4/conf/eth0/rp_filter=2'] : [])
  })
})

describe('IPv6 forwarding would drop a default route learned by router advertisement', () => {
  const needs = { ...NEEDS, raDefaultInterfaces: ['eth0', 'eth1'] }
  const before = { ...GOOD, 'net/ipv6/conf/all/forwarding': 0, 'net/ipv6/conf/eth0/accept_ra': 1, 'net/ipv6/conf/eth1/accept_ra': 0 }

  test('so accept_ra comes first, except where no kernel handles advertisements', () => {
    const host = files(before)
    applySysctls(needs, host)
    expect(host.written).toEqual(['net/ipv6/conf/eth0/accept_ra=2', 'net/ipv6/conf/all/forwarding=1'])
  })

  test('and forwarding is left alone where accept_ra cannot be set', () => {
    const host = files(before, ['net/ipv6/conf/eth0/accept_ra'])
    const reports = applySysctls(needs, host)
    expect(host.written).toEqual([])
    expect(reports.find(({ key }) => key === 'net.ipv6.conf.all.forwarding')).toMatchObject({
      state: 'notAllowed',
      remedy: 'left alone until net.ipv6.conf.eth0.accept_ra is set: see there',
    })
  })
})

describe('the neighbour table', () => {
  const thresholds = (expectedNeighbours: number, now: readonly number[] = [128, 512, 1024]): readonly string[] => {
    const values = Object.fromEntries(
      ['ipv4', 'ipv6'].flatMap((family) => now.map((value, n) => [`net/${family}/neigh/default/gc_thresh${n + 1}`, value])),
    )
    const host = files({ ...GOOD, ...values })
    applySysctls({ ...NEEDS, expectedNeighbours }, host)
    return host.written.filter((line) => line.includes('ipv4')).map((line) => line.replace('net/ipv4/neigh/default/gc_', ''))
  }

  test('is left alone for a small mesh', () => expect(thresholds(100)).toEqual([]))
  test('grows with a large one, from the top down', () => expect(thresholds(500)).toEqual(['thresh3=2048', 'thresh2=1024', 'thresh1=512']))
  test('is never lowered', () => expect(thresholds(500, [4096, 8192, 16_384])).toEqual([]))

  test('where it is not ours to see, the report says where to set it', () => {
    const [report] = applySysctls({ ...NEEDS, expectedNeighbours: 500 }, files(GOOD)).filter(({ key }) => key.endsWith('thresh3'))
    expect(report).toMatchObject({ state: 'absent', value: null, wanted: 2048 })
    expect(report?.remedy).toContain('net.ipv4.neigh.default.gc_thresh3=2048')
  })
})

test('a host without IPv6 is asked for nothing of IPv6', () => {
  const values = Object.fromEntries(Object.entries(GOOD).filter(([path]) => path.startsWith('net/ipv4')))
  expect(applySysctls({ ...NEEDS, expectedNeighbours: 500 }, files(values)).filter(({ key }) => key.includes('ipv6'))).toEqual([])
})

test('what may not be written becomes a condition with its remedy; a dotted interface name keeps its slashes', () => {
  const values = { ...GOOD, 'net/ipv4/conf/eth0.7/rp_filter': 1, 'net/ipv4/ip_forward': 0 }
  const host = files(values, Object.keys(values))
  const problems = sysctlProblems(applySysctls({ ...NEEDS, uplinks: ['eth0.7'] }, host))
  expect(problems).toContainEqual({
    severity: 'error',
    subject: 'sysctl/net.ipv4.ip_forward',
    message:
      'is 0, should be 1: pods and peers are reached through this node; run "sysctl -w net.ipv4.ip_forward=1" on the host, or let the agent write /proc/sys',
  })
  expect(problems.map(({ subject }) => subject)).toContain('sysctl/net/ipv4/conf/eth0.7/rp_filter')
})

describe('a tunnel is not filtered by reverse path, and forwards', () => {
  test.each([
    [0, 1, 1, ['rp_filter=0']],
    [1, 0, 1, ['rp_filter=2']],
    [1, 1, 0, ['rp_filter=2', 'forwarding=1']],
    [0, 2, 1, []],
    [0, 0, 1, []],
  ])('all=%d, tunnel=%d, forwarding=%d: set %j', (all, own, forwarding, set) => {
    const host = files({
      ...GOOD,
      'net/ipv4/conf/all/rp_filter': all,
      'net/ipv4/conf/fibipip/rp_filter': own,
      'net/ipv4/conf/fibipip/forwarding': forwarding,
    })
    applySysctls({ ...NEEDS, uplinks: [], tunnels: ['fibipip'] }, host)
    expect(host.written).toEqual(set.map((each) => `net/ipv4/conf/fibipip/${each}`))
  })
})
