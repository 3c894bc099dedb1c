// Packets that are not the first of a connection, or not whole: fragments go the way of the datagram that they are of, and errors the way of
// the connection that they are about.
import { expect, test } from '@jest/globals'
import type { ClusterState } from '../../policy/state.ts'
import { until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { PolicyCluster, PROGRAMS } from './cluster.ts'
import type { Probe } from './prober.ts'

const PODS = { 'x/server': 'n1', 'x/friend': 'n1', 'x/far': 'n2', 'x/stranger': 'n2' }
/** More than two packets of the usual MTU. */
const OCTETS = 4_000

const labelled = (...apps: readonly string[]): object => ({
  podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: apps }] },
})

/** The server admits its friends by UDP to one port; these in turn admit nobody. */
function state(hasPolicy: boolean): ClusterState {
  const policy = (name: string, spec: object): object => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name, namespace: 'x' },
    spec: { policyTypes: ['Ingress'], ...spec },
  })
  const ports = [{ protocol: 'UDP', port: 80, endPort: 90 }]
  const server = { podSelector: { matchLabels: { app: 'server' } }, ingress: [{ from: [labelled('friend', 'far')], ports }] }
  return {
    namespaces: { x: {} },
    pods: Object.fromEntries(Object.keys(PODS).map((key) => [key, { labels: { app: key.split('/')[1] ?? '' } }])),
    policies: hasPolicy
      ? [
          policy('server', server),
          policy('friends', { podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['friend', 'far'] }] } }),
        ]
      : [],
  }
}

describeWith(PROGRAMS, 'packets', () => {
  test('fragments follow the verdict on their datagram, errors that on their connection [policy 60, 61]', async () => {
    await using cluster = await PolicyCluster.start('pkt', { nodes: ['n1', 'n2'], pods: PODS, ports: { tcp: [80], udp: [80, 91] } })
    const server = Object.values(cluster.addressesOf('x/server'))
    const probes = ['x/friend', 'x/far', 'x/stranger'].flatMap((from) =>
      [80, 91].flatMap((port) => server.map((address): Probe => ({ from, to: 'x/server', address, protocol: 'UDP', port }))),
    )
    const whole = { octets: OCTETS }
    await cluster.meet(probes, whole)
    /** Datagrams that came in pieces, as the far pod's node sent them. */
    const fragments = async (): Promise<number> => {
      const { stdout } = await cluster.world.net.exec('x-far', 'cat', ['/proc/net/snmp'])
      const [names = '', values = ''] = stdout.split('\n').filter((line) => line.startsWith('Ip:'))
      return Number(values.split(' ')[names.split(' ').indexOf('FragCreates')])
    }
    expect(await fragments()).toBeGreaterThan(0)
    await cluster.apply(state(true))
    const expected = probes.map(({ from, port }) => from !== 'x/stranger' && port === 80)
    expect(await cluster.differences(probes, expected, whole)).toEqual([])
    expect(await cluster.differences(probes, expected)).toEqual([])

    // Nobody listens there: the server's kernel says so, and the friend, who admits nobody, hears of it; who may not ask hears nothing.
    const isRefused = async (from: string, address: string): Promise<boolean> => {
      const family = address.includes(':') ? 'AF_INET6' : 'AF_INET'
      const program = [
        'import socket, sys',
        `s = socket.socket(socket.${family}, socket.SOCK_DGRAM)`,
        's.settimeout(1)',
        `s.connect(("${address}", 85))`,
        's.send(b"anybody?")',
        'try: s.recv(10)',
        'except ConnectionRefusedError: sys.exit(0)',
        'except TimeoutError: sys.exit(3)',
      ]
      return cluster.world.net.exec(from, 'python3', ['-c', program.join('\n')]).then(
        () => true,
        () => false,
      )
    }
    for (const address of server) {
      for (const from of ['x-friend', 'x-far']) await until(`${from} is refused at ${address}`, () => isRefused(from, address))
      expect([address, await isRefused('x-stranger', address)]).toEqual([address, false])
    }
  })
})
