// Packets, not tables: a route that changes its next hops must never be away, not for one packet (make before break), and an
// IPv4 route via an IPv6 next hop must carry IPv4 (RFC 8950).
import { expect, test } from '@jest/globals'
import { type IpFamily, ip } from '../../../src/net/index.ts'
import { CREATE, REPLACE } from '../../../src/routes/backend.ts'
import { NetlinkRouteBackend } from '../../../src/routes/index.ts'
import { type NextHop, type RouteBody, unicast } from '../../../src/routes/route.ts'
import { buildNetns } from '../../support/netns.ts'
import { columns } from '../../support/route-backend-contract.ts'

const TARGET = { 4: '203.0.113.1', 6: '2001:db8:a::1' } as const

test.each<[string, IpFamily, (hop: (gateway: string, link: number) => NextHop) => readonly RouteBody[]]>([
  [
    'IPv4',
    4,
    (hop) => [
      unicast([hop('10.0.0.2', 0)], null),
      unicast([hop('10.0.0.2', 0), hop('10.0.1.2', 1)], null),
      unicast([hop('10.0.1.2', 1)], null),
    ],
  ],
  [
    'IPv6',
    6,
    (hop) => [
      unicast([hop('fd00::2', 0)], null),
      unicast([hop('fd00::2', 0), hop('fd01::2', 1)], null),
      unicast([hop('fd01::2', 1)], null),
    ],
  ],
  [
    'IPv4 via IPv6',
    4,
    (hop) => [
      unicast([hop('fd00::2', 0)], null),
      unicast([hop('fd00::2', 0), hop('10.0.1.2', 1)], null),
      unicast([hop('fd01::2', 1)], null),
    ],
  ],
])('%s: changing next hops all the time under ping loses no packet', async (_name, family, bodiesOf) => {
  await using net = await buildNetns('traffic', {
    nodes: ['host', 'router'],
    links: [
      [
        { node: 'host', name: 'eth0', addresses: ['10.0.0.1/24', 'fd00::1/64'] },
        { node: 'router', name: 'eth0', addresses: ['10.0.0.2/24', 'fd00::2/64'] },
      ],
      [
        { node: 'host', name: 'eth1', addresses: ['10.0.1.1/24', 'fd01::1/64'] },
        { node: 'router', name: 'eth1', addresses: ['10.0.1.2/24', 'fd01::2/64'] },
      ],
    ],
  })
  await net.ipBatch('router', [`address add ${TARGET[4]}/32 dev lo`, `address add ${TARGET[6]}/128 dev lo nodad`])
  using backend = net.run('host', () => new NetlinkRouteBackend())
  const index = (name: string): number => backend.listLinks().links.find((link) => link.name === name)?.index ?? 0
  const links = [index('eth0'), index('eth1')]
  const bodies = bodiesOf((gateway, link) => ({ gateway: ip(gateway), interfaceIndex: links[link] ?? 0, onlink: false }))
  const prefix = family === 4 ? `${TARGET[4]}/32` : `${TARGET[6]}/128`
  const write = (operation: typeof CREATE | typeof REPLACE, body: RouteBody | undefined): void => {
    const { failures } = backend.write(columns(family, [{ operation, prefix, ...(body === undefined ? {} : { body }) }]))
    if (failures.length > 0) throw new Error(`refused: ${JSON.stringify(failures)}`)
  }
  write(CREATE, bodies[0])
  await net.exec('host', 'ping', ['-c1', '-W10', TARGET[family]])
  for (let changes = 0; changes <= 100; ) {
    let isOver = false
    const ping = net.exec('host', 'ping', ['-q', '-i', '0.002', '-c', '500', '-W', '10', TARGET[family]]).finally(() => {
      isOver = true
    })
    while (!isOver) {
      for (let burst = 0; burst < 20; burst++) write(REPLACE, bodies[++changes % bodies.length])
      await new Promise((resolve) => {
        setTimeout(resolve, 5)
      })
    }
    const { stdout } = await ping
    expect(stdout).toContain('500 packets transmitted, 500 received')
  }
})
