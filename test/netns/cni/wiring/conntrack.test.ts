// Connections of a released address are forgotten, and no others.
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { Conntrack } from '../../../../src/cni/wiring/conntrack.ts'
import { ip } from '../../../../src/net/index.ts'
import { countConnections, readConnectionCount } from '../../../../src/sys/ctnetlink.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from '../../../../src/sys/netlink-socket.ts'
import { Rtnetlink } from '../../../../src/sys/rtnetlink/index.ts'
import { describeWith } from '../../../support/tier.ts'
import { linkOf, openNode, type WiringNode } from './harness.ts'

const POD = ['10.244.0.1', 'fd00:244::1'] as const

describeWith(['ip', 'conntrack'], 'connections of released addresses', () => {
  let node: WiringNode
  beforeEach(async () => {
    node = await openNode(['a'])
  })
  afterEach(async () => {
    await node[Symbol.asyncDispose]()
  })

  /** A connection from port 1000; by NAT its answers may come from, or go to, other addresses than it was made with. */
  const remember = (
    port: number,
    source: string,
    destination: string,
    answers = { source: destination, destination: source },
  ): Promise<unknown> =>
    node.net.exec('host', 'conntrack', [
      '-I',
      '-p',
      'udp',
      '-t',
      '300',
      '--sport',
      '1000',
      '--dport',
      `${port}`,
      '-s',
      source,
      '-d',
      destination,
      '-r',
      answers.source,
      '-q',
      answers.destination,
      '--reply-port-src',
      `${port}`,
      '--reply-port-dst',
      '1000',
    ])
  /** Ports of the connections that are left. */
  const ports = async (): Promise<readonly number[]> => {
    const listed = await Promise.all(
      ['ipv4', 'ipv6'].map((family) => node.net.exec('host', 'conntrack', ['-L', '-p', 'udp', '-f', family])),
    )
    return listed
      .flatMap(({ stdout }) => [...stdout.matchAll(/dport=(\d+)/g)].map(([, port]) => Number(port)))
      .filter((port) => port < 1000)
  }

  test('from it, to it, behind a service, masqueraded; both families, with detach', async () => {
    const link = linkOf(node.net, 'a', 1)
    await node.wire(link)
    await remember(1, POD[0], '203.0.113.5')
    await remember(2, '203.0.113.5', POD[0])
    await remember(3, '203.0.113.5', '10.96.0.1', { source: POD[0], destination: '203.0.113.5' })
    await remember(4, POD[0], '203.0.113.6', { source: '203.0.113.6', destination: '192.0.2.1' })
    await remember(5, POD[1], '2001:db8::5')
    await remember(6, '2001:db8::5', '2001:db8:96::1', { source: POD[1], destination: '2001:db8::5' })
    await remember(11, '10.244.0.11', '203.0.113.5')
    await remember(12, 'fd00:244::11', '2001:db8::5')
    await remember(13, '203.0.113.5', '10.96.0.1', { source: '10.244.0.11', destination: '203.0.113.5' })
    expect((await ports()).toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 11, 12, 13])
    expect(node.inNode(() => node.links.detach([link]))).toEqual([])
    expect((await ports()).toSorted((a, b) => a - b)).toEqual([11, 12, 13])
    expect(node.inNode(() => node.links.detach([link]))).toEqual([])
  })

  test('with the lists that the kernel filters, as where there are many connections', async () => {
    await remember(1, POD[0], '203.0.113.5')
    await remember(2, '203.0.113.5', '10.96.0.1', { source: POD[0], destination: '203.0.113.5' })
    await remember(3, POD[1], '2001:db8::5')
    await remember(4, '2001:db8::5', POD[1])
    await remember(11, '10.244.0.11', '203.0.113.5')
    await remember(12, 'fd00:244::11', '2001:db8::5')
    using conntrack = node.inNode(() => {
      const opened = new Conntrack({ connectionsPerList: -1 })
      expect(opened.forget(POD.map(ip))).toEqual([])
      return opened
    })
    expect((await ports()).toSorted((a, b) => a - b)).toEqual([11, 12])
    expect(conntrack.forget([])).toEqual([])
  })

  test('the kernel says how many connections there are', async () => {
    const count = (): number =>
      node.inNode(() => {
        using netlink = new Rtnetlink(new NetlinkSocket({ protocol: NETLINK_NETFILTER }))
        let seen = -1
        netlink.ask(countConnections(), (view, _type, _flags, from, to) => {
          seen = readConnectionCount(view, from, to) ?? seen
        })
        return seen
      })
    const before = count()
    await remember(1, POD[0], '203.0.113.5')
    await remember(2, POD[1], '2001:db8::5')
    expect(count()).toBe(before + 2)
  })
})
