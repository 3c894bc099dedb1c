// Small changes of sets are said to the kernel directly, large ones by ipset: both must do the same.
import { describe, expect, test } from '@jest/globals'
import { KernelSocket } from '../../../src/netfilter/kernel-socket.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from '../../../src/sys/netlink-socket.ts'
import { buildNetns } from '../../support/netns.ts'
import { Host } from './host.ts'

const TYPES = ['hash:ip', 'hash:net', 'hash:ip,port', 'hash:net,port']
const CREATIONS = TYPES.flatMap((type, at) => [
  `create fib4-${at} ${type} family inet hashsize 64 maxelem 1048576`,
  `create fib6-${at} ${type} family inet6 hashsize 64 maxelem 1048576`,
])
const MEMBERS = [
  'fib4-0 10.0.0.1',
  'fib4-0 255.255.255.255',
  'fib6-0 fd00::1',
  'fib4-1 10.0.0.0/8',
  'fib4-1 10.1.0.0/16 nomatch',
  'fib4-1 192.0.2.1',
  'fib6-1 fd00::/9',
  'fib6-1 fd00:1::/64 nomatch',
  'fib4-2 10.0.0.1,tcp:80',
  'fib4-2 10.0.0.1,udp:65535',
  'fib4-2 10.0.0.1,sctp:0',
  'fib6-2 fd00::1,sctp:9',
  'fib4-3 10.0.0.0/8,tcp:80',
  'fib4-3 10.0.0.0/9,tcp:80 nomatch',
  'fib6-3 fd00::/64,udp:53',
]
const textOf = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('')

/** Without what only newer revisions of a type have. */
async function save(host: Host): Promise<readonly string[]> {
  const text = await host.exec('ipset', ['save', '-sorted'])
  return text.split('\n').map((line) => line.replace(/ (bucketsize|initval) \S+/g, '').trimEnd())
}

describe('sets by message', () => {
  test('are what ipset makes of the same lines: made, filled, changed, emptied and destroyed', async () => {
    await using net = await buildNetns('ipset', { nodes: ['a', 'b'] })
    using program = new Host(net, 'a')
    using direct = new Host(net, 'b')
    const socket = new KernelSocket(() => net.run('b', () => new NetlinkSocket({ protocol: NETLINK_NETFILTER })))
    const removed = MEMBERS.filter((_, at) => at % 2 === 0).map((member) => `del ${member.replace(' nomatch', '')}`)
    const steps = [
      [...CREATIONS, ...MEMBERS.map((member) => `add ${member}`)],
      MEMBERS.map((member) => `add ${member}`), // there already
      [...removed, 'add fib4-0 10.0.0.9'],
      removed, // gone already
    ]
    for (const lines of steps) {
      await program.exec('ipset', ['restore', '-exist'], { input: textOf(lines) })
      expect(socket.changeSets(textOf(lines))).toBe('done')
      expect(await save(direct)).toEqual(await save(program))
    }
    const destroys = CREATIONS.map((line) => `destroy ${line.split(' ')[1]}`)
    expect(socket.changeSets(textOf(destroys))).toBe('done')
    expect(await direct.setNames()).toEqual([])
    expect(socket.changeSets(textOf(destroys))).toBe('done')
    socket.close()
  })

  test('that are in use stay, as do those after them, and those before are gone', async () => {
    await using net = await buildNetns('ipset', { nodes: ['a'] })
    using host = new Host(net, 'a')
    const socket = new KernelSocket(() => net.run('a', () => new NetlinkSocket({ protocol: NETLINK_NETFILTER })))
    expect(socket.changeSets(textOf(CREATIONS))).toBe('done')
    await host.load('nft', 4, '*filter', '-A INPUT -m set --match-set fib4-1 src -j DROP', 'COMMIT')
    expect(socket.changeSets('destroy fib4-0\ndestroy fib4-1\ndestroy fib4-2\n')).toMatchObject({
      line: 2,
      message: expect.stringContaining('in use'),
    })
    expect([...(await host.setNames())].sort()).not.toContain('fib4-0')
    expect(await host.setNames()).toEqual(expect.arrayContaining(['fib4-1', 'fib4-2']))
    socket.close()
  })

  test('what the kernel refuses, and what is too much, is left to the program', async () => {
    await using net = await buildNetns('ipset', { nodes: ['a'] })
    const socket = new KernelSocket(() => net.run('a', () => new NetlinkSocket({ protocol: NETLINK_NETFILTER })))
    expect(socket.changeSets('add fib4-none 10.0.0.1\n')).toBe('unable')
    expect(socket.changeSets(textOf(CREATIONS))).toBe('done')
    expect(socket.changeSets('add fib4-0 fd00::1\n')).toBe('unable')
    expect(socket.changeSets('add fib4-0 10.0.0.1\n'.repeat(1_001))).toBe('unable')
    expect(socket.changeSets('destroy fib4-0\nadd fib4-1 10.0.0.1\n')).toBe('unable')
    expect(socket.changeSets('swap fib4-0 fib4-1\n')).toBe('unable')
    socket.close()
  })

  test.each(['nft', 'legacy'] as const)('the generation of rules: %s', async (variant) => {
    await using net = await buildNetns('ipset', { nodes: ['a'] })
    using host = new Host(net, 'a')
    const socket = new KernelSocket(() => net.run('a', () => new NetlinkSocket({ protocol: NETLINK_NETFILTER })))
    await host.load(variant, 4, '*filter', ':fib-x - [0:0]', '-A fib-x -j DROP', 'COMMIT')
    const before = socket.generation()
    expect(before).not.toBeNull()
    await host.rules(variant, 4) // to look changes nothing
    await host.exec('ipset', ['create', 'fib4-x', 'hash:ip'])
    expect(socket.generation()).toBe(before)
    await host.load(variant, 6, '*filter', ':fib-x - [0:0]', 'COMMIT')
    expect(socket.generation()).toBe(variant === 'nft' ? Number(before) + 1 : before)
    socket.close()
  })
})
