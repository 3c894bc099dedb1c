// A pod's link on the real kernel: what attach makes of it, and that it carries packets as soon as it returns.
import { spawnSync } from 'node:child_process'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { ip, parseMac } from '../../../../src/net/index.ts'
import { describeWith } from '../../../support/tier.ts'
import { linkOf, openNode, type WiringNode } from './harness.ts'

const HOST_LINK_LOCAL = 'fe80::ecee:eeff:feee:eeee'

describeWith(['ip', 'ping', 'nsenter'], 'attach', () => {
  let node: WiringNode
  beforeEach(async () => {
    node = await openNode(['a', 'b'])
  })
  afterEach(async () => {
    await node[Symbol.asyncDispose]()
  })

  const json = async (of: string, command: string): Promise<Record<string, unknown>[]> =>
    JSON.parse(await node.net.ip(of, `-json ${command}`))
  const ping = (from: string, ...args: string[]): Promise<unknown> => node.net.exec(from, 'ping', ['-c1', '-W10', ...args])
  const sysctl = async (of: string, path: string): Promise<string> =>
    (await node.net.exec(of, 'cat', [`/proc/sys/net/${path}`])).stdout.trim()

  test('the pod has its addresses as /32 and /128, usable, and lo is up', async () => {
    const link = linkOf(node.net, 'a', 1)
    expect(node.attach(link)).toMatchObject({ ok: true, value: { hostMac: 'ee:ee:ee:ee:ee:ee', warnings: [] } })
    const [lo, eth0] = await json('a', 'address')
    expect(lo).toMatchObject({ ifname: 'lo', flags: expect.arrayContaining(['UP']) })
    expect(eth0).toMatchObject({ ifname: 'eth0', mtu: 1500, operstate: 'UP' })
    const addresses = ((eth0?.['addr_info'] ?? []) as Record<string, unknown>[]).map(({ local, prefixlen, tentative }) => ({
      local,
      prefixlen,
      tentative,
    }))
    expect(addresses).toEqual(
      expect.arrayContaining([
        { local: '10.244.0.1', prefixlen: 32 },
        { local: 'fd00:244::1', prefixlen: 128 },
      ]),
    )
    expect(addresses.filter(({ tentative }) => tentative === true)).toEqual([])
    expect(addresses).toHaveLength(3) // and its own link-local address
  })

  test('routes lead to 169.254.1.1 and to the link-local address of the host end, whose MAC is known beforehand', async () => {
    await node.wire(linkOf(node.net, 'a', 1))
    expect((await node.net.ip('a', '-4 route')).trim().split(/ *\n/)).toEqual([
      'default via 169.254.1.1 dev eth0',
      '169.254.1.1 dev eth0 scope link',
    ])
    expect(await json('a', '-6 route show default')).toMatchObject([{ gateway: HOST_LINK_LOCAL, dev: 'eth0' }])
    expect(await json('a', 'neighbour show nud permanent')).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ dst: '169.254.1.1', lladdr: 'ee:ee:ee:ee:ee:ee' }),
        expect.objectContaining({ dst: HOST_LINK_LOCAL, lladdr: 'ee:ee:ee:ee:ee:ee' }),
      ]),
    )
  })

  test('the host end: name, index, MAC, link-local address, settings', async () => {
    const { hostIndex, mac } = await node.wire(linkOf(node.net, 'a', 0xab))
    const [end] = await json('host', 'address show fib000000000ab')
    expect(end).toMatchObject({ ifindex: hostIndex, address: 'ee:ee:ee:ee:ee:ee', operstate: 'UP', mtu: 1500 })
    expect(end?.['addr_info']).toMatchObject([{ local: HOST_LINK_LOCAL, prefixlen: 64, nodad: true }])
    expect((await json('a', 'link show eth0'))[0]).toMatchObject({ address: mac })
    const wanted = {
      'ipv4/conf/X/forwarding': '1',
      'ipv4/conf/X/proxy_arp': '1',
      'ipv4/conf/X/rp_filter': '1',
      'ipv4/neigh/X/proxy_delay': '0',
    }
    const wanted6 = { 'ipv6/conf/X/forwarding': '1', 'ipv6/conf/X/accept_ra': '0', 'ipv6/conf/X/disable_ipv6': '0' }
    for (const [path, value] of Object.entries({ ...wanted, ...wanted6 }))
      expect([path, await sysctl('host', path.replace('X', 'fib000000000ab'))]).toEqual([path, value])
    expect(await sysctl('host', 'ipv4/conf/fib000000000ab/route_localnet')).toBe('0')
    expect(await sysctl('a', 'ipv6/conf/eth0/accept_ra')).toBe('0')
  })

  test('IPv6 carries the first packet, sent before anything else can run', () => {
    const link = linkOf(node.net, 'a', 1)
    const outcome = node.inNode(() => {
      const made = node.links.attach(link)
      spawnSync('ip', ['route', 'add', 'fd00:244::1/128', 'dev', link.hostInterface])
      const enter = [`--net=${link.netns}`, 'ping', '-c1', '-W10']
      const pings = [spawnSync('nsenter', [...enter, `${HOST_LINK_LOCAL}%eth0`]), spawnSync('nsenter', [...enter, '2001:db8::1'])]
      return [made.ok, ...pings.map(({ status }) => status), spawnSync('ping', ['-c1', '-W10', 'fd00:244::1']).status]
    })
    expect(outcome).toEqual([true, 0, 0, 0])
  })

  test('pods reach each other and the node through host routes, up to the full MTU', async () => {
    await node.wire(linkOf(node.net, 'a', 1))
    await node.wire(linkOf(node.net, 'b', 2))
    for (const target of ['10.244.0.2', '192.0.2.1']) await ping('a', '-M', 'do', '-s', '1472', target)
    for (const target of ['fd00:244::2', '2001:db8::1']) await ping('a', '-M', 'do', '-s', '1452', target)
    for (const target of ['10.244.0.1', 'fd00:244::1']) {
      await ping('b', target)
      await ping('host', target)
    }
  })

  test('the host end answers ARP for the gateway at once, and neighbour discovery for its own address', async () => {
    await node.wire(linkOf(node.net, 'a', 1))
    await node.net.ip('host', 'route add default via 192.0.2.254')
    await node.net.ip('a', 'neighbour flush dev eth0 nud permanent')
    await ping('a', '192.0.2.1')
    await ping('a', '2001:db8::1')
    expect(await json('a', '-4 neighbour')).toMatchObject([{ dst: '169.254.1.1', lladdr: 'ee:ee:ee:ee:ee:ee' }])
  })

  test('a pod that sends from an address it does not have is not heard (IPv4 source check)', async () => {
    await node.wire(linkOf(node.net, 'a', 1))
    await node.wire(linkOf(node.net, 'b', 2))
    await node.net.ip('a', 'address add 10.244.0.99/32 dev eth0')
    await node.net.ip('host', 'route add 10.244.0.99/32 dev fib00000000002')
    const start = await node.net.exec('host', 'nstat', ['-asz', 'TcpExtIPReversePathFilter'])
    await expect(ping('a', '-W1', '-I', '10.244.0.99', '192.0.2.1')).rejects.toThrow()
    const end = await node.net.exec('host', 'nstat', ['-asz', 'TcpExtIPReversePathFilter'])
    const countOf = (text: string): number => Number(/IPReversePathFilter\s+(\d+)/.exec(text)?.[1])
    expect(countOf(end.stdout)).toBeGreaterThan(countOf(start.stdout))
  })

  test('an IPv4 pod speaks no IPv6, an IPv6 pod no IPv4', async () => {
    await node.wire(linkOf(node.net, 'a', 1, { addresses: [ip('10.244.0.1')] }))
    await node.wire(linkOf(node.net, 'b', 2, { addresses: [ip('fd00:244::2')] }))
    expect(await sysctl('a', 'ipv6/conf/eth0/disable_ipv6')).toBe('1')
    expect(await sysctl('host', 'ipv6/conf/fib00000000001/disable_ipv6')).toBe('1')
    expect(await node.net.ip('a', '-6 address show dev eth0')).toBe('')
    expect(await node.net.ip('host', '-6 address show dev fib00000000001')).toBe('')
    expect(await node.net.ip('b', '-4 route')).toBe('')
    await ping('a', '192.0.2.1')
    await ping('b', '2001:db8::1')
    for (const [pod, number] of [
      ['a', 1],
      ['b', 2],
    ] as const) {
      const addresses = pod === 'a' ? [ip('10.244.0.1')] : [ip('fd00:244::2')]
      expect(node.inNode(() => node.links.check(linkOf(node.net, pod, number, { addresses })))).toEqual([])
    }
  })

  test('IPv6 that is off in both namespaces is turned on for a pod that has an IPv6 address', async () => {
    for (const each of ['host', 'a']) await node.net.exec(each, 'sh', ['-c', 'echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6'])
    await node.wire(linkOf(node.net, 'a', 1))
    await ping('a', '2001:db8::1')
  })

  test('MAC and MTU as asked for', async () => {
    const mac = parseMac('02:00:5e:10:00:01')
    expect(await node.wire(linkOf(node.net, 'a', 1, { mac, mtu: 8900 }))).toMatchObject({ mac })
    expect((await json('a', 'link show eth0'))[0]).toMatchObject({ address: mac, mtu: 8900 })
    expect((await json('host', 'link show fib00000000001'))[0]).toMatchObject({ mtu: 8900 })
  })

  test('a second interface of the same pod: both addresses are reached, each by its own link; either may go', async () => {
    const first = linkOf(node.net, 'a', 1)
    const second = linkOf(node.net, 'a', 2, { ifName: 'net1' })
    const rules = await node.net.ip('a', 'rule')
    await node.wire(first)
    await node.wire(second)
    expect(node.inNode(() => [...node.links.check(first), ...node.links.check(second)])).toEqual([])
    for (const target of ['10.244.0.1', '10.244.0.2', 'fd00:244::1', 'fd00:244::2']) await ping('host', target)
    for (const target of ['192.0.2.1', '2001:db8::1']) await ping('a', target)
    expect(node.inNode(() => node.links.detach([first]))).toEqual([])
    expect(node.inNode(() => node.links.check(second))).toEqual([])
    for (const target of ['192.0.2.1', '2001:db8::1']) await ping('a', target)
    await node.wire({ ...first, ifName: 'net2' })
    expect(node.inNode(() => node.links.detach([second]))).toEqual([])
    for (const target of ['10.244.0.1', 'fd00:244::1']) await ping('host', target)
    expect(node.inNode(() => node.links.detach([first]))).toEqual([])
    expect(await node.net.ip('a', 'rule')).toBe(rules)
    expect(await node.net.ip('a', '-6 rule')).not.toContain('fd00:244::')
  })

  test('fifty in sequence, into one namespace after another', async () => {
    const crowd = Array.from({ length: 50 }, (_, at) => linkOf(node.net, 'a', at + 1, { ifName: `p${at}` }))
    for (const link of crowd) expect(node.attach(link)).toMatchObject({ ok: true })
    expect(new Set(node.inNode(() => node.links.list()))).toEqual(new Set(crowd.map(({ hostInterface }) => hostInterface)))
    expect(node.inNode(() => crowd.flatMap((link) => node.links.check(link)))).toEqual([])
    expect(node.inNode(() => node.links.detach(crowd))).toEqual([])
    expect(node.inNode(() => node.links.list())).toEqual([])
    expect(await json('a', 'link')).toHaveLength(1)
  })
})
