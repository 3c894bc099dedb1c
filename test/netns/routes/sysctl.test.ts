import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { applySysctls } from '../../../src/routes/index.ts'
import { buildNetns } from '../../support/netns.ts'

const NEEDS = { uplinks: ['eth0'], tunnels: [], raDefaultInterfaces: ['eth0'], expectedNeighbours: 500 }
const TOPOLOGY = { nodes: ['host'], stubs: [{ node: 'host', name: 'eth0', addresses: ['10.0.0.1/24', 'fd00::1/64'] }] }

test('settings are made in the namespace we are in, and found good the second time', async () => {
  await using net = await buildNetns('sysctl', TOPOLOGY)
  const read = (path: string): string => net.run('host', () => readFileSync(`/proc/sys/${path}`, 'utf8').trim())
  await net.exec('host', 'sh', ['-c', 'echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter; echo 0 > /proc/sys/net/ipv4/ip_forward'])
  const first = net.run('host', () => applySysctls(NEEDS))
  const stateOf = (key: string): string | undefined => first.find((report) => report.key === key)?.state
  expect(stateOf('net.ipv4.ip_forward')).toBe('set')
  expect(stateOf('net.ipv4.conf.eth0.rp_filter')).toBe('set')
  expect(stateOf('net.ipv6.conf.eth0.accept_ra')).toBe('set')
  expect(read('net/ipv4/ip_forward')).toBe('1')
  expect(read('net/ipv6/conf/all/forwarding')).toBe('1')
  expect(read('net/ipv6/conf/eth0/accept_ra')).toBe('2')
  expect(read('net/ipv4/conf/eth0/rp_filter')).toBe('2')
  expect(read('net/ipv4/fib_multipath_hash_policy')).toBe('1')
  const second = net.run('host', () => applySysctls(NEEDS))
  expect(second.filter(({ state }) => state === 'set')).toEqual([])
  // Neighbour thresholds belong to the first namespace of the machine: elsewhere they are reported, and nothing fails.
  expect(second.filter(({ key }) => key.includes('gc_thresh')).every(({ state, remedy }) => state === 'ok' || remedy !== null)).toBe(true)
})

test('a read-only /proc/sys yields a report, and changes nothing', async () => {
  await using net = await buildNetns('sysctl', TOPOLOGY)
  const root = join(import.meta.dirname, '..', '..', '..')
  const program = `import { applySysctls } from '${root}/src/routes/index.ts'
    console.log(JSON.stringify(applySysctls(${JSON.stringify(NEEDS)})))`
  const shell = 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$0" --input-type=module-typescript -e "$1"'
  const { stdout } = await net.exec('host', 'unshare', ['--mount', 'sh', '-c', shell, join(root, 'scripts', 'node'), program])
  const reports = JSON.parse(stdout) as ReturnType<typeof applySysctls>
  expect(reports.filter(({ state }) => state === 'set')).toEqual([])
  expect(reports.find(({ key }) => key === 'net.ipv4.ip_forward')).toMatchObject({
    state: 'notAllowed',
    value: 0,
    wanted: 1,
    remedy: 'run "sysctl -w net.ipv4.ip_forward=1" on the host, or let the agent write /proc/sys',
  })
})
