// IP-in-IP with the real modules: what goes over the wire, how long it may be, and that no connection minds how it goes.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { ip } from '../../src/net/index.ts'
import { TUNNELS } from '../../src/routes/index.ts'
import { holds, until } from '../support/poll.ts'
import { Prober } from '../support/prober.ts'
import { echoed, moves, patient, stalled } from './programs.ts'
import { NODES, type NodeName, TwoSubnets } from './two-subnets.ts'

const SUBNET = { a: 1, b: 1, c: 2 } as const
const CROSS_SUBNET = (from: NodeName, to: NodeName) => (SUBNET[from] === SUBNET[to] ? 'plain' : 'tunnel')
const ALWAYS = () => 'tunnel' as const
const NEVER = (from: NodeName, to: NodeName) => (SUBNET[from] === SUBNET[to] ? 'plain' : 'router')
const FAMILIES = [
  { family: 4, pod: 'pod4', node: 'ipv4', inner: 'ipip-proto-4', overhead: 20, headers: 28 },
  { family: 6, pod: 'pod6', node: 'ipv6', inner: 'IPv6 (41)', overhead: 40, headers: 48 },
] as const

let world: TwoSubnets

beforeAll(async () => {
  world = await TwoSubnets.build()
}, 900_000)
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

async function ping(from: NodeName, address: string, ...options: readonly string[]): Promise<string> {
  return (await world.net.exec(`pod-${from}`, 'ping', ['-c', '2', '-W', '10', ...options, address])).stdout
}

/** What tcpdump saw on a node's link to the fabric while `work` was done; lines of one packet joined. */
async function seen(node: NodeName, filter: string, work: () => Promise<unknown>): Promise<readonly string[]> {
  const capture = await world.capture(node, 'eth0', filter)
  await work()
  const isComplete = (): boolean => capture.log(Number.POSITIVE_INFINITY).includes('echo reply')
  await until('the reply is captured', isComplete, patient(1_000))
  await capture.end('SIGINT')
  return capture.log(Number.POSITIVE_INFINITY).split(/\n(?=\d\d:\d\d:)/)
}

describe.each(FAMILIES)('IPv$family', ({ family, pod, node, overhead, headers }) => {
  test('CrossSubnet: plain to a pod on the same subnet, in a tunnel between the nodes to one on another', async () => {
    await world.route(CROSS_SUBNET)
    const filter = family === 4 ? 'ip proto 4 or icmp' : 'ip6 proto 41 or icmp6[0] == 128 or icmp6[0] == 129'
    const near = await seen('a', filter, () => ping('a', NODES.b[pod]))
    expect(near.filter((packet) => packet.includes(NODES.b[pod])).length).toBeGreaterThan(0)
    expect(near.filter((packet) => packet.includes(NODES.b[node]))).toEqual([])
    const far = await seen('a', filter, () => ping('a', NODES.c[pod]))
    const requests = far.filter((packet) => packet.includes('echo request'))
    expect(requests.length).toBeGreaterThan(0)
    for (const packet of requests) {
      expect(packet).toMatch(new RegExp(`${NODES.a[node]} > ${NODES.c[node]}: .*${NODES.a[pod]} > ${NODES.c[pod]}`, 's'))
    }
    const replies = far.filter((packet) => packet.includes('echo reply'))
    for (const packet of replies) expect(packet).toMatch(new RegExp(`${NODES.c[node]} > ${NODES.a[node]}: `))
  }, 900_000)

  test('the node itself reaches a pod through the tunnel, with its own address', async () => {
    await world.route(CROSS_SUBNET)
    const { stdout } = await world.net.exec('a', 'ping', ['-c', '1', '-W', '10', NODES.c[pod]])
    expect(stdout).toContain('1 received')
  })

  test('a packet that is too long for the tunnel is refused with the length that fits', async () => {
    await world.route(CROSS_SUBNET)
    await expect(ping('a', NODES.c[pod], '-M', 'do', '-s', String(1500 - overhead - headers))).resolves.toContain('2 received')
    const tooLong = ping('a', NODES.c[pod], '-M', 'do', '-s', String(1500 - headers))
    await expect(tooLong).rejects.toThrow(new RegExp(`mtu ?= ?${1500 - overhead}|Message too long`, 'i'))
    await expect(ping('a', NODES.b[pod], '-M', 'do', '-s', String(1500 - headers))).resolves.toContain('2 received')
  }, 900_000)

  test('TCP moves ten megabytes both ways though its links are longer than the tunnel', async () => {
    await world.route(CROSS_SUBNET)
    const server = world.stream('pod-c', 'listen', NODES.c[pod], '5100')
    await until('the server listens', () => server.log().includes('listening'), patient(3_000))
    const client = world.stream('pod-a', 'pour', NODES.c[pod], '5100', '10000000')
    await until('all has come back', () => client.log().includes('"poured":10000000'), { ...patient(10_000), explain: () => client.log() })
    await server.end('SIGKILL')
  }, 900_000)
})

describe('a change of mode under an established connection', () => {
  test.each(FAMILIES)(
    'IPv$family: Never, CrossSubnet, Always and back, and every octet arrives',
    async ({ pod, family }) => {
      await world.route(NEVER)
      const servers = (['b', 'c'] as const).map((name) => world.stream(`pod-${name}`, 'listen', NODES[name][pod], '5200'))
      for (const server of servers) await until('the server listens', () => server.log().includes('listening'), patient(3_000))
      const clients = (['b', 'c'] as const).map((name) => world.stream('pod-a', 'keep', NODES[name][pod], '5200'))
      for (const client of clients) await moves(client, 'Never')
      const modes = [
        ['CrossSubnet', CROSS_SUBNET],
        ['Always', ALWAYS],
        ['Never', NEVER],
        ['Always', ALWAYS],
        ['CrossSubnet', CROSS_SUBNET],
        ['Never', NEVER],
      ] as const
      for (const [mode, wayOf] of modes) {
        const counters = world.indexOf('a', TUNNELS[family].name)
        await world.route(wayOf)
        expect(counters).toBe(world.indexOf('a', TUNNELS[family].name))
        for (const client of clients) await moves(client, mode)
      }
      for (const process of [...clients, ...servers]) await process.end('SIGKILL')
      for (const client of clients) expect(client.log()).not.toContain('broken')
    },
    900_000,
  )

  test.each(FAMILIES)(
    'IPv$family: not one packet is lost on the way from one mode to another',
    async ({ pod }) => {
      await world.route(NEVER)
      await using prober = await Prober.start(
        world.net,
        { node: 'pod-a', address: NODES.a[pod] },
        { node: 'pod-c', address: NODES.c[pod] },
        patient(5_000).deadlineMs,
      )
      for (const wayOf of [CROSS_SUBNET, ALWAYS, NEVER, CROSS_SUBNET, NEVER, ALWAYS]) {
        await world.route(wayOf)
        await prober.sendMore(10)
      }
      for (const { sent, lost, gaps } of await prober.finish()) {
        expect(sent).toBeGreaterThan(50)
        expect([lost, gaps]).toEqual([0, []])
      }
    },
    900_000,
  )

  test('a connection whose tunnel is blocked stalls, and goes on when it is not', async () => {
    await world.route(CROSS_SUBNET)
    const server = world.stream('pod-c', 'listen', NODES.c.pod4, '5300')
    await until('the server listens', () => server.log().includes('listening'), patient(3_000))
    const client = world.stream('pod-a', 'keep', NODES.c.pod4, '5300')
    await moves(client, 'open')
    await world.net.exec('router', 'iptables-legacy', ['-w', '-I', 'FORWARD', '-p', '4', '-j', 'DROP'])
    const before = await stalled(client) // what was under way has arrived
    await holds('nothing comes through a blocked tunnel', 3_000, () => echoed(client) === before)
    await world.net.exec('router', 'iptables-legacy', ['-w', '-D', 'FORWARD', '-p', '4', '-j', 'DROP'])
    await moves(client, 'open again')
    for (const process of [client, server]) await process.end('SIGKILL')
  }, 900_000)
})

describe('a tunnel device', () => {
  test('is shared by all peers, finds out the path MTU, is not filtered by reverse path, and has no address of its own', async () => {
    expect(await world.net.ip('a', '-d link show fibipip')).toMatch(/ipip remote any local 10\.1\.0\.11 ttl 64 pmtudisc/)
    expect(await world.net.ip('a', '-d link show fibip6tnl')).toMatch(/mtu 1460 .*ip6tnl .*external/s)
    for (const { name } of Object.values(TUNNELS))
      expect(await world.net.ip('a', `address show dev ${name} scope link`)).not.toContain('inet')
    const { stdout } = await world.net.exec('a', 'cat', [
      '/proc/sys/net/ipv4/conf/fibipip/rp_filter',
      '/proc/sys/net/ipv4/conf/fibipip/forwarding',
    ])
    expect(stdout).toBe('0\n1\n')
  })

  test('that somebody removes is back with its routes', async () => {
    await world.route(CROSS_SUBNET)
    await world.net.ip('a', 'link del fibipip')
    await until('the pod answers again', async () => (await ping('a', NODES.c.pod4)).includes('2 received'), patient(3_000))
    expect(await world.net.ip('a', `route show ${NODES.c.pod4}`)).toContain('dev fibipip')
  }, 900_000)

  test('changes its local address in place: the same device, its routes untouched', async () => {
    await world.route(CROSS_SUBNET)
    const kernel = world.kernel('a')
    const before = { index: world.indexOf('a', 'fibipip'), routes: await world.net.ip('a', 'route show proto 179') }
    await world.net.ip('a', 'address add 10.1.0.99/24 dev eth0')
    kernel.setTunnels({ ipv4: { local: ip('10.1.0.99') }, ipv6: { local: ip(NODES.a.ipv6) } })
    expect(await world.net.ip('a', '-d link show fibipip')).toContain('local 10.1.0.99')
    expect({ index: world.indexOf('a', 'fibipip'), routes: await world.net.ip('a', 'route show proto 179') }).toEqual(before)
    kernel.setTunnels({ ipv4: { local: ip(NODES.a.ipv4) }, ipv6: { local: ip(NODES.a.ipv6) } })
    await expect(ping('a', NODES.c.pod4)).resolves.toContain('2 received')
  }, 900_000)

  test('that is not wanted any more goes when its last route has gone', async () => {
    await world.route(CROSS_SUBNET)
    const kernel = world.kernel('b')
    kernel.setTunnels({ ipv4: null, ipv6: null })
    expect(kernel.syncer.hostNetwork().interfaces.map(({ name }) => name)).not.toContain('fibipip')
    expect(await world.net.ip('b', 'link show fibipip')).toContain('UP')
    await expect(ping('b', NODES.c.pod4)).resolves.toContain('2 received')
    await world.route(NEVER)
    await until('both are gone', async () => !(await world.net.ip('b', 'link show')).includes('fibip'), patient(2_000))
  }, 900_000)
})
