// A first deny policy on a real kernel: pods reach each other, then not, then again; the counters and the explanation agree.
import { expect, test } from '@jest/globals'
import { until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { PROGRAMS, World } from '../agent/world.ts'

const DENY = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'deny', namespace: 'default' },
  spec: { podSelector: { matchLabels: { app: 'p2' } }, policyTypes: ['Ingress'] },
}
const NAMESPACE = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } }

describeWith(PROGRAMS, 'policy', () => {
  test('deny and allow again', async () => {
    await using world = await World.start('pol', { nodes: ['n1'], pods: ['p1', 'p2'] })
    const add = async (name: string) => {
      const { ips } = await world.node('n1').add({ ...world.call(name), pod: { namespace: 'default', name } })
      const [ipv4 = '', ipv6 = ''] = ips.map(({ address }) => address.split('/')[0])
      return { ipv4, ipv6 }
    }
    const [first, second] = [await add('p1'), await add('p2')]
    const podObject = (name: string, { ipv4, ipv6 }: { ipv4: string; ipv6: string }) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'default', labels: { app: name } },
      spec: { nodeName: 'n1', containers: [{ name: 'c' }] },
      status: { phase: 'Running', podIPs: [{ ip: ipv4 }, { ip: ipv6 }] },
    })
    await world.reaches('p1', second.ipv4)
    world.write('pods', [NAMESPACE, podObject('p1', first), podObject('p2', second)] as never)
    world.write('policy', [DENY] as never)
    const pings = (from: string, to: string): Promise<boolean> =>
      world.net.exec(from, 'ping', ['-n', '-q', '-c', '1', '-W', '1', to]).then(
        () => true,
        () => false,
      )
    await until('p2 is closed', async () => !(await pings('p1', second.ipv4)), { explain: () => world.node('n1').log() })
    await until('by IPv6, too', async () => !(await pings('p1', second.ipv6)), { explain: () => world.node('n1').log() })
    await until('p2 speaks', () => pings('p2', first.ipv4))
    await until('the node reaches it', () => pings('n1', second.ipv4))
    const explained = await world.ask<{ allowed: boolean }>('n1', 'GET', '/v1/policy/explain?from=p1&to=p2&port=80')
    expect(explained.allowed).toBe(false)
    type Shown = {
      readonly name: string
      readonly ingress: { readonly droppedPackets: number; readonly networkPolicies: readonly string[] }
    }
    const shown = async () => (await world.ask<readonly Shown[]>('n1', 'GET', '/v1/policy/pods')).find(({ name }) => name === 'p2')?.ingress
    expect((await shown())?.networkPolicies).toEqual(['default/deny'])
    await until('both drops are counted', async () => ((await shown())?.droppedPackets ?? 0) >= 2)
    world.write('policy', [])
    await until('p2 is open', () => pings('p1', second.ipv4), { explain: () => world.node('n1').log() })
  })
})
