import { readdirSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { buildNetns } from '../../support/netns.ts'

const ours = (): string[] => readdirSync('/run/netns').filter((name) => name.startsWith(`fib-helper-${process.pid}-`))

test('a topology is built, both families work at once over a link and a switch, and everything is gone afterwards', async () => {
  const children = []
  {
    await using net = await buildNetns('helper', {
      nodes: ['a', 'b', 'c'],
      links: [
        [
          { node: 'a', name: 'eth0', addresses: ['10.0.0.1/24', 'fd00::1/64'] },
          { node: 'b', name: 'eth0', addresses: ['10.0.0.2/24', 'fd00::2/64'] },
        ],
      ],
      switches: [
        {
          name: 'lan',
          ends: [
            { node: 'b', name: 'eth1', addresses: ['10.1.0.2/24'] },
            { node: 'c', name: 'eth1', addresses: ['10.1.0.3/24'] },
          ],
        },
      ],
      stubs: [{ node: 'c', name: 'stub0', addresses: ['10.9.0.1/32'] }],
    })
    expect(ours()).toHaveLength(4)
    for (const node of ['a', 'b', 'c', 'lan']) {
      const shown = JSON.parse(await net.ip(node, '-json address show')) as readonly {
        readonly ifname: string
        readonly operstate: string
        readonly flags: readonly string[]
        readonly addr_info: readonly { readonly tentative?: boolean }[]
      }[]
      const unsettled = shown.filter(
        ({ ifname, operstate, flags, addr_info }) =>
          ifname !== 'lo' && flags.includes('UP') && (operstate !== 'UP' || addr_info.some(({ tentative }) => tentative)),
      )
      expect([node, unsettled]).toEqual([node, []])
    }
    await net.exec('a', 'ping', ['-c1', '-W10', '10.0.0.2'])
    await net.exec('a', 'ping', ['-c1', '-W10', 'fd00::2'])
    await net.exec('b', 'ping', ['-c1', '-W10', '10.1.0.3'])
    const child = net.spawn('a', 'sh', ['-c', 'sleep 1000 & wait'])
    children.push(child)
    expect(net.run('c', () => readdirSync('/proc/thread-self/net/dev_snmp6').sort())).toEqual(['eth1', 'lo', 'stub0', 'stub0-far'])
  }
  expect(ours()).toEqual([])
  expect(children.map((child) => child.signalCode)).toEqual(['SIGKILL'])
})

test('a topology that cannot be built leaves nothing behind', async () => {
  await expect(buildNetns('helper', { nodes: ['a'], stubs: [{ node: 'a', name: 'eth0', addresses: ['10.0.0.300/24'] }] })).rejects.toThrow(
    /10\.0\.0\.300/,
  )
  expect(ours()).toEqual([])
})
