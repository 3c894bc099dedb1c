import { expect, test } from '@jest/globals'
import { podMtu, uplinkMtu } from '../../src/routes/index.ts'
import { mtuProblems } from '../../src/routes/mtu.ts'

const link = (name: string, mtu: number, isUp = true) => ({ index: mtu, name, mtu, isUp, isRunning: isUp })
const LINKS = [link('bond0.100', 9000), link('team0', 8950), link('docker0', 1450), link('eth9', 1200, false)]
const NONE = { ipv4: false, ipv6: false }

test.each([
  [['bond0.100'], NONE, 9000],
  [['bond0.100', 'team0'], NONE, 8950],
  [['bond0.100', 'team0'], { ipv4: true, ipv6: false }, 8930],
  [['bond0.100', 'team0'], { ipv4: false, ipv6: true }, 8910],
  [['bond0.100', 'team0'], { ipv4: true, ipv6: true }, 8910],
  [['bond0.100', 'eth9'], NONE, 9000],
])('pods behind %j with tunnels %j have MTU %d', (uplinks, tunnels, mtu) => {
  expect(podMtu({ links: LINKS, uplinks, tunnels })).toBe(mtu)
})

test.each([
  [1320, true, 0],
  [1319, true, 1],
  [1280, false, 0],
  [1279, false, 1],
])('an uplink of %d with an IPv6 tunnel (%s) is %d problem', (mtu, ipv6, count) => {
  const problems = mtuProblems({ links: [link('eth0', mtu)], uplinks: ['eth0'], tunnels: { ipv4: false, ipv6 } })
  expect(problems).toHaveLength(count)
  for (const { message } of problems) expect(message).toContain('raise the MTU of eth0')
})

test('a host whose only uplink is down has its MTU; one with no uplink has that of Ethernet', () => {
  expect(uplinkMtu({ links: LINKS, uplinks: ['eth9'] })).toBe(1200)
  expect(uplinkMtu({ links: LINKS, uplinks: [] })).toBe(1500)
})
