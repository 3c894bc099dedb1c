// `policy explain` from names to a verdict in words: pods, nodes, addresses and services of a store.
import { describe, expect, test } from '@jest/globals'
import { explainPolicy, type Standpoint } from '../../../src/agent/policy/index.ts'
import { ip } from '../../../src/net/index.ts'
import { MemoryStore, StoreError } from '../../../src/store/index.ts'

const pod = (namespace: string, name: string, address: string, labels: Record<string, string> = {}) => ({
  apiVersion: 'v1' as const,
  kind: 'Pod' as const,
  metadata: { namespace, name, labels },
  spec: { nodeName: 'node-1', containers: [{ name: 'main', ports: [{ name: 'http', containerPort: 8080 }] }] },
  status: { phase: 'Running', podIPs: [{ ip: address }, { ip: `fd00::${address.split('.').at(-1)}` }] },
})

/** `more` are objects beside those that all tests have. */
async function world(more: readonly object[] = []): Promise<MemoryStore> {
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
    ...more,
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
  ['web/front', 'db/store', '80/TCP/x', '--port 80/TCP/x is not understood; write 80/TCP, 53/UDP, http/TCP or ICMP'],
  ['web/front', 'db/store', 'ICMP/8', '--port ICMP/8 is not understood; write 80/TCP, 53/UDP, http/TCP or ICMP'],
  ['web/front', 'db/store', 'Http!', '--port Http! is not understood; write 80/TCP, 53/UDP, http/TCP or ICMP'],
  ['web/front', 'db/store', '0', '--port 0: ports are 1 to 65535'],
  ['web/front', 'db/store', 'http/UDP', 'db/store has no container port named http/UDP; write its number'],
  ['web/front/x', 'db/store', '80', 'there is no pod "web/front": is web/front meant?'],
  ['192.0.2.7', 'fd00::2', '80', '192.0.2.7 and fd00::2 have no addresses of one IP family'],
])('%s -> %s port %s: %s', async (from, to, port, message) => {
  await using store = await world()
  const code = message.startsWith('--port') ? 'USAGE' : 'NOT_FOUND'
  await expect(explainPolicy(store, { from, to, port })).rejects.toMatchObject({ message, code })
})

test('a pod may be written as kubectl writes it', async () => {
  await using store = await world()
  const { flows } = await explainPolicy(store, { from: 'pod/web/front', to: 'pod/db/store', port: '9999' })
  expect(flows).toMatchObject([{ source: '10.244.0.1', destination: '10.244.0.2', allowed: true }, { source: 'fd00::1' }])
})

test('ports of one name are told apart by their protocol', async () => {
  const ports = [
    { name: 'dns', protocol: 'TCP', containerPort: 5300 },
    { name: 'dns', protocol: 'UDP', containerPort: 5353 },
  ]
  const dns = pod('db', 'dns', '10.244.0.3')
  await using store = await world([{ ...dns, spec: { nodeName: 'node-1', containers: [{ name: 'main', ports }] } }])
  const toDns = async (port: string) => (await explainPolicy(store, { from: 'web/front', to: 'db/dns', port })).flows[0]?.port
  expect([await toDns('dns/UDP'), await toDns('dns')]).toEqual([5353, 5300])
})

describe('ClusterNetworkPolicies', () => {
  const policy = (name: string, priority: number, action: string, peer: object) => ({
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name },
    spec: { tier: 'Admin', priority, subject: { namespaces: { matchLabels: {} } }, ingress: [{ name: 'from-web', action, from: [peer] }] },
  })
  const FROM_SHOP = { namespaces: { matchLabels: { team: 'shop' } } }

  test('the rule that decides, and those that passed it on', async () => {
    await using store = await world([policy('deny', 2, 'Deny', FROM_SHOP), policy('pass', 1, 'Pass', FROM_SHOP)])
    const passed = await explainPolicy(store, { from: 'web/front', to: 'db/store', port: '22' })
    expect(passed.flows[0]?.stages[1]).toMatchObject({
      decision: { kind: 'isolated' },
      passedBy: ['ClusterNetworkPolicy/pass (Admin), rule 1 "from-web": Pass'],
    })
    await store.delete('ClusterNetworkPolicy', { name: 'pass' })
    const denied = await explainPolicy(store, { from: 'web/front', to: 'db/store', port: '9999' })
    expect(denied.flows[0]?.stages[1]).toMatchObject({
      reason: 'ClusterNetworkPolicy/deny (Admin), ingress rule 1 "from-web" (from item 1): Deny',
      passedBy: [],
    })
  })

  test.each([
    ['an API server that does not serve them has none', 'NOT_FOUND', true],
    ['one that is away is an error', 'UNAVAILABLE', false],
  ] as const)('%s', async (_, code, isAnswered) => {
    await using store = await world()
    const list = store.list.bind(store)
    store.list = (selection, signal) =>
      selection.kind === 'ClusterNetworkPolicy' ? Promise.reject(new StoreError(code, 'no')) : list(selection, signal)
    const explained = explainPolicy(store, { from: 'web/front', to: 'db/store', port: '9999' })
    if (isAnswered) expect(await explained).toMatchObject({ allowed: true })
    else await expect(explained).rejects.toMatchObject({ code })
  })
})

describe('a service', () => {
  const slice = (name: string, endpoints: readonly object[], over: object = {}) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { namespace: 'db', name, labels: { 'kubernetes.io/service-name': 'dns' } },
    addressType: 'IPv4',
    endpoints,
    ports: [{ name: 'dns', port: 5353, protocol: 'UDP' }],
    ...over,
  })
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace: 'db', name: 'dns' },
    spec: {
      clusterIP: '10.96.0.10',
      ports: [
        { name: 'dns-tcp', port: 53, protocol: 'TCP' },
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'metrics', port: 9153, protocol: 'TCP' },
      ],
    },
  }
  const toDns = async (store: MemoryStore, port: string): Promise<readonly string[]> => {
    const { flows } = await explainPolicy(store, { from: 'web/front', to: 'service/db/dns', port })
    return flows.map(({ destination, port: number, protocol }) => `${destination} ${number}/${protocol}`)
  }

  test('endpoints that are not ready are left out; those that do not say are ready', async () => {
    const endpoints = [
      { addresses: ['10.244.0.4'], conditions: { ready: false } },
      { addresses: ['10.244.0.5'], conditions: { ready: true } },
      { addresses: ['10.244.0.6'], conditions: {} },
      { addresses: ['10.244.0.7'], conditions: { ready: false, serving: true, terminating: true } },
    ]
    await using store = await world([service, slice('dns-1', endpoints)])
    expect(await toDns(store, '53/UDP')).toEqual(['10.244.0.5 5353/UDP', '10.244.0.6 5353/UDP'])
    expect(await toDns(store, 'dns/UDP')).toEqual(['10.244.0.5 5353/UDP', '10.244.0.6 5353/UDP'])
  })

  test('endpoints of all its slices that have the port, and of no other service', async () => {
    const other = { metadata: { namespace: 'db', name: 'other', labels: { 'kubernetes.io/service-name': 'other' } } }
    await using store = await world([
      service,
      slice('dns-1', [{ addresses: ['10.244.0.5'] }]),
      slice('dns-2', [{ addresses: ['10.244.0.6'] }], {
        ports: [
          { name: 'other', port: 1 },
          { name: 'metrics', port: 9153 },
        ],
      }),
      slice('dns-3', [{ addresses: ['fd00::7'] }], { addressType: 'IPv6' }),
      slice('other', [{ addresses: ['10.244.0.8'] }], other),
    ])
    expect(await toDns(store, '53/udp')).toEqual(['10.244.0.5 5353/UDP', 'fd00::7 5353/UDP'])
    expect(await toDns(store, '9153')).toEqual(['10.244.0.6 9153/TCP'])
  })

  test('it is allowed if each of its endpoints is', async () => {
    const allowedTo = async (...addresses: readonly string[]) => {
      await using store = await world([service, slice('dns-1', [{ addresses }])])
      return (await explainPolicy(store, { from: '192.0.2.7', to: 'service/db/dns', port: '53/UDP' })).allowed
    }
    expect([await allowedTo('10.244.0.9'), await allowedTo('10.244.0.9', '10.244.0.2')]).toEqual([true, false])
  })

  test('a pod that reaches itself by a service is judged as any other', async () => {
    await using store = await world()
    const direct = await explainPolicy(store, { from: 'db/store', to: 'db/store', port: '8080' })
    expect(direct.flows[0]?.stages).toMatchObject([{ decision: { kind: 'self' } }, { decision: { kind: 'self' } }])
    const translated = await explainPolicy(store, { from: 'db/store', to: 'service/db/store', port: '80' })
    expect(translated.flows[0]?.stages).toMatchObject([{ decision: { kind: 'default' } }, { decision: { kind: 'networkPolicy', rule: 0 } }])
  })

  test('none is ready', async () => {
    await using store = await world([service, slice('dns-1', [{ addresses: ['10.244.0.4'], conditions: { ready: false } }])])
    await expect(toDns(store, '53/UDP')).rejects.toThrow('Service db/dns has no ready endpoint for port 53/UDP')
  })
})

describe('seen by the agent of a node', () => {
  /** `db/store` has another address here than its status shows, as while its address has not been reported yet. */
  const own = { interface: 'fib1', pod: { namespace: 'db', name: 'store', uid: null }, addresses: [ip('10.244.9.9')] }
  const front = { interface: 'fib2', pod: { namespace: 'web', name: 'front', uid: null }, addresses: [ip('10.244.0.1')] }
  const standpoint: Standpoint = { node: 'node-1', missingPods: 'deny', ownNodeEgress: 'allow', endpoints: [front, own] }

  test('what it gave its own pod beats what the status of the pod shows, at either end', async () => {
    await using store = await world()
    const to = await explainPolicy(store, { from: 'web/front', to: 'db/store', port: '22' }, standpoint)
    expect(to.flows).toMatchObject([{ destination: '10.244.9.9', allowed: false, stages: [{ pod: 'web/front' }, { pod: 'db/store' }] }])
    const from = await explainPolicy(store, { from: 'db/store', to: '192.0.2.7', port: '22' }, standpoint)
    expect(from.flows).toMatchObject([{ source: '10.244.9.9', stages: [{ direction: 'egress', pod: 'db/store' }] }])
    const byPort = await explainPolicy(store, { from: 'web/front', to: 'db/store', port: 'http' }, standpoint)
    expect(byPort.flows).toMatchObject([{ destination: '10.244.9.9', port: 8080, allowed: true }])
  })

  test('a pod of the same name in another namespace is another', async () => {
    const stranger = { ...own, pod: { namespace: 'web', name: 'store', uid: null } }
    await using store = await world()
    const { flows } = await explainPolicy(
      store,
      { from: 'web/front', to: 'db/store', port: '22' },
      { ...standpoint, endpoints: [front, stranger] },
    )
    expect(flows.map(({ destination }) => destination)).toEqual(['10.244.0.2'])
  })
})

test('a node is known by its annotated addresses too, which its status need not show', async () => {
  const node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: 'node-2',
      annotations: { 'fibula.network/ipv4-address': '10.0.1.12/32', 'fibula.network/ipv6-address': 'fd00:1::12/128' },
    },
  }
  const guarded = pod('db', 'guarded', '10.244.0.3', { app: 'store' })
  await using store = await world([node, { ...guarded, spec: { ...guarded.spec, nodeName: 'node-2' } }])
  const { flows } = await explainPolicy(store, { from: 'node/node-2', to: 'db/store', port: '22' })
  expect(flows.map(({ source }) => source)).toEqual(['10.0.1.12', 'fd00:1::12'])
  const own = await explainPolicy(store, { from: '10.0.1.12', to: '10.244.0.3', port: '22' })
  expect(own).toMatchObject({ allowed: true, flows: [{ stages: [{ decision: { kind: 'fromOwnNode' } }] }] })
})
