// The kinds as a whole: what DESIGN promises of every schema, and the defaults.
import { describe, expect, test } from '@jest/globals'
import { z } from 'zod'
import {
  BGP_CONFIGURATION_DEFAULTS,
  blockNodeLabelValue,
  borrowerLabel,
  findKind,
  GROUP_VERSION,
  IPAM_CONFIGURATION_DEFAULTS,
  KIND_NAMES,
  kindInfo,
  parseManifests,
  parseResource,
  poolBlockSize,
  type Resource,
  secretValue,
} from '../../src/store/index.ts'
import { isLabelKey, isLabelValue } from '../../src/store/kinds/names.ts'
import { OTHER_NAMES } from '../../src/store/other-names.ts'
import { block, configuration, filter, node, peer, pool, secret } from './objects.ts'

type JsonSchema = {
  readonly type?: string
  readonly description?: string
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly items?: JsonSchema
  readonly additionalProperties?: boolean | JsonSchema
}

function parsed(object: unknown): Resource {
  const result = parseResource(object)
  if (!result.ok) throw new Error(JSON.stringify(result.error))
  return result.value
}

/** Every field below `schema`, by path. */
function* fieldsOf(schema: JsonSchema, path = ''): Generator<readonly [string, JsonSchema]> {
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    yield [`${path}.${name}`, field]
    yield* fieldsOf(field, `${path}.${name}`)
  }
  if (schema.items !== undefined) yield* fieldsOf(schema.items, `${path}[]`)
}

const OWN = KIND_NAMES.map(kindInfo).filter(({ writer }) => writer !== 'core')

describe.each(OWN)('$kind', ({ schema, writer, columns }) => {
  const json = z.toJSONSchema(schema, { io: 'input' }) as JsonSchema // throws for what JSON Schema cannot say

  test('every field of spec and status is described for kubectl explain', () => {
    const spec = [...fieldsOf(json.properties?.['spec'] ?? {}, 'spec'), ...fieldsOf(json.properties?.['status'] ?? {}, 'status')]
    const silent = spec.filter(
      ([path, { description }]) =>
        !/\.capabilities\.|\.sessions\.(configured|established)$|\.prefixes\.IPv/.test(path) && !/^[A-Z].*\.$/.test(description ?? ''),
    )
    expect(silent.map(([path]) => path)).toEqual([])
  })

  test('unknown fields are refused where people write, kept where machines write', () => {
    expect(json.additionalProperties).toBe(false)
    const spec = json.properties?.['spec']
    const open = [['spec', spec ?? {}] as const, ...fieldsOf(spec ?? {}, 'spec')].filter(
      ([, field]) => field.type === 'object' && field.properties !== undefined && field.additionalProperties !== false,
    )
    if (writer === 'user') expect(open.map(([path]) => path)).toEqual([])
    else expect(open.map(([path]) => path)).toContain('spec')
  })

  test('columns point at fields that exist', () => {
    const known = new Set([...fieldsOf(json)].map(([path]) => path.replaceAll('[]', '[*]')))
    for (const { path } of columns) {
      const plain = path.replace(/\[\?[^\]]*\]/g, '[*]') // one item of a list is as good as all
      expect([...known].some((field) => field === plain || field === `${plain}[*]`)).toBe(true)
    }
  })
})

test.each(KIND_NAMES.map(kindInfo))('$kind is found by all its names, in any case', ({ kind, plural, singular, shortNames }) => {
  for (const name of [kind, plural, singular, ...shortNames]) {
    expect(findKind(name)).toBe(kind)
    expect(findKind(name.toUpperCase())).toBe(kind)
  }
})

test('what is said of names from elsewhere is not said of fields that exist', () => {
  for (const kind of KIND_NAMES) {
    const json = z.toJSONSchema(kindInfo(kind).schema, { io: 'input' }) as JsonSchema
    const names = new Set([...fieldsOf(json.properties?.['spec'] ?? {})].map(([path]) => path.replace(/^\./, '')))
    for (const name of Object.keys(OTHER_NAMES[kind] ?? {})) expect(names).not.toContain(name)
  }
})

test('no two kinds share a name', () => {
  const names = KIND_NAMES.map(kindInfo).flatMap(({ plural, singular, shortNames }) => [plural, singular, ...shortNames])
  expect(new Set(names).size).toBe(names.length)
})

describe('defaults', () => {
  test('BGPPeer', () => {
    expect(parsed(peer('a'))).toMatchObject({
      spec: {
        sourceAddress: 'Auto',
        reversePeering: 'Auto',
        passive: false,
        filters: [],
        nextHopMode: 'Auto',
        allowLocalAS: 0,
        enforceFirstAS: true,
        extendedNextHop: false,
      },
    })
    expect(parsed(peer('a', { maxPrefixes: { ipv4: 5 }, addPath: {}, shutdown: {} }))).toMatchObject({
      spec: { maxPrefixes: { ipv4: 5, warnAtPercent: 75 }, addPath: { receive: false, send: 0 }, shutdown: { message: '' } },
    })
  })

  test('IPPool', () => {
    expect(parsed(pool('a', '10.0.0.0/16'))).toMatchObject({
      spec: {
        ipipMode: 'Never',
        natOutgoing: false,
        disabled: false,
        disableBGPExport: false,
        allowedUses: ['Workload', 'Tunnel'],
        assignmentMode: 'Automatic',
      },
    })
    expect(poolBlockSize({ cidr: '10.0.0.0/16' })).toBe(26)
    expect(poolBlockSize({ cidr: 'fd00::/64' })).toBe(122)
    expect(poolBlockSize({ cidr: 'fd00::/64', blockSize: 120 })).toBe(120)
  })

  test('an IPv6 pool may tunnel', () => {
    expect(parsed(pool('a', 'fd00::/64', { ipipMode: 'CrossSubnet' }))).toMatchObject({ spec: { ipipMode: 'CrossSubnet' } })
  })

  test('IPAMConfiguration; absent, the same holds', () => {
    const manifest = { apiVersion: GROUP_VERSION, kind: 'IPAMConfiguration', metadata: { name: 'default' }, spec: {} }
    expect(parsed(manifest)).toMatchObject({ spec: { strictAffinity: false, ipCooldown: '30s' } })
    expect(IPAM_CONFIGURATION_DEFAULTS).toEqual({ strictAffinity: false, ipCooldown: '30s' })
  })

  test('a block of an older version: no reserve, nothing released, allocations without sequence', () => {
    const old = block('10.0.0.0/26', 'n1', { allocations: [{ address: '10.0.0.1', handle: 'h' }] })
    expect(parsed(old)).toMatchObject({ spec: { reserves: [], released: [], allocations: [{ address: '10.0.0.1', sequence: 0 }] } })
  })

  test('the labels of a block are labels, whatever the names of nodes', () => {
    const long = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}`
    expect(isLabelKey(borrowerLabel(long))).toBe(true)
    expect(borrowerLabel('n1')).not.toBe(borrowerLabel('n2'))
    expect(isLabelValue(blockNodeLabelValue(long))).toBe(true)
    expect(blockNodeLabelValue(long)).not.toBe(blockNodeLabelValue(`${long}d`))
    expect(blockNodeLabelValue('n1')).toBe('n1')
  })

  test('BGPConfiguration has none in its schema: an absent field must not override', () => {
    expect(parsed(configuration('default', {}))).toMatchObject({ spec: {} })
    expect(Object.keys((parsed(configuration('default', {})) as { spec: object }).spec)).toEqual([])
    expect(BGP_CONFIGURATION_DEFAULTS).toMatchObject({
      asNumber: 64_512,
      mode: 'Host',
      listenPort: 179,
      holdTime: '90s',
      maximumPaths: 16,
      installRoutes: true,
    })
  })

  test('a filter without rules, a block without allocations, a node without anything', () => {
    expect(parsed(filter('a', {}))).toMatchObject({ spec: { importV4: [], exportV4: [], importV6: [], exportV6: [] } })
    expect(parsed(block('10.0.0.0/26', 'n1'))).toMatchObject({ spec: { state: 'Confirmed', allocations: [] } })
    expect(parsed({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' } })).toMatchObject({
      metadata: { labels: {}, annotations: {} },
      status: { addresses: [] },
    })
  })

  test('a namespaced object without namespace is in default', () => {
    expect(parsed({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } }).metadata.namespace).toBe('default')
    expect(parsed(node('n1')).metadata.namespace).toBeUndefined()
  })
})

test('a field without a value counts as not written', () => {
  const text =
    'apiVersion: fibula.network/v1alpha1\nkind: BGPPeer\nmetadata: { name: a, labels: }\nspec:\n  peerIP: 10.0.0.1\n  asNumber: 1\n  node:\n  gracefulRestart: { restartTime: }\n'
  const [manifest] = parseManifests(text, 'a.yaml').manifests
  expect(manifest?.result).toMatchObject({ ok: true })
})

test('what a cluster adds to its objects is accepted: kubectl get -o yaml may be saved', () => {
  const saved = {
    ...peer('a'),
    metadata: {
      name: 'a',
      uid: 'x',
      resourceVersion: '1',
      generation: 2,
      creationTimestamp: '2030-01-01T00:00:00Z',
      managedFields: [{ manager: 'kubectl' }],
      ownerReferences: [],
      finalizers: ['x'],
      selfLink: '/x',
    },
    status: { sessions: [], conditions: [], addedLater: 1 },
  }
  expect(parseResource(saved).ok).toBe(true)
})

test('core objects keep what we read and drop the rest', () => {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a', managedFields: [{}] },
    spec: { nodeName: 'n1', volumes: [{ name: 'v' }], containers: [{ name: 'c', image: 'i', ports: [{ containerPort: 80 }] }] },
    status: { podIPs: [{ ip: '10.0.0.1' }], qosClass: 'x' },
  }
  expect(parsed(pod)).toEqual({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a', namespace: 'default', labels: {}, annotations: {} },
    spec: {
      nodeName: 'n1',
      hostNetwork: false,
      containers: [{ name: 'c', ports: [{ containerPort: 80, protocol: 'TCP' }] }],
      initContainers: [],
    },
    status: { phase: 'Pending', podIPs: [{ ip: '10.0.0.1' }] },
  })
})

test('the manifests of the design are valid as they stand', () => {
  const text = `
apiVersion: fibula.network/v1alpha1
kind: BGPConfiguration
metadata: { name: default }
spec:
  asNumber: 64512
  mode: Host
  networks: []
  nodeToNodeMesh: { enabled: true }
  listenPort: 179
  holdTime: 90s
  keepaliveTime: 30s
  gracefulRestart: { enabled: true, restartTime: 120s, longLivedStaleTime: 0s }
  maximumPaths: 16
  serviceClusterIPs: [{ cidr: 10.96.0.0/12 }]
  serviceLoadBalancerIPs: []
  serviceExternalIPs: []
---
apiVersion: fibula.network/v1alpha1
kind: BGPPeer
metadata: { name: tor-rack-a }
spec:
  nodeSelector: { matchLabels: { rack: a } }
  peerIP: 10.0.0.1
  asNumber: 65001
  password: { secretKeyRef: { name: tor-md5, key: password } }
  addressFamilies: [IPv4Unicast, IPv6Unicast]
  addPath: { receive: false, send: 0 }
  role: Customer
  maxPrefixes: { ipv4: 10000, ipv6: 10000, warnAtPercent: 75, restartAfter: 5m }
  ttlSecurity: 1
  holdTime: 9s
  keepaliveTime: 3s
  passive: false
  filters: [no-default]
---
apiVersion: fibula.network/v1alpha1
kind: IPPool
metadata: { name: pods }
spec: { cidr: 10.244.0.0/16, blockSize: 26, ipipMode: CrossSubnet, natOutgoing: false }
`
  const { manifests } = parseManifests(text, 'design.yaml')
  expect(manifests.flatMap(({ result }) => (result.ok ? [] : result.error))).toEqual([])
  expect(manifests).toHaveLength(3)
})

describe('values of Secrets', () => {
  test('stringData as it is, data decoded, stringData first', () => {
    const object = parsed({ ...secret('a', 'default', { text: 'plain' }), data: { coded: 'aHVudGVyMg==', text: 'aHVudGVyMg==' } })
    if (object.kind !== 'Secret') throw new Error('not a Secret')
    expect(secretValue(object, 'text')).toBe('plain')
    expect(secretValue(object, 'coded')).toBe('hunter2')
    expect(secretValue(object, 'toString')).toBeNull()
  })
})
