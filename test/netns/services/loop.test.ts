// A packet for a service address that no rule translates: dropped at the first node, seen as captured packets; and without the guard it
// goes round between node and router until its TTL ends.
import { expect, test } from '@jest/globals'
import { Capture } from '../../support/capture.ts'
import { until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { FAMILIES, nodeOf, PORT, PROGRAMS, Rack, UNUSED_IP, VIP } from './world.ts'

const MINUTES = 180_000
const NODES = [1, 2, 3] as const

/** Hops left of a datagram to an address, each time the router saw it, and in or out. */
async function seen(capture: Capture, address: string): Promise<readonly number[]> {
  const field = address.includes(':') ? ['ipv6.dst', 'ipv6.hlim'] : ['ip.dst', 'ip.ttl']
  const lines = await capture.tshark(`udp.dstport == ${PORT} && ${field[0]} == ${address}`, [field[1] ?? ''])
  return lines.map((line) => Number(line.split(',')[0])) // an ICMP error quotes the packet: only the outermost counts
}

async function send(rack: Rack, from: string, address: string): Promise<void> {
  const family = address.includes(':') ? 'AF_INET6' : 'AF_INET'
  const program = `import socket; socket.socket(socket.${family}, socket.SOCK_DGRAM).sendto(b"x", ("${address}", ${PORT}))`
  await rack.net.exec(from, 'python3', ['-c', program])
}

const ROUTER = { ipv4: '10.9.0.1', ipv6: 'fd09::1' } as const
const TOOLS = { ipv4: 'iptables', ipv6: 'ip6tables' } as const

describeWith(PROGRAMS, 'a packet for a service that nobody translates', () => {
  test(
    'is dropped in FORWARD of the first node, counted, by both families; without the guard it loops',
    async () => {
      await using rack = await Rack.start('svc-loop')
      await rack.untilServiceAt({ ipv4: '10.96.0.0/16', ipv6: 'fd00:96::/112' }, NODES)
      for (const family of FAMILIES) {
        const address = UNUSED_IP[family]
        const counted = async (): Promise<number> => {
          const lists = await Promise.all(
            NODES.map((number) => rack.net.exec(nodeOf(number), TOOLS[family], ['-w', '-nvxL', 'fib-services'])),
          )
          return lists.reduce((sum, { stdout }) => sum + Number(/^\s*(\d+)\s.*DROP/m.exec(stdout)?.[1] ?? 0), 0)
        }
        {
          await using capture = await Capture.start(rack.net, 'tor', 'any', `udp port ${PORT}`)
          const before = await counted()
          await send(rack, 'client', address)
          await until('a node has dropped it', async () => (await counted()) === before + 1)
          await send(rack, 'client', ROUTER[family]) // the marker: whatever went before it has been captured when it has
          await until('the marker', async () => (await seen(capture, ROUTER[family])).length > 0)
          expect(await seen(capture, address)).toEqual([64, 63]) // in from the client, out to a node, and never back
        }
        // The same without the guard.
        for (const number of NODES) await rack.net.exec(nodeOf(number), TOOLS[family], ['-w', '-F', 'fib-services'])
        {
          await using capture = await Capture.start(rack.net, 'tor', 'any', `udp port ${PORT}`)
          await send(rack, 'client', address)
          const hops = await until('it has gone round', async () => {
            const all = await seen(capture, address)
            return all.length >= 8 ? all : null // tcpdump does not keep up with the rest
          })
          expect(hops.slice(0, 8)).toEqual([64, 63, 62, 61, 60, 59, 58, 57])
        }
      }
    },
    2 * MINUTES,
  )

  test(
    'from an endpoint of the cluster does not leave the node; the host reaches a ClusterIP, and a REJECT of kube-proxy comes first',
    async () => {
      await using rack = await Rack.start('svc-reject')
      await rack.endpoint(1)
      await rack.proxy(1, 1)
      await rack.proxy(2, 1)
      rack.service()
      rack.slices({ 1: 'ready' })
      await rack.untilServiceAt(VIP, NODES)
      expect((await rack.connect(nodeOf(1), '10.96.0.10'))[0]).toBe('e1')
      expect((await rack.connect(nodeOf(2), 'fd00:96::10'))[0]).toBe('e1')
      expect((await rack.connect('e2', '10.96.0.10'))[0]).toBe('e1')
      {
        await using capture = await Capture.start(rack.net, 'n3', 'eth0', `udp port ${PORT}`)
        await send(rack, 'e3', UNUSED_IP.ipv4)
        await send(rack, 'e3', '10.244.1.2') // the marker, which does leave
        await until('the marker', async () => (await seen(capture, '10.244.1.2')).length > 0)
        expect(await seen(capture, UNUSED_IP.ipv4)).toEqual([])
      }
      // In iptables mode kube-proxy rejects for want of endpoints in FORWARD, from a jump at its head.
      const reject = ['-w', '-I', 'FORWARD', '-d', VIP.ipv4, '-p', 'tcp', '-j', 'REJECT']
      for (const number of NODES) {
        await rack.proxy(number, null)
        await rack.net.exec(nodeOf(number), 'iptables', reject)
      }
      await expect(rack.connect('client', VIP.ipv4)).rejects.toThrow(/refused/i)
      for (const number of NODES) await rack.net.exec(nodeOf(number), 'iptables', reject.with(1, '-D'))
      await expect(rack.connect('client', VIP.ipv4, 3)).rejects.toThrow(/timed out/i) // our guard alone
    },
    2 * MINUTES,
  )
})
