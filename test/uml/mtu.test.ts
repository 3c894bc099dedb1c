// The MTU for pods on hosts whose uplink is made of something: the traps of choosing it by its name.
import { expect, test } from '@jest/globals'
import { systemClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { ip } from '../../src/net/index.ts'
import { KernelRoutes, NO_LOCAL_ROUTES } from '../../src/routes/index.ts'
import { buildNetns } from '../support/netns.ts'
import { until } from '../support/poll.ts'
import { patient } from './programs.ts'

test.each<[string, readonly string[], string]>([
  ['a bond', ['link add bond0 type bond mode active-backup', 'link set eth0 down', 'link set eth0 master bond0'], 'bond0'],
  ['a VLAN', ['link add link eth0 name storage.7 type vlan id 7'], 'storage.7'],
  [
    'a VLAN on a bond',
    [
      'link add zebra type bond mode active-backup',
      'link set eth0 down',
      'link set eth0 master zebra',
      'link set zebra mtu 9000 up',
      'link add link zebra name zebra.100 type vlan id 100',
    ],
    'zebra.100',
  ],
])('%s with the node address counts, and its changes too; the tunnels follow', async (_, commands, name) => {
  await using net = await buildNetns('mtu', { nodes: ['host'], stubs: [{ node: 'host', name: 'eth0' }] })
  await net.ipBatch('host', ['link set eth0 mtu 9000', ...commands, `link set ${name} up`, `link set ${name} mtu 8000`])
  await net.ipBatch('host', [`address add 10.5.0.1/24 dev ${name}`])
  const mtus: number[] = []
  await using routes = net.run(
    'host',
    () =>
      new KernelRoutes({
        log: silentLog,
        clock: systemClock,
        onHostNetwork: () => {},
        onPodMtu: (mtu) => mtus.push(mtu),
      }),
  )
  routes.syncer.setLocal({ ...NO_LOCAL_ROUTES, preferredSource: { ipv4: ip('10.5.0.1'), ipv6: null } })
  expect(routes.podMtu()).toBe(8000)
  routes.setTunnels({ ipv4: { local: ip('10.5.0.1') }, ipv6: null })
  expect(routes.podMtu()).toBe(7980)
  expect(await net.ip('host', 'link show fibipip')).toContain('mtu 7980')
  await net.ip('host', `link set ${name} mtu 4000`)
  await until('pods and tunnel are told', async () => (await net.ip('host', 'link show fibipip')).includes('mtu 3980'), patient(1_000))
  expect(routes.podMtu()).toBe(3980)
  expect(mtus).toEqual([8000, 7980, 3980])
})
