// The quick way to read objects of Kubernetes gives what their schemas give, or leaves the object to them.
import { describe, expect, test } from '@jest/globals'
import { KIND_NAMES, type KindName, kindInfo } from '../../../src/store/index.ts'
import { quickParse, UNSURE } from '../../../src/store/kubernetes/quick-parse.ts'
import { receive } from '../../../src/store/kubernetes/receive.ts'
import { parseResource } from '../../../src/store/validate.ts'

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

const metadata = {
  name: 'web-7d4b9c6f5d-x2x4z',
  namespace: 'team-1',
  uid: '5f1d7a84-0000-4000-8000-000000000001',
  resourceVersion: '1234',
  creationTimestamp: '2030-01-01T00:00:00Z',
  labels: { app: 'web', 'pod-template-hash': '7d4b9c6f5d' },
  annotations: { 'fibula.network/ip-addrs': '["10.0.0.1"]', 'kubectl.kubernetes.io/last-applied-configuration': 'x'.repeat(300) },
  managedFields: [{ manager: 'kubelet', operation: 'Update', fieldsV1: { 'f:status': {} } }],
  ownerReferences: [{ kind: 'ReplicaSet', name: 'web-7d4b9c6f5d' }],
}
const { namespace: _, ...clusterMetadata } = metadata

/** As an API server has them, with more in them than is read. */
const SAMPLES = {
  Pod: {
    metadata,
    spec: {
      nodeName: 'n1',
      hostNetwork: false,
      containers: [{ name: 'main', image: 'web:1', ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }, { containerPort: 1 }] }],
      initContainers: [{ name: 'side', restartPolicy: 'Always', ports: [] }],
      tolerations: [{ operator: 'Exists' }],
    },
    status: { phase: 'Running', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }], qosClass: 'Burstable' },
  },
  Node: {
    metadata: clusterMetadata,
    spec: { podCIDRs: ['10.0.0.0/24'], unschedulable: true, taints: [{ key: 'a', effect: 'NoSchedule' }] },
    status: {
      addresses: [{ type: 'InternalIP', address: '10.0.0.11' }],
      conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady' }],
      images: [{ names: ['a'], sizeBytes: 1 }],
    },
  },
  Service: {
    metadata,
    spec: {
      type: 'LoadBalancer',
      clusterIP: '10.96.0.10',
      clusterIPs: ['10.96.0.10'],
      ipFamilies: ['IPv4'],
      externalTrafficPolicy: 'Local',
      selector: { app: 'web' },
      ports: [
        { name: 'http', port: 80, targetPort: 'http', nodePort: 30_080 },
        { port: 443, protocol: 'TCP', targetPort: 8443 },
      ],
    },
    status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } },
  },
  EndpointSlice: {
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    endpoints: [
      {
        addresses: ['10.0.0.1'],
        conditions: { ready: true, serving: true, terminating: false },
        nodeName: 'n1',
        targetRef: { kind: 'Pod', name: 'web' },
      },
    ],
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  },
  Namespace: { metadata: clusterMetadata, spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } },
} satisfies { readonly [K in KindName]?: Json }
type SampleKind = keyof typeof SAMPLES
const SAMPLE_KINDS = Object.keys(SAMPLES) as SampleKind[] // the keys of an object literal

/** The schema's own word on an object of an API server. */
function bySchema(kind: KindName, raw: Json): unknown {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return 'refused'
  const parsed = parseResource({ ...raw, apiVersion: kindInfo(kind).apiVersion, kind })
  if (!parsed.ok) return 'refused'
  const { annotations } = parsed.value.metadata
  const short = Object.entries(annotations).filter(([key, value]) => value.length <= 256 || key.startsWith('fibula.network/'))
  return { ...parsed.value, metadata: { ...parsed.value.metadata, annotations: Object.fromEntries(short) } }
}

describe.each(SAMPLE_KINDS)('%s', (kind) => {
  test('an ordinary object is read the quick way, as its schema reads it, and frozen', () => {
    const quick = quickParse(kind, SAMPLES[kind])
    expect(quick).toEqual(bySchema(kind, SAMPLES[kind]))
    expect(Object.isFrozen(quick) && everythingFrozen(quick)).toBe(true)
    expect(receive(kind, SAMPLES[kind])).toEqual({ ok: true, value: quick })
  })

  test('an object with nothing but a name has all defaults', () => {
    const bare = { metadata: { name: 'a', ...(kindInfo(kind).scope === 'Namespaced' ? { namespace: 'default' } : {}) } }
    const raw = kind === 'EndpointSlice' ? { ...bare, addressType: 'IPv6' } : bare
    expect(quickParse(kind, raw)).toEqual(bySchema(kind, raw))
  })

  test('of 2,000 objects with something wrong, odd or missing it says what the schema says, or leaves them to it', () => {
    let sure = 0
    let refused = 0
    for (let seed = 1; seed <= 2_000; seed++) {
      const raw = spoilt(SAMPLES[kind], seed)
      const expected = bySchema(kind, raw)
      if (expected === 'refused') refused++
      const quick =
        typeof raw === 'object' && raw !== null && !Array.isArray(raw) ? quickParse(kind, raw as { [key: string]: Json }) : UNSURE
      if (quick === UNSURE) continue
      sure++
      expect({ seed, value: quick }).toEqual({ seed, value: expected })
    }
    expect(sure).toBeGreaterThan(200)
    expect(refused).toBeGreaterThan(200)
  })
})

test('equal texts of two objects are one text, and empty lists one list', () => {
  const [first, second] = [1, 2].map(() => receive('Pod', JSON.parse(JSON.stringify({ ...SAMPLES.Pod, status: {} }))))
  if (first?.ok !== true || second?.ok !== true || first.value.kind !== 'Pod' || second.value.kind !== 'Pod') throw new Error('refused')
  expect(first.value.status.podIPs).toBe(second.value.status.podIPs)
})

test('kinds of our own are left to their schemas', () => {
  for (const kind of KIND_NAMES.filter((each) => kindInfo(each).writer !== 'core')) {
    expect(quickParse(kind, { metadata: { name: 'a' }, spec: {} })).toBe(UNSURE)
  }
})

function everythingFrozen(value: unknown): boolean {
  return typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(everythingFrozen))
}

/** The value with one to three places changed. */
function spoilt(value: Json, seed: number): Json {
  let state = seed
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return (state >> 8) % below
  }
  const odd: readonly Json[] = [
    null,
    '',
    'x',
    0,
    -1,
    70_000,
    1.5,
    true,
    [],
    {},
    [null],
    { a: null },
    { a: 1 },
    'A B',
    'TCP',
    'Local',
    ['IPv4'],
  ]
  const pick = (): Json => odd[random(odd.length)] ?? null
  const change = (here: Json): Json => {
    if (Array.isArray(here)) {
      if (here.length === 0 || random(4) === 0) return random(2) === 0 ? [...here, pick()] : pick()
      const at = random(here.length)
      return here.map((item: Json, index) => (index === at ? change(item) : item))
    }
    if (typeof here === 'object' && here !== null) {
      const keys = Object.keys(here)
      const key = keys[random(Math.max(1, keys.length))]
      if (key === undefined) return { a: pick() }
      const { [key]: inside = null, ...others } = here as { readonly [key: string]: Json }
      const how = random(6)
      if (how === 0) return others
      if (how === 1) return { ...others, [key]: pick() }
      if (how === 2) return { ...others, [key]: inside, constructor: pick(), unknown: pick() }
      return { ...others, [key]: change(inside) }
    }
    return pick()
  }
  let result = value
  for (let turn = random(3); turn >= 0; turn--) result = change(result)
  return result
}
