import { describe, expect, test } from '@jest/globals'
import { cidr, ip } from '../../src/net/index.ts'
import { HostLinks, hostNetwork, uplinksOf } from '../../src/routes/links.ts'
import { type KernelRoute, unicast } from '../../src/routes/route.ts'
import { via } from '../support/fib-batch.ts'

function host(): HostLinks {
  const links = new HostLinks()
  links.replaceAll(
    ['lo', 'eth0', 'eth1', 'eth2'].map((name, index) => ({ index: index + 1, name, isUp: true, isRunning: name !== 'eth2', mtu: 1500 })),
    [
      { address: ip('10.0.0.1'), prefixLength: 24, interfaceIndex: 2, isUsable: true },
      { address: ip('fd01::1'), prefixLength: 64, interfaceIndex: 3, isUsable: true },
      { address: ip('fe80::1'), prefixLength: 64, interfaceIndex: 4, isUsable: true },
    ],
  )
  return links
}
const route = (prefix: string, protocol: number, ...hops: Parameters<typeof via>[]): KernelRoute => ({
  prefix: cidr(prefix),
  body: unicast(
    hops.map((hop) => via(...hop)),
    null,
  ),
  protocol,
  metric: 0,
  tos: 0,
})

describe('uplinks', () => {
  test('are the interfaces of default routes and of the links that peers are on', () => {
    const foreign = [route('0.0.0.0/0', 16, ['10.0.0.254', 2]), route('::/0', 9, ['fe80::9', 4]), route('10.9.0.0/16', 4, ['10.0.0.3', 3])]
    expect(uplinksOf(host(), foreign, [])).toEqual({ uplinks: ['eth0', 'eth2'], raDefaultInterfaces: ['eth2'] })
    const peers = [
      { address: ip('fd01::7'), interface: null },
      { address: ip('172.16.0.1'), interface: null },
    ]
    expect(uplinksOf(host(), [], peers)).toEqual({ uplinks: ['eth1'], raDefaultInterfaces: [] })
  })

  test('are also those that hold an address of this node, but neither a loopback nor a device of ours', () => {
    expect(uplinksOf(host(), [], [], [ip('fd01::1')]).uplinks).toEqual(['eth1'])
    const links = host()
    links.setLink({ index: 9, name: 'fibipip', isUp: true, isRunning: true, mtu: 1480 })
    for (const interfaceIndex of [1, 9]) links.setAddress({ address: ip('10.7.0.1'), prefixLength: 32, interfaceIndex, isUsable: true })
    expect(uplinksOf(links, [route('0.0.0.0/0', 4, ['10.0.0.254', 9])], [], [ip('10.7.0.1')]).uplinks).toEqual([])
  })

  test('a link-local peer is on the interface it is named by, not on every link', () => {
    expect(uplinksOf(host(), [], [{ address: ip('fe80::7'), interface: 'eth1' }]).uplinks).toEqual(['eth1'])
  })
})

describe('the host network', () => {
  test('has a route for each next hop, none limited to a TOS, and says which links pass packets', () => {
    const foreign = [route('10.9.0.0/16', 4, ['10.0.0.3', 2], ['10.0.0.4', 2]), { ...route('10.8.0.0/16', 4, ['10.0.0.3', 2]), tos: 8 }]
    const network = hostNetwork(host(), foreign)
    expect(network.routes.map(({ gateway }) => gateway)).toEqual([ip('10.0.0.3'), ip('10.0.0.4')])
    expect(network.interfaces.map(({ name, up }) => `${name} ${up}`)).toEqual(['lo true', 'eth0 true', 'eth1 true', 'eth2 false'])
  })

  test('changes count, repetitions do not', () => {
    const links = host()
    const before = links.version
    links.setLink({ index: 2, name: 'eth0', isUp: true, isRunning: true, mtu: 1500 })
    links.replaceAll([...links.links].reverse(), [...links.addresses].reverse())
    expect(links.version).toBe(before)
    links.setLink({ index: 2, name: 'eth0', isUp: true, isRunning: false, mtu: 1500 })
    links.setAddress({ address: ip('10.0.0.1'), prefixLength: 24, interfaceIndex: 2, isUsable: false })
    links.removeLink(3)
    expect(links.version).toBe(before + 3)
    expect(links.addresses.map(({ interfaceIndex }) => interfaceIndex).sort()).toEqual([2, 4])
  })
})
