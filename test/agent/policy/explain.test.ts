// `policy explain` from names to a verdict in words: pods, nodes, addresses and services of a store.
import { expect, test } from '@jest/globals'
import { explainPolicy } from '../../../src/agent/policy/index.ts'
import { MemoryStore } from '../../../src/store/index.ts'

const pod = (namespace: string, name: string, address: string, labels: Record<string, string> = {}) => ({
  apiVersion: 'v1' as const,
  kind: 'Pod' as const,
  metadata: { namespace, name, labels },
  spec: { nodeName: 'node-1', containers: [{ name: 'main', ports: [{ name: 'http', containerPort: 8080 }] }] },
  status: { phase: 'Running', podIPs: [{ ip: address }, { ip: `fd00::${address.split('.').at(-1)}` }] },
})

async function world(): Promise<MemoryStore> {
  const store = new MemoryStore()
  const objects = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'web', labels: { team: 'shop' } } },
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'db', labels: {} } },
    { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1' }, status: { addresses: [{ type: 'InternalIP', address: '10.0.0.11' }] } },
    pod('web', 'front', '10.244.0.1', { app: 'front' }),
    pod('db', 'store', '10.244.0.2', { app: 'store' }),
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { namespace: 'db', name: 'only-shop' },
      spec: {
        podSelector: { matchLabels: { app: 'store' } },
        ingress: [
          { from: [{ podSelector: {} }] },
          { from: [{ namespaceSelector: { matchLabels: { team: 'shop' } } }], ports: [{ port: 9999 }, { port: 'http' }] },
        ],
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace: 'db', name: 'store' },
      spec: { clusterIP: '10.96.0.9', ports: [{ name: 'web', port: 80, targetPort: 'http' }] },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { namespace: 'db', name: 'store-1', labels: { 'kubernetes.io/service-name': 'store' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.244.0.2'], conditions: { ready: true } }],
      ports: [{ name: 'web', port: 8080, protocol: 'TCP' }],
    },
  ]
  for (const object of objects) await store.create(object as unknown as Parameters<MemoryStore['create']>[0])
  return store
}

const IPV4_AND_IPV6 = 2

test('a rule admits: which one, item by item, in both families', async () => {
  await using store = await world()
  const { allowed, flows } = await explainPolicy(store, { from: 'web/front', to: 'db/store', port: 'http' })
  expect({ allowed, count: flows.length }).toEqual({ allowed: true, count: IPV4_AND_IPV6 })
  expect(flows[0]).toMatchObject({ source: '10.244.0.1', destination: '10.244.0.2', port: 8080, protocol: 'TCP' })
  expect(flows[0]?.stages.map(({ direction, pod: who, allowed: passes, reason }) => [direction, who, passes, reason])).toEqual([
    ['egress', 'web/front', true, 'no policy selects it'],
    ['ingress', 'db/store', true, 'NetworkPolicy/db/only-shop, ingress rule 2 (from item 1, port item 2), admits it'],
  ])
})

test('isolated: by whom', async () => {
  await using store = await world()
  const { allowed, flows } = await explainPolicy(store, { from: 'web/front', to: 'db/store', port: '22/TCP' })
  expect(allowed).toBe(false)
  expect(flows[0]?.stages[1]).toMatchObject({
    allowed: false,
    reason: 'isolated by NetworkPolicy/db/only-shop, and no ingress rule there admits it',
    decision: { kind: 'isolated', by: ['db/only-shop'] },
  })
})

test('a node, an address outside, and a service whose port is translated', async () => {
  await using store = await world()
  const fromNode = await explainPolicy(store, { from: 'node/node-1', to: 'db/store', port: '22' })
  expect(fromNode).toMatchObject({ allowed: true, flows: [{ stages: [{ decision: { kind: 'fromOwnNode' } }] }] })
  const fromOutside = await explainPolicy(store, { from: '192.0.2.7', to: 'service/db/store', port: '80' })
  expect(fromOutside).toMatchObject({ allowed: false, flows: [{ destination: '10.244.0.2', port: 8080 }] })
  const toService = await explainPolicy(store, { from: 'web/front', to: 'svc/db/store', port: '80' })
  expect(toService.allowed).toBe(true)
  const ping = await explainPolicy(store, { from: 'fd00::1', to: 'fd00::2', port: 'ICMP' })
  expect(ping.flows).toMatchObject([{ protocol: 'ICMPv6', port: null, allowed: false }])
})

test.each([
  ['web/nobody', 'db/store', '80', 'there is no pod "web/nobody": write NAMESPACE/POD, node/NAME or an address'],
  ['front', 'db/store', '80', 'there is no pod "default/front": is web/front meant?'],
  ['web/front', 'node/node-9', '80', 'there is no Node "node-9"'],
  ['web/front', 'service/db/other', '80', 'there is no Service "db/other"'],
  ['web/front', 'service/db/store', '81', 'Service db/store has no port 81/TCP; it has 80/TCP'],
  ['web/front', 'db/store', 'metrics/TCP', 'db/store has no container port named metrics/TCP; write its number'],
  ['web/front', 'db/store', '70000', '--port 70000: ports are 1 to 65535'],
  ['web/front', 'db/store', '80/GRE', '--port 80/GRE is not understood; write 80/TCP, 53/UDP, http/TCP or ICMP'],
  ['192.0.2.7', 'fd00::2', '80', '192.0.2.7 and fd00::2 have no addresses of one IP family'],
])('%s -> %s port %s: %s', async (from, to, port, message) => {
  await using store = await world()
  await expect(explainPolicy(store, { from, to, port })).rejects.toThrow(message)
})
