// check sees what is amiss and minds nothing that others added; repair and setMtu on links that carry traffic.
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { PodLink } from '../../../../src/cni/index.ts'
import { ip } from '../../../../src/net/index.ts'
import { describeWith } from '../../../support/tier.ts'
import { Saboteur } from './failing-netlink.ts'
import { linkOf, openNode, type WiringNode } from './harness.ts'

const HOST = 'fib00000000001'
const saboteur = new Saboteur()

describeWith(['ip', 'ping', 'nsenter'], 'check, repair, setMtu', () => {
  let node: WiringNode
  let link: PodLink
  beforeEach(async () => {
    saboteur.arm(null)
    node = await openNode(['a', 'b'], saboteur.open)
    link = linkOf(node.net, 'a', 1)
    await node.wire(link)
  })
  afterEach(async () => {
    await node[Symbol.asyncDispose]()
  })

  const check = (of: PodLink = link): readonly string[] => node.inNode(() => node.links.check(of))
  const sysctl = (of: string, path: string, value: number): Promise<unknown> =>
    node.net.exec(of, 'sh', ['-c', `echo ${value} > /proc/sys/net/${path}`])

  test('right after attach all is well, and looking changes nothing', async () => {
    const before = [await node.snapshot('host'), await node.snapshot('a')]
    expect(check()).toEqual([])
    expect([await node.snapshot('host'), await node.snapshot('a')]).toEqual(before)
  })

  test.each<[string, string, string, readonly string[]]>([
    ['the pod end is down', 'a', 'link set eth0 down', ['interface eth0 of the pod is down', `host interface ${HOST} has no carrier`]],
    ['the pod end has another name', 'a', 'link set eth0 down name eth9', ['interface eth0 is missing in the pod']],
    ['no IPv4 address', 'a', 'address del 10.244.0.1/32 dev eth0', ['eth0 lacks the address 10.244.0.1']],
    ['no IPv6 address', 'a', 'address del fd00:244::1/128 dev eth0', ['eth0 lacks the address fd00:244::1']],
    ['no default route', 'a', '-4 route del default', ['eth0 lacks the IPv4 default route via 169.254.1.1']],
    ['no IPv6 default route', 'a', '-6 route del default', ['eth0 lacks the IPv6 default route via fe80::ecee:eeff:feee:eeee']],
    ['another default route', 'a', 'route replace default dev eth0', ['eth0 lacks the IPv4 default route via 169.254.1.1']],
    ['no route to the gateway', 'a', 'route del 169.254.1.1', ['eth0 lacks the route to 169.254.1.1']],
    ['the host end is gone', 'host', `link del ${HOST}`, ['interface eth0 is missing in the pod', `host interface ${HOST} is missing`]],
    ['the host end is down', 'host', `link set ${HOST} down`, [`host interface ${HOST} is down`]],
    [
      'another MAC',
      'host',
      `link set ${HOST} address 02:00:00:00:00:01`,
      [`host interface ${HOST} has MAC 02:00:00:00:00:01, not ee:ee:ee:ee:ee:ee`],
    ],
    ['no link-local address', 'host', `address flush dev ${HOST} scope link`, [`${HOST} lacks the address fe80::ecee:eeff:feee:eeee`]],
  ])('%s', async (_name, where, command, expected) => {
    await node.net.ip(where, command)
    expect(check()).toEqual(expect.arrayContaining([...expected]))
  })

  test.each([
    ['ipv4/conf/X/proxy_arp', 0, `proxy_arp of ${HOST} is 0, not 1`],
    ['ipv4/conf/X/rp_filter', 0, `rp_filter of ${HOST} is 0, not 1`],
    ['ipv4/conf/X/forwarding', 0, `IPv4 forwarding of ${HOST} is 0, not 1`],
    ['ipv6/conf/X/disable_ipv6', 1, `disable_ipv6 of ${HOST} is 1, not 0`],
  ])('%s is %d: seen, and repaired', async (path, value, words) => {
    await sysctl('host', path.replace('X', HOST), value)
    expect(check()).toContain(words)
    expect(node.inNode(() => node.links.repair(link))).toEqual([])
    expect(check()).toEqual([])
  })

  test('repair of a host end that is down, with another MAC and no link-local address', async () => {
    await node.net.ipBatch('host', [`link set ${HOST} address 02:00:00:00:00:01 down`])
    expect(check()).not.toEqual([])
    expect(node.inNode(() => node.links.repair(link))).toEqual([])
    expect(check()).toEqual([])
    expect(node.inNode(() => node.links.repair({ ...link, hostInterface: 'fib000000000ff' }))).toEqual([
      'host interface fib000000000ff is missing',
    ])
  })

  test('a host end that leads elsewhere is seen', () => {
    const other = linkOf(node.net, 'b', 2, { ifName: 'eth5' })
    expect(node.attach(linkOf(node.net, 'b', 9, { ifName: 'eth1' }))).toMatchObject({ ok: true })
    expect(node.attach(other)).toMatchObject({ ok: true })
    expect(check({ ...other, hostInterface: HOST })).toContain(`host interface ${HOST} leads to another interface than eth5`)
  })

  test('a namespace that is gone is seen, and the host side is looked at all the same', () => {
    expect(check({ ...link, netns: '/run/netns/fib-nowhere', hostInterface: 'fib000000000ff' })).toEqual([
      expect.stringContaining('no network namespace'),
      'host interface fib000000000ff is missing',
    ])
  })

  test('what later plugins and the pod itself change is none of our business', async () => {
    await node.net.ipBatch('a', [
      'link set eth0 mtu 1400 address 02:00:00:00:00:07',
      'address add 10.9.9.9/32 dev eth0',
      'route add 10.8.0.0/16 via 169.254.1.1',
      'route add default via 169.254.1.1 metric 77 onlink dev eth0',
    ])
    expect(check()).toEqual([])
  })

  test('setMtu: lowered and raised again, on both ends, and full packets pass', async () => {
    const ping = (size: number, ...args: string[]): Promise<unknown> =>
      node.net.exec('a', 'ping', ['-c1', '-W10', '-M', 'do', '-s', `${size}`, ...args])
    const before = await node.net.ip('a', 'route')
    expect(node.inNode(() => node.links.setMtu(link, 1480))).toEqual([])
    await expect(ping(1453, '-W1', '192.0.2.1')).rejects.toThrow('message too long, mtu=1480')
    await ping(1452, '192.0.2.1')
    expect(await node.net.ip('host', `link show ${HOST}`)).toContain('mtu 1480')
    expect(await node.net.ip('a', 'link show eth0')).toContain('mtu 1480')
    expect(await node.net.ip('a', 'route')).toBe(before)
    expect(node.inNode(() => node.links.setMtu({ ...link, mtu: 1480 }, 9000))).toEqual([])
    await ping(8972, '192.0.2.1')
    await ping(8952, '2001:db8::1')
    expect(await node.net.ip('a', 'route')).toBe(before)
    expect(check()).toEqual([])
  })

  test('setMtu: routes are limited before a link is made smaller, a link is made larger before the pod sends more', () => {
    const stepsTo = (of: PodLink, mtu: number): readonly string[] => {
      saboteur.arm(null)
      expect(node.inNode(() => node.links.setMtu(of, mtu))).toEqual([])
      return saboteur.seen.filter((step) => !step.startsWith('look up') && !step.startsWith('list'))
    }
    const index = (text: string): string => text.replace(/\d+ \(mtu\)/, 'N (mtu)')
    const routes = ['replace IPv4 default route', 'replace IPv6 default route']
    expect(stepsTo(link, 1400).map(index)).toEqual([...routes, 'change N (mtu)', 'change N (mtu)', ...routes])
    expect(stepsTo({ ...link, mtu: 1400 }, 1500).map(index)).toEqual(['change N (mtu)', 'change N (mtu)'])
    expect(stepsTo(link, 1500)).toEqual([])
  })

  test('setMtu under traffic that fits both: no packet is lost, in either direction', async () => {
    const run = ['-q', '-i', '0.002', '-c', '500', '-W', '10', '-s', '1352']
    for (let { mtu } = link, changes = 0; changes <= 10; ) {
      const pings = [
        node.net.exec('a', 'ping', [...run, '192.0.2.1']),
        node.net.exec('host', 'ping', [...run, '10.244.0.1']),
        node.net.exec('a', 'ping', [...run, '2001:db8::1']),
      ]
      let isOver = false
      const all = Promise.all(pings).finally(() => {
        isOver = true
      })
      for (; !isOver; changes++) {
        const next = mtu === 1500 ? 1400 : 1500
        expect(node.inNode(() => node.links.setMtu({ ...link, mtu }, next))).toEqual([])
        mtu = next
        await node.net.ip('a', 'link show eth0') // lets the rest of the machine run
      }
      for (const { stdout } of await all) expect(stdout).toContain(' 0% packet loss')
    }
  })

  test("setMtu: what another plugin set on the pod's end is lowered if need be, never raised", async () => {
    await node.net.ip('a', 'link set eth0 mtu 1300')
    expect(node.inNode(() => node.links.setMtu(link, 1480))).toEqual([])
    expect(await node.net.ip('a', 'link show eth0')).toContain('mtu 1300')
    expect(await node.net.ip('host', `link show ${HOST}`)).toContain('mtu 1480')
    expect(node.inNode(() => node.links.setMtu({ ...link, mtu: 1480 }, 1290))).toEqual([])
    expect(await node.net.ip('a', 'link show eth0')).toContain('mtu 1290')
  })

  test('setMtu says what it could not do', () => {
    expect(node.inNode(() => node.links.setMtu({ ...link, addresses: [ip('10.244.0.1')] }, 70_000))).not.toEqual([])
    expect(node.inNode(() => node.links.setMtu({ ...link, netns: '/run/netns/fib-nowhere' }, 1400))).toEqual([
      expect.stringContaining('no network namespace'),
    ])
    expect(check()).toEqual([])
  })
})
