// The guards of pods with real packets: a node with a pod, a tunnel device (a veth pair under its name: rules know names only),
// another node, and a host outside.
import { describe, expect, test } from '@jest/globals'
import { cidr, ip } from '../../../src/net/index.ts'
import { type GuardInput, renderGuards } from '../../../src/routes/guard/index.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { until } from '../../support/poll.ts'
import { Host } from './host.ts'

const POD_LINK = 'fib0123456789a'
const INPUT: GuardInput = {
  families: [4, 6],
  pools: [
    { range: cidr('10.244.0.0/16'), natOutgoing: true },
    { range: cidr('10.245.0.0/16'), natOutgoing: false },
    { range: cidr('fd00:244::/32'), natOutgoing: true },
  ],
  nodeAddresses: [ip('192.0.2.1'), ip('192.0.2.2'), ip('2001:db8::1'), ip('2001:db8::2')],
  tunnels: {
    4: { device: 'fibipip', nodeAddresses: [ip('192.0.2.1'), ip('192.0.2.2')] },
    6: { device: 'fibip6tnl', nodeAddresses: [ip('2001:db8::1'), ip('2001:db8::2')] },
  },
}

type Datagram = { readonly data: string; readonly from: string }

/** `node` with pod 10.244.1.2, switch to `peer` (a node, 192.0.2.2) and `outside` (192.0.2.9); behind the tunnel is 10.244.2.0/24. */
async function build(variant: 'nft' | 'legacy') {
  const net = await buildNetns('guard', {
    nodes: ['pod', 'node', 'peer', 'outside'],
    switches: [
      {
        name: 'lan',
        ends: [
          { node: 'node', name: 'eth0', addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
          { node: 'peer', name: 'eth0', addresses: ['192.0.2.2/24', '2001:db8::2/64'] },
          { node: 'outside', name: 'eth0', addresses: ['192.0.2.9/24', '2001:db8::9/64'] },
        ],
      },
    ],
    links: [
      [
        { node: 'pod', name: 'eth0', addresses: ['10.244.1.2/24', 'fd00:244:1::2/64'] },
        { node: 'node', name: POD_LINK, addresses: ['10.244.1.1/24', 'fd00:244:1::1/64'] },
      ],
      [
        { node: 'node', name: 'fibipip', addresses: ['10.244.2.1/24'] },
        { node: 'peer', name: 'tunnel', addresses: ['10.244.2.2/24', '10.245.2.2/24'] },
      ],
    ],
  })
  await net.exec('node', 'sh', [
    '-c',
    'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done',
  ])
  await net.ipBatch('pod', ['route add default via 10.244.1.1', 'route add default via fd00:244:1::1'])
  await net.ipBatch('node', ['route add 10.245.2.0/24 dev fibipip'])
  await net.ipBatch('peer', ['route add 10.244.1.0/24 via 10.244.2.1', 'route add fd00:244:1::/64 via 2001:db8::1'])
  await net.ipBatch('outside', [
    'route add 10.244.1.0/24 via 192.0.2.1',
    'route add fd00:244:1::/64 via 2001:db8::1',
    'route add 10.66.0.0/16 via 192.0.2.1',
  ])
  const host = new Host(net, 'node')
  const netfilter = host.netfilter({ variant })
  return {
    net,
    host,
    guards: netfilter.client('guards'),
    async [Symbol.asyncDispose](): Promise<void> {
      await netfilter[Symbol.asyncDispose]()
      await net[Symbol.asyncDispose]()
      host[Symbol.dispose]()
    },
  }
}

/** Hears datagrams, or the payload of raw packets of a protocol number, in a node. */
async function hear(net: Netns, node: string, address: string, protocol: 'udp' | number): Promise<readonly Datagram[]> {
  const family = address.includes(':') ? 'AF_INET6' : 'AF_INET'
  const open = protocol === 'udp' ? `socket.SOCK_DGRAM); s.bind(("${address}", 9000))` : `socket.SOCK_RAW, ${protocol})`
  const strip = protocol !== 'udp' && family === 'AF_INET' ? 'd[20:]' : 'd'
  const program = `import socket
s=socket.socket(socket.${family}, ${open}
print("ready", flush=True)
while True:
  d,a=s.recvfrom(2048)
  print(${strip}.decode(), a[0], flush=True)`
  const child = net.spawn(node, 'python3', ['-c', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  const heard: Datagram[] = []
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) {
      const [data = '', from = ''] = line.split(' ')
      heard.push({ data, from })
    }
  })
  await until(`a listener in ${node}`, () => heard.shift()?.data === 'ready', { everyMs: 10 })
  return heard
}

async function send(net: Netns, node: string, to: string, data: string, protocol: 'udp' | number = 'udp'): Promise<void> {
  const family = to.includes(':') ? 'AF_INET6' : 'AF_INET'
  const kind = protocol === 'udp' ? 'socket.SOCK_DGRAM' : `socket.SOCK_RAW, ${protocol}`
  await net.exec(node, 'python3', [
    '-c',
    `import socket; socket.socket(socket.${family}, ${kind}).sendto(b"${data}", ("${to}", 9000 if "${protocol}"=="udp" else 0))`,
  ])
}

/** A UDP datagram with whatever source address. */
async function spoof(net: Netns, node: string, source: string, to: string, data: string): Promise<void> {
  const program = `import socket, struct
src, dst, data = "${source}", "${to}", b"${data}"
udp = struct.pack("!HHHH", 9000, 9000, 8 + len(data), 0) + data
if ":" in dst:
  a, b = socket.inet_pton(socket.AF_INET6, src), socket.inet_pton(socket.AF_INET6, dst)
  pseudo = a + b + struct.pack("!IxxxB", len(udp), 17) + udp
  total = sum(struct.unpack("!%dH" % ((len(pseudo) + 1) // 2), pseudo + b"\\0" * (len(pseudo) % 2)))
  total = (total >> 16) + (total & 0xffff); total += total >> 16
  udp = udp[:6] + struct.pack("!H", ~total & 0xffff) + udp[8:]
  s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
  s.sendto(struct.pack("!IHBB", 0x60000000, len(udp), 17, 64) + a + b + udp, (dst, 0))
else:
  s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
  s.sendto(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(data), 0, 0, 64, 17, 0, socket.inet_aton(src), socket.inet_aton(dst)) + udp, (dst, 0))`
  await net.exec(node, 'python3', ['-c', program])
}

/** Everything up to and with the marker, which was sent last. */
async function heardUntil(heard: readonly Datagram[], marker: string): Promise<readonly Datagram[]> {
  await until(`the marker ${marker}`, () => heard.some(({ data }) => data === marker), { everyMs: 10 })
  return heard
}

describe.each(['nft', 'legacy'] as const)('iptables-%s', (variant) => {
  test('a pod appears outside as its node, to nodes and pools as itself', async () => {
    await using lab = await build(variant)
    const { net, guards } = lab
    expect(await guards.apply(renderGuards(INPUT))).toEqual({ ok: true, changed: true })
    const cases = [
      ['outside', '192.0.2.9', '192.0.2.1'],
      ['outside', '2001:db8::9', '2001:db8::1'],
      ['peer', '192.0.2.2', '10.244.1.2'],
      ['peer', '2001:db8::2', 'fd00:244:1::2'],
      ['peer', '10.245.2.2', '10.244.1.2'],
      ['node', '10.244.1.1', '10.244.1.2'],
    ] as const
    for (const [node, address, expected] of cases) {
      const heard = await hear(net, node, address, 'udp')
      await send(net, 'pod', address, `to-${address}`)
      expect(await heardUntil(heard, `to-${address}`)).toEqual([{ data: `to-${address}`, from: expected }])
    }
  })

  test('where the policy of FORWARD is DROP pods are reached and reach, others are not, and a drop of somebody stays one', async () => {
    await using lab = await build(variant)
    const { net, host, guards } = lab
    await host.load(variant, 4, '*filter', ':FORWARD DROP [0:0]', '-A FORWARD -p udp --dport 9000 -d 192.0.2.2 -j DROP', 'COMMIT')
    await net.ip('outside', 'route add 10.245.2.0/24 via 192.0.2.1')
    await net.ip('peer', 'route add 192.0.2.9/32 via 10.244.2.1')
    const reaches = async (node: string, to: string, withinSeconds = 10): Promise<boolean> =>
      net.exec(node, 'ping', ['-c1', `-W${withinSeconds}`, to]).then(
        () => true,
        () => false,
      )
    expect(await reaches('outside', '10.244.1.2', 1)).toBe(false)
    await guards.apply(renderGuards(INPUT))
    expect(await reaches('outside', '10.244.1.2')).toBe(true)
    expect(await reaches('pod', '192.0.2.9')).toBe(true)
    expect(await reaches('pod', '10.245.2.2')).toBe(true)
    expect(await reaches('outside', '10.245.2.2', 1)).toBe(false) // through us, from and to no pod, though into a tunnel
    const heard = await hear(net, 'peer', '0.0.0.0', 'udp')
    await send(net, 'pod', '192.0.2.2', 'dropped-by-somebody')
    await send(net, 'pod', '10.245.2.2', 'marker')
    expect((await heardUntil(heard, 'marker')).map(({ data }) => data)).toEqual(['marker'])
  })

  test.each([
    [4, '192.0.2.1', '10.244.1.1', 4],
    [6, '2001:db8::1', 'fd00:244:1::1', 41],
    [6, '2001:db8::1', 'fd00:244:1::1', 4],
  ] as const)(
    'IPv%d: encapsulated packets are taken from cluster nodes only, and from no pod',
    async (_family, nodeAddress, podSide, protocol) => {
      await using lab = await build(variant)
      const { net, guards } = lab
      await guards.apply(renderGuards({ ...INPUT, tunnels: { 4: null, 6: null } }))
      const heard = await hear(net, 'node', nodeAddress, protocol)
      for (const [node, to] of [
        ['outside', nodeAddress],
        ['pod', podSide],
      ] as const)
        await send(net, node, to, `unguarded-from-${node}`, protocol)
      await heardUntil(heard, 'unguarded-from-pod') // what is sent can arrive: else the rest would prove nothing
      await guards.apply(renderGuards(INPUT))
      for (const [node, to] of [
        ['outside', nodeAddress],
        ['pod', podSide],
        ['pod', nodeAddress],
      ] as const)
        await send(net, node, to, 'guarded', protocol)
      await send(net, 'peer', nodeAddress, 'from-peer', protocol)
      expect((await heardUntil(heard, 'from-peer')).map(({ data }) => data)).toEqual([
        'unguarded-from-outside',
        'unguarded-from-pod',
        'from-peer',
      ])
    },
  )

  test('a pod sends no encapsulated packet to another node either', async () => {
    await using lab = await build(variant)
    const { net, guards } = lab
    await guards.apply(renderGuards(INPUT))
    const heard = await hear(net, 'peer', '192.0.2.2', 4)
    await send(net, 'pod', '192.0.2.2', 'from-pod', 4)
    await send(net, 'outside', '192.0.2.2', 'marker', 4)
    expect((await heardUntil(heard, 'marker')).map(({ data }) => data)).toEqual(['marker'])
  })

  test.each([
    ['192.0.2.9', '10.244.1.2', '10.66.1.1', '192.0.2.9'],
    ['2001:db8::9', 'fd00:244:1::2', '2001:db8:66::1', '2001:db8::9'],
  ])('a pod cannot send to %s with an address that is not its own', async (outside, own, foreign, nobodys) => {
    await using lab = await build(variant)
    const { net, guards } = lab
    const heard = await hear(net, 'outside', outside, 'udp')
    await spoof(net, 'pod', foreign, outside, 'spoofed-unguarded')
    await heardUntil(heard, 'spoofed-unguarded')
    await guards.apply(renderGuards(INPUT))
    await spoof(net, 'pod', foreign, outside, 'spoofed')
    await spoof(net, 'pod', nobodys, outside, 'spoofed')
    await spoof(net, 'pod', own, outside, 'own')
    expect((await heardUntil(heard, 'own')).map(({ data }) => data)).toEqual(['spoofed-unguarded', 'own'])
  })

  test('a pod finds its neighbours and gets an address with these rules in place (IPv6 discovery)', async () => {
    await using lab = await build(variant)
    const { net, guards } = lab
    await guards.apply(renderGuards(INPUT))
    await net.ip('pod', '-6 neigh flush dev eth0')
    await net.ip('pod', '-6 address add fd00:244:1::3/64 dev eth0') // with duplicate address detection off, as wiring does
    await until('the gateway answers', () => net.exec('pod', 'ping', ['-c1', '-W1', 'fd00:244:1::1']).then(() => true))
    const linkLocal = /inet6 (fe80::\S+)\//.exec(await net.ip('node', `-6 address show dev ${POD_LINK} scope link`))?.[1]
    await until('its link-local address too', () => net.exec('pod', 'ping', ['-c1', '-W1', `${linkLocal}%eth0`]).then(() => true))
  })

  test('a pod learns that its address is taken, though it asks with none (RFC 4862 duplicate address detection)', async () => {
    await using lab = await build(variant)
    const { net, guards } = lab
    await guards.apply(renderGuards(INPUT))
    await net.exec('pod', 'sh', ['-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/accept_dad; echo 1 > /proc/sys/net/ipv6/conf/eth0/accept_dad'])
    await net.ip('pod', '-6 address add fd00:244:1::1/64 dev eth0')
    await until('it hears of the duplicate', async () => (await net.ip('pod', '-6 address show dev eth0')).includes('dadfailed'))
  })

  test('TCP segments through the tunnel fit it in both directions, whatever MTU the pod has', async () => {
    await using lab = await build(variant)
    const { net, guards } = lab
    await net.ip('node', 'link set fibipip mtu 1400')
    await guards.apply(renderGuards(INPUT))
    const segmentSizes = async (): Promise<readonly number[]> => {
      const program = `import socket
l=socket.socket(); l.bind(("10.244.2.2", 0)); l.listen(); print(l.getsockname()[1], flush=True)
c,_=l.accept(); print(c.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), flush=True); c.recv(1)`
      const server = net.spawn('peer', 'python3', ['-c', program], { stdio: ['ignore', 'pipe', 'inherit'] })
      const lines: string[] = []
      server.stdout?.setEncoding('utf8').on('data', (chunk: string) => lines.push(...chunk.split('\n').filter((line) => line !== '')))
      await until('the server listens', () => lines.length === 1, { everyMs: 10 })
      const client = `import socket; s=socket.create_connection(("10.244.2.2", ${lines[0]})); print(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))`
      const { stdout } = await net.exec('pod', 'python3', ['-c', client])
      await until('the server accepts', () => lines.length === 2, { everyMs: 10 })
      return [Number(lines[1]), Number(stdout)]
    }
    await net.exec('pod', 'sh', ['-c', 'echo 0 > /proc/sys/net/ipv4/tcp_timestamps'])
    await net.exec('peer', 'sh', ['-c', 'echo 0 > /proc/sys/net/ipv4/tcp_timestamps'])
    expect(await segmentSizes()).toEqual([1360, 1360])
    await guards.apply(renderGuards({ ...INPUT, tunnels: { 4: null, 6: null } }))
    expect(await segmentSizes()).toEqual([1460, 1460])
  })
})
