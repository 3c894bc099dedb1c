import { describe, expect, test } from '@jest/globals'
import { FakeClock } from '../../src/lib/clock.ts'
import { type Log, silentLog } from '../../src/lib/log.ts'
import { ip } from '../../src/net/index.ts'
import { Tunnels } from '../../src/routes/index.ts'
import type { TunnelState } from '../../src/routes/tunnel/plan.ts'
import { FakeTunnels } from '../support/fake-tunnels.ts'

const END = { local: ip('10.0.0.1') }
const BOTH = { ipv4: END, ipv6: { local: ip('fd00::1') } }
const NONE = { ipv4: null, ipv6: null }

function setUp() {
  const backend = new FakeTunnels()
  const clock = new FakeClock()
  const errors: string[] = []
  const log: Log = { ...silentLog, error: (event) => void errors.push(event) }
  const host = { uplinkMtu: 1500, used: new Set<number>(), leaving: [''] }
  const tunnels = new Tunnels({
    backend,
    log,
    clock,
    uplinkMtu: () => host.uplinkMtu,
    isUsed: (index) => host.used.has(index),
    onLeaving: (names) => {
      host.leaving = [...names]
    },
  })
  return { backend, clock, errors, host, tunnels }
}

const device = (change: Partial<TunnelState> = {}): TunnelState => ({
  index: 7,
  mtu: 1480,
  isUp: true,
  local: END.local,
  isOurs: true,
  ...change,
})

describe('tunnel devices', () => {
  test('are made with what the uplink leaves, and left alone while they are as they should be', () => {
    const { backend, tunnels } = setUp()
    tunnels.set(BOTH)
    expect(backend.devices.get(4)).toMatchObject({ local: END.local, mtu: 1480, isUp: true })
    expect(backend.devices.get(6)).toMatchObject({ mtu: 1460, isUp: true })
    tunnels.sync()
    expect(backend.steps).toEqual(['create 4', 'create 6'])
  })

  test('nothing is done before it is said what is wanted: a predecessor may have made them', () => {
    const { backend, tunnels } = setUp()
    backend.devices.set(4, device())
    tunnels.sync()
    expect(backend.steps).toEqual([])
    tunnels.set({ ...NONE, ipv4: END })
    expect(backend.steps).toEqual([])
  })

  test.each<[string, Partial<TunnelState>, readonly string[]]>([
    ['another local address is changed in place', { local: ip('10.0.0.9') }, ['relocate 4']],
    ['another MTU is changed', { mtu: 1400 }, ['setMtu 4']],
    ['one that is down is brought up', { isUp: false }, ['setUp 4']],
    ['something else under its name is replaced', { isOurs: false }, ['remove 4', 'create 4']],
  ])('%s', (_, change, steps) => {
    const { backend, tunnels } = setUp()
    backend.devices.set(4, device(change))
    tunnels.set({ ...NONE, ipv4: END })
    expect(backend.steps).toEqual(steps)
    expect(backend.devices.get(4)).toEqual(device())
  })

  test('one that cannot be changed in place is made anew under the same number', () => {
    const { backend, tunnels } = setUp()
    backend.devices.set(4, device({ local: ip('10.0.0.9') }))
    backend.refuse.set('relocate', { code: 'EINVAL', text: null })
    tunnels.set({ ...NONE, ipv4: END })
    expect(backend.steps).toEqual(['relocate 4', 'remove 4', 'create 4'])
    expect(backend.devices.get(4)).toEqual(device())
  })

  test('one that somebody removes is back under the same number, or another if that is taken', () => {
    const { backend, tunnels } = setUp()
    backend.devices.set(4, device())
    tunnels.set({ ...NONE, ipv4: END })
    backend.devices.delete(4)
    tunnels.sync()
    expect(backend.devices.get(4)?.index).toBe(7)
    backend.devices.delete(4)
    backend.takenIndexes.add(7)
    tunnels.sync()
    expect(backend.devices.get(4)?.index).toBe(40)
  })

  test('one that is changed without a word is put right in time', () => {
    const { backend, clock, tunnels } = setUp()
    tunnels.set({ ...NONE, ipv4: END })
    backend.devices.set(4, device({ index: 40, local: ip('10.0.0.9') }))
    clock.advance(60_000)
    expect(backend.devices.get(4)?.local).toBe(END.local)
  })

  test('the MTU follows the uplink', () => {
    const { backend, host, tunnels } = setUp()
    tunnels.set(BOTH)
    host.uplinkMtu = 9000
    tunnels.sync()
    expect([backend.devices.get(4)?.mtu, backend.devices.get(6)?.mtu]).toEqual([8980, 8960])
  })

  test('one no longer wanted is hidden at once and removed when its last route is gone', () => {
    const { backend, host, tunnels } = setUp()
    tunnels.set({ ...NONE, ipv4: END })
    host.used.add(40)
    tunnels.set(NONE)
    expect(host.leaving).toEqual(['fibipip'])
    expect(tunnels.isLeaving).toBe(true)
    expect(backend.devices.has(4)).toBe(true)
    host.used.clear()
    tunnels.sync()
    expect(host.leaving).toEqual([])
    expect(backend.devices.has(4)).toBe(false)
  })

  test('a mind that changes while it leaves keeps it', () => {
    const { backend, host, tunnels } = setUp()
    tunnels.set({ ...NONE, ipv4: END })
    host.used.add(40)
    tunnels.set(NONE)
    tunnels.set({ ...NONE, ipv4: END })
    host.used.clear()
    tunnels.sync()
    expect([host.leaving, backend.steps]).toEqual([[], ['create 4']])
  })
})

describe('a kernel without the module', () => {
  test('is one problem with its remedy and one line in the log; the other family works, and it is tried again slowly', () => {
    const { backend, clock, errors, tunnels } = setUp()
    backend.refuse.set('create', { code: 'EOPNOTSUPP', text: 'Unknown device type' })
    tunnels.set({ ...NONE, ipv4: END })
    for (let round = 0; round < 10; round++) {
      tunnels.sync()
      clock.advance(30_000)
    }
    expect(errors).toEqual(['routes.tunnel.failed'])
    const [problem, ...others] = tunnels.problems()
    expect(others).toEqual([])
    expect(problem).toMatchObject({ severity: 'error', subject: 'tunnel/fibipip' })
    expect(problem?.message).toContain('fibipip cannot be made: kernel module ipip is missing; run "modprobe ipip"')
    expect(backend.steps.length).toBeLessThanOrEqual(21)
    backend.refuse.clear()
    clock.advance(60_000)
    expect(backend.devices.has(4)).toBe(true)
    expect(tunnels.problems()).toEqual([])
  })

  test('is no problem once no tunnel is wanted any more', () => {
    const { backend, clock, tunnels } = setUp()
    backend.refuse.set('create', { code: 'EOPNOTSUPP', text: null })
    tunnels.set(BOTH)
    expect(tunnels.problems()).toHaveLength(2)
    tunnels.set(NONE)
    expect(tunnels.problems()).toEqual([])
    expect(clock.armed).toBe(0)
  })

  test('another device with the same ends is named as what it is', () => {
    const { backend, tunnels } = setUp()
    backend.refuse.set('create', { code: 'EEXIST', text: null })
    tunnels.set(BOTH)
    expect(tunnels.problems().map(({ message }) => message)).toEqual([
      'fibipip cannot be made: another ipip device has the local address 10.0.0.1 and any remote one; remove that device',
      'fibip6tnl cannot be made: another ip6tnl device has mode "external"; remove that device',
    ])
  })
})
