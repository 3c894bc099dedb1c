// What the chart gives with its default values, read from the file that is made of it: needs no Helm.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { parse } from 'yaml'
import { renderChartCrds, renderCrds } from '../../scripts/crds.ts'
import { CHART, type KubeObject, MANIFEST, NAMESPACE, objectsIn } from '../../scripts/manifests.ts'
import { AGENT_RIGHTS } from '../../src/agent/index.ts'
import { CONTROLLER_RIGHTS } from '../../src/controller/index.ts'
import type { Right } from '../../src/store/index.ts'
import type { PolicyRule } from '../support/kube/apply.ts'
import { ruleOf } from '../support/kube/rights.ts'

type Role = KubeObject & { readonly rules: readonly PolicyRule[] }
type Container = {
  readonly name: string
  readonly image: string
  readonly args: readonly string[]
  readonly securityContext: {
    readonly privileged?: boolean
    readonly readOnlyRootFilesystem: boolean
    readonly allowPrivilegeEscalation: boolean
    readonly capabilities: { readonly drop: readonly string[]; readonly add?: readonly string[] }
  }
  readonly volumeMounts?: readonly {
    readonly name: string
    readonly mountPath: string
    readonly mountPropagation?: string
    readonly readOnly?: boolean
  }[]
  readonly resources: { readonly requests: object; readonly limits: object }
  readonly livenessProbe?: object
  readonly readinessProbe?: object
  readonly startupProbe?: object
}
type Workload = KubeObject & {
  readonly spec: {
    readonly replicas?: number
    readonly template: {
      readonly spec: {
        readonly hostNetwork?: boolean
        readonly hostPID?: boolean
        readonly dnsPolicy: string
        readonly priorityClassName: string
        readonly tolerations: readonly object[]
        readonly securityContext: { readonly seccompProfile: object; readonly runAsNonRoot?: boolean }
        readonly initContainers?: readonly Container[]
        readonly containers: readonly Container[]
        readonly volumes?: readonly { readonly name: string; readonly hostPath: { readonly path: string; readonly type: string } }[]
      }
    }
  }
}

const objects = objectsIn(readFileSync(MANIFEST, 'utf8'))

function find<T extends KubeObject>(kind: string, name: string): T {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name)
  if (found === undefined) throw new Error(`no ${kind} ${name}`)
  return found as T // of that kind
}

describe('rights', () => {
  /** One line for each verb on each resource, and each name. */
  const linesOf = (rules: readonly PolicyRule[]): readonly string[] =>
    rules
      .flatMap(({ apiGroups, resources, verbs, resourceNames = ['*'] }) =>
        apiGroups.flatMap((group) =>
          resources.flatMap((resource) => verbs.flatMap((verb) => resourceNames.map((name) => `${verb} ${group}/${resource} ${name}`))),
        ),
      )
      .sort()
  const linesOfRights = (rights: readonly Right[]): readonly string[] => [...new Set(linesOf(rights.map(ruleOf)))]

  test.each([
    ['ClusterRole', 'cluster'],
    ['Role', 'ownNamespace'],
  ] as const)('%s of the agent: what src/agent/rights.ts names, and no more', (kind, scope) => {
    const wanted = AGENT_RIGHTS.filter((right) => right.scope === scope && right.when !== 'detection')
    expect(linesOf(find<Role>(kind, 'fibula-agent').rules)).toEqual(linesOfRights(wanted))
  })

  test.each([
    ['ClusterRole', 'cluster'],
    ['Role', 'ownNamespace'],
  ] as const)('%s of the controller: what src/controller/rights.ts names, and no more', (kind, scope) => {
    const wanted = CONTROLLER_RIGHTS.filter((right) => right.scope === scope)
    expect(linesOf(find<Role>(kind, 'fibula-controller').rules)).toEqual(linesOfRights(wanted))
  })

  test('no role has a wildcard, and none may read Secrets outside its namespace', () => {
    const roles = objects.filter((object): object is Role => object.kind === 'ClusterRole' || object.kind === 'Role')
    expect(roles.map(({ metadata }) => metadata.name)).toHaveLength(4)
    for (const { kind, rules } of roles) {
      expect(JSON.stringify(rules)).not.toContain('"*"')
      if (kind === 'ClusterRole') expect(rules.flatMap(({ resources }) => resources)).not.toContain('secrets')
    }
  })
})

describe('the agent', () => {
  const { spec } = find<Workload>('DaemonSet', 'fibula-agent').spec.template
  const [agent] = spec.containers
  if (agent === undefined) throw new Error('no container')

  test('four capabilities, no privileges, and a root file system that cannot be written', () => {
    for (const { securityContext } of [...(spec.initContainers ?? []), agent]) {
      expect(securityContext.privileged ?? false).toBe(false)
      expect(securityContext).toMatchObject({ readOnlyRootFilesystem: true, allowPrivilegeEscalation: false })
      expect(securityContext.capabilities.drop).toEqual(['ALL'])
    }
    // the same four as test/netns/pods/capabilities.test.ts proves enough
    expect([...(agent.securityContext.capabilities.add ?? [])].sort()).toEqual(['NET_ADMIN', 'NET_BIND_SERVICE', 'NET_RAW', 'SYS_ADMIN'])
    expect(spec.securityContext.seccompProfile).toEqual({ type: 'RuntimeDefault' })
    expect(spec.hostPID ?? false).toBe(false)
  })

  test('is there before everything else, and everywhere', () => {
    expect(spec).toMatchObject({ hostNetwork: true, dnsPolicy: 'Default', priorityClassName: 'system-node-critical' })
    expect(spec.tolerations).toEqual([{ operator: 'Exists' }])
    expect(agent.resources).toMatchObject({ requests: { memory: expect.any(String) }, limits: { memory: expect.any(String) } })
    for (const probe of [agent.startupProbe, agent.livenessProbe, agent.readinessProbe]) expect(probe).toBeDefined()
  })

  test('what is told to the plugin on the host is at the same place in the container', () => {
    const hostPathOf = (mountPath: string): string | undefined => {
      const mount = agent.volumeMounts?.find((each) => each.mountPath === mountPath)
      return spec.volumes?.find(({ name }) => name === mount?.name)?.hostPath.path
    }
    for (const folder of ['/run/fibula', '/var/lib/fibula', '/run/netns', '/run/xtables.lock']) expect(hostPathOf(folder)).toBe(folder)
    expect(agent.args).toContain('--cni-socket=/run/fibula/cni.sock')
    expect(hostPathOf('/host/etc/cni/net.d')).toBe('/etc/cni/net.d')
    expect(hostPathOf('/host/proc/sys/net')).toBe('/proc/sys/net')
    expect(agent.volumeMounts?.find(({ mountPath }) => mountPath === '/run/netns')).toMatchObject({ mountPropagation: 'HostToContainer' })
    expect(agent.volumeMounts?.find(({ mountPath }) => mountPath === '/host/opt/cni/bin')).toMatchObject({ readOnly: true })
  })

  test('nothing is mounted below /proc, which no runtime does', () => {
    expect(agent.volumeMounts?.filter(({ mountPath }) => mountPath.startsWith('/proc'))).toEqual([])
  })

  test('every mount has its volume, and every volume is mounted', () => {
    const mounted = [...(spec.initContainers ?? []), agent].flatMap(({ volumeMounts = [] }) => volumeMounts.map(({ name }) => name))
    expect([...new Set(mounted)].sort()).toEqual((spec.volumes ?? []).map(({ name }) => name).sort())
  })
})

test('the controller: two replicas that need nothing of their node', () => {
  const { spec } = find<Workload>('Deployment', 'fibula-controller')
  expect(spec.replicas).toBe(2)
  expect(spec.template.spec.hostNetwork ?? false).toBe(false)
  expect(spec.template.spec.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
  expect(spec.template.spec.containers[0]?.securityContext).toMatchObject({
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
  })
})

test('every object bears the recommended labels, and is in the namespace of Fibula or in none', () => {
  for (const { kind, metadata } of objects) {
    expect([kind, metadata.name, metadata.labels?.['app.kubernetes.io/name']]).toEqual([kind, metadata.name, 'fibula'])
    expect([undefined, NAMESPACE]).toContain(metadata.namespace)
    expect(Object.keys(metadata.labels ?? {}).filter((label) => label.startsWith('helm.sh/'))).toEqual([])
  }
})

test('the namespace allows what agents need where Pod Security is enforced', () => {
  expect(objects[0]).toMatchObject({
    kind: 'Namespace',
    metadata: { name: NAMESPACE, labels: { 'pod-security.kubernetes.io/enforce': 'privileged' } },
  })
})

test('the file has the CustomResourceDefinitions of crds/, before what needs them (scripts/node scripts/manifests.ts --write)', () => {
  const definitions = objects.filter(({ kind }) => kind === 'CustomResourceDefinition')
  expect(definitions).toEqual([...renderCrds().values()].map((text) => parse(text)))
})

test('the chart has them with what lets Helm adopt them (scripts/node scripts/crds.ts --write)', () => {
  for (const [name, text] of renderChartCrds()) expect(readFileSync(join(CHART, 'crds', name), 'utf8')).toBe(text)
})

test('chart, program and image have one version', () => {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'))
  expect(parse(readFileSync(join(CHART, 'Chart.yaml'), 'utf8'))).toMatchObject({ version, appVersion: version })
  for (const { spec } of [find<Workload>('DaemonSet', 'fibula-agent'), find<Workload>('Deployment', 'fibula-controller')]) {
    for (const { image } of [...(spec.template.spec.initContainers ?? []), ...spec.template.spec.containers])
      expect(image).toBe(`fibula:${version}`)
  }
})
