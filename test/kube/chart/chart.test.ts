// The chart with a real Helm and a real API server: what it makes is admitted, what is wrong in its values is refused in words, and
// upgrades and rollbacks take the CustomResourceDefinitions with them.
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { CHART, type KubeObject, MANIFEST, NAMESPACE, OLDEST_KUBERNETES, objectsIn, renderManifest } from '../../../scripts/manifests.ts'
import { ApiError, ApiServer } from '../../../src/store/kubernetes/api-server.ts'
import { makeNamespace } from '../../support/kube/apply.ts'
import { until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { ETCD, HELM, KUBE_APISERVER } from '../../support/tools/index.ts'
import { Cluster } from './release.ts'

const START_MS = 400_000
const LONG_MS = 400_000
const OBJECTS = {
  bgp: {
    configuration: { asNumber: 64_513 },
    peers: [{ name: 'tor-a', spec: { peerIP: '10.0.0.1', asNumber: 65_001, filters: ['all'] } }],
    filters: [{ name: 'all', spec: { exportV4: [{ action: 'Accept' }] } }],
  },
  ipPools: [{ name: 'pods', spec: { cidr: '10.244.0.0/16', ipipMode: 'CrossSubnet' } }],
}

type Definition = KubeObject & {
  readonly spec: {
    readonly versions: readonly [
      { readonly schema: { readonly openAPIV3Schema: { readonly properties: { readonly spec: { readonly properties: object } } } } },
    ]
  }
}
type Workload = KubeObject & {
  readonly spec: {
    readonly replicas?: number
    readonly template: { readonly spec: { readonly containers: readonly { readonly args: readonly string[] }[] } }
  }
}

describeWith([HELM, KUBE_APISERVER, ETCD], 'the chart', () => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await Cluster.start()
  }, START_MS)
  afterAll(async () => cluster[Symbol.asyncDispose]())

  const definition = async (plural: string): Promise<Definition> => {
    const found = await cluster.get<Definition>(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${plural}.fibula.network`)
    if (found === null) throw new Error(`no definition of ${plural}`)
    return found
  }
  const fieldsOf = async (plural: string): Promise<readonly string[]> =>
    Object.keys((await definition(plural)).spec.versions[0].schema.openAPIV3Schema.properties.spec.properties)

  test('helm lint --strict has nothing to say', () => {
    const { status, stdout } = cluster.try(['lint', '--strict', CHART], OBJECTS)
    expect([status, stdout.includes('[WARNING]'), stdout.includes('[ERROR]')]).toEqual([0, false, false])
  })

  test.each([
    ['a misspelt setting', { agent: { metricPort: 1 } }, /metricPort/],
    ['a setting of another type', { controller: { replicas: 'two' } }, /\/controller\/replicas.*want integer/],
    ['a port that is none', { agent: { metricsPort: 70_000 } }, /\/agent\/metricsPort.*65[,.]?535/],
    ['an image with its tag', { image: { repository: 'registry.invalid/fibula:1' } }, /\/image\/repository.*does not match pattern/],
    ['a URL instead of a host', { apiServer: { host: 'https://10.0.0.1' } }, /\/apiServer\/host.*does not match pattern/],
    ['a level that is none', { logLevel: 'loud' }, /\/logLevel.*one of 'trace'/],
    ['a way of detection that is none', { agent: { detection: { ipv4: 'eth0' } } }, /\/agent\/detection\/ipv4.*can-reach/],
    ['a peer without a name', { bgp: { peers: [{ spec: {} }] } }, /\/bgp\/peers\/0.*missing property 'name'/],
    ['a name that Kubernetes refuses', { ipPools: [{ name: 'My Pool', spec: {} }] }, /\/ipPools\/0\/name.*does not match pattern/],
    ['a folder that is not absolute', { agent: { cni: { binDir: 'opt/cni' } } }, /\/agent\/cni\/binDir.*does not match pattern/],
    ['a capability that is none', { agent: { extraCapabilities: ['CAP_DAC_OVERRIDE'] } }, /\/agent\/extraCapabilities\/0.*'DAC_OVERRIDE'/],
    ['two agents on one node', { agent: { updateStrategy: { rollingUpdate: { maxSurge: 1 } } } }, /maxSurge/],
    ['a digest that is none', { image: { digest: 'latest' } }, /\/image\/digest.*sha256/],
  ])('%s is refused in words', (_what, values, message) => {
    const { status, stderr } = cluster.try(['template', 'fibula', CHART, '--kube-version', OLDEST_KUBERNETES], values)
    expect(status).not.toBe(0)
    expect(stderr).toMatch(message)
  })

  describe('installed, upgraded and taken away', () => {
    test(
      'one command makes everything, objects of its values included; the definitions are part of the release and stay when it goes',
      async () => {
        expect(cluster.install(OBJECTS)).toContain('What to check')
        expect(await cluster.get('/apis/fibula.network/v1alpha1/bgppeers/tor-a')).toMatchObject({ spec: { asNumber: 65_001 } })
        expect(await cluster.get('/apis/fibula.network/v1alpha1/ippools/pods')).toMatchObject({ spec: { cidr: '10.244.0.0/16' } })
        expect(cluster.helm(['get', 'manifest', 'fibula', '--namespace', NAMESPACE])).toContain('name: ippools.fibula.network')
        cluster.helm(['uninstall', 'fibula', '--namespace', NAMESPACE])
        expect(await cluster.get('/apis/fibula.network/v1alpha1/ippools/pods')).toBeNull()
        expect(await fieldsOf('ippools')).toContain('blockSize')
      },
      LONG_MS,
    )

    test(
      'an upgrade changes the definitions, a rollback changes them back, and a new installation finds them as they are to be',
      async () => {
        cluster.install(OBJECTS)
        const newer = cluster.copyOfChart('newer')
        const file = path.join(newer, 'crds', 'fibula.network_ippools.yaml')
        const before = readFileSync(file, 'utf8')
        const field = '                cidr:\n'
        expect(before).toContain(field)
        writeFileSync(
          file,
          before.replace(
            field,
            `                colour:\n                  type: string\n                  description: New in this version.\n${field}`,
          ),
        )
        expect(await fieldsOf('ippools')).not.toContain('colour')

        cluster.upgrade(OBJECTS, newer)
        expect(await fieldsOf('ippools')).toContain('colour')
        const coloured = (name: string): KubeObject & { readonly spec: object } => ({
          apiVersion: 'fibula.network/v1alpha1',
          kind: 'IPPool',
          metadata: { name },
          spec: { cidr: '10.245.0.0/16', colour: 'green' },
        })
        await cluster.served(coloured('of-a-person'))
        await cluster.apply(coloured('of-a-person'))

        cluster.helm(['rollback', 'fibula', '1', '--namespace', NAMESPACE])
        expect(await fieldsOf('ippools')).not.toContain('colour')
        // what people made stays, and is readable as far as the older version knows it
        expect(await cluster.get('/apis/fibula.network/v1alpha1/ippools/of-a-person')).toMatchObject({ spec: { cidr: '10.245.0.0/16' } })

        cluster.upgrade(OBJECTS, newer)
        expect(await fieldsOf('ippools')).toContain('colour')
        cluster.helm(['uninstall', 'fibula', '--namespace', NAMESPACE])
        expect(await cluster.get('/apis/fibula.network/v1alpha1/ippools/of-a-person')).not.toBeNull()
        // helm leaves what crds/ names alone where it is there already: the release brings it up to date all the same
        cluster.install(OBJECTS)
        expect(await fieldsOf('ippools')).not.toContain('colour')
        cluster.helm(['uninstall', 'fibula', '--namespace', NAMESPACE])
      },
      LONG_MS,
    )

    test(
      'an upgrade of a release of another name does not touch definitions that it does not own, and says what to do where they differ',
      async () => {
        const other = (command: 'install' | 'upgrade', chart: string) =>
          cluster.try([command, 'other', chart, '--namespace', NAMESPACE, ...(command === 'install' ? ['--create-namespace'] : [])])
        expect(other('install', CHART)).toMatchObject({ status: 0 })
        expect(other('upgrade', CHART)).toMatchObject({ status: 0 }) // the same ones are good enough
        const newer = cluster.copyOfChart('other')
        const file = path.join(newer, 'crds', 'fibula.network_ippools.yaml')
        writeFileSync(
          file,
          readFileSync(file, 'utf8').replace(/fibula.network\/definition: \S+/, 'fibula.network/definition: ffffffffffffffff'),
        )
        const refused = other('upgrade', newer)
        expect(refused.status).not.toBe(0)
        expect(refused.stderr).toContain('ippools.fibula.network')
        expect(refused.stderr).toContain('kubectl apply --server-side --force-conflicts --field-manager=helm -f charts/fibula/crds')
        for (const object of objectsIn(readFileSync(file, 'utf8'))) await cluster.apply(object, { manager: 'helm' }) // as it says
        expect(other('upgrade', newer)).toMatchObject({ status: 0 })
        cluster.helm(['uninstall', 'other', '--namespace', NAMESPACE])
        expect(await fieldsOf('ippools')).toContain('blockSize')
      },
      LONG_MS,
    )

    test(
      'cleanup.enabled turns agents into cleaners: no controller, and peers and pools of the values go first',
      async () => {
        cluster.install(OBJECTS)
        const notes = cluster.upgrade({ ...OBJECTS, cleanup: { enabled: true, keepPods: true } })
        expect(notes).toContain('helm uninstall fibula')
        const agent = await cluster.get<Workload>(`/apis/apps/v1/namespaces/${NAMESPACE}/daemonsets/fibula-agent`)
        expect(agent?.spec.template.spec.containers[0]?.args).toEqual(expect.arrayContaining(['cleanup', '--stay', '--keep-pods']))
        const controller = await cluster.get<Workload>(`/apis/apps/v1/namespaces/${NAMESPACE}/deployments/fibula-controller`)
        expect(controller?.spec.replicas).toBe(0)
        expect(await cluster.get('/apis/fibula.network/v1alpha1/bgppeers/tor-a')).toBeNull()
        cluster.helm(['uninstall', 'fibula', '--namespace', NAMESPACE])
      },
      LONG_MS,
    )
  })

  describe('what it makes', () => {
    beforeAll(async () => {
      cluster.install()
      const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
      const podMonitors: KubeObject & { readonly spec: object } = {
        apiVersion: 'apiextensions.k8s.io/v1',
        kind: 'CustomResourceDefinition',
        metadata: { name: 'podmonitors.monitoring.coreos.com', annotations: { 'api-approved.kubernetes.io': 'unapproved, a stand-in' } },
        spec: {
          group: 'monitoring.coreos.com',
          scope: 'Namespaced',
          names: { kind: 'PodMonitor', listKind: 'PodMonitorList', plural: 'podmonitors', singular: 'podmonitor' },
          versions: [
            { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', properties: { spec: open } } } },
          ],
        },
      }
      await cluster.apply(podMonitors)
      await cluster.served({ apiVersion: 'monitoring.coreos.com/v1', kind: 'PodMonitor', metadata: { name: 'any' } })
    }, LONG_MS)
    afterAll(() => {
      cluster.helm(['uninstall', 'fibula', '--namespace', NAMESPACE])
    })

    test.each([
      ['default values', {}],
      ['objects from values', OBJECTS],
      ['BGP alone', { agent: { cni: { enabled: false } } }],
      [
        'every option at once',
        {
          ...OBJECTS,
          image: { repository: 'registry.invalid:5000/net/fibula', digest: `sha256:${'0'.repeat(64)}`, pullPolicy: 'Never' },
          imagePullSecrets: [{ name: 'regcred' }],
          apiServer: { host: 'fd00::10', port: 6443 },
          passwords: { secretNames: ['tor-md5'] },
          ownNodeOnly: { enabled: true },
          podMonitor: { enabled: true, labels: { team: 'net' } },
          namespace: { create: true },
          agent: {
            detection: { ipv4: 'cidr=10.0.0.0/8,192.168.0.0/16', ipv6: 'interface=eth.*' },
            hostPID: true,
            loadModules: ['ip_tables', 'ip6_tables'],
            extraCapabilities: ['DAC_OVERRIDE'],
            appArmorProfile: { type: 'Unconfined' },
            seLinuxOptions: { type: 'spc_t' },
            updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '10%' } },
            nodeSelector: { 'kubernetes.io/os': 'linux' },
            podAnnotations: { a: 'b' },
            podLabels: { c: 'd' },
            extraArgs: ['--log-level=debug'],
            extraEnv: [{ name: 'A', value: 'b' }],
          },
          controller: { hostNetwork: true, nodeSelector: { zone: 'a' }, affinity: { nodeAffinity: {} }, extraArgs: ['--leak-grace=10m'] },
        },
      ],
      ['nodes being cleaned', { cleanup: { enabled: true } }],
      ['OnDelete', { agent: { updateStrategy: { type: 'OnDelete', rollingUpdate: null } }, podDisruptionBudget: { enabled: false } }],
    ])(
      '%s: the API server takes every object, and no field that it does not know',
      async (_what, values) => {
        const objects = objectsIn(
          cluster.helm(['template', 'fibula', CHART, '--namespace', NAMESPACE, '--kube-version', OLDEST_KUBERNETES], values),
        )
        expect(objects.length).toBeGreaterThan(10)
        for (const object of objects) {
          await cluster.apply(object, { dryRun: true }).catch((cause: unknown) => {
            throw new Error(`${object.kind} ${object.metadata.name}: ${cause instanceof Error ? cause.message : cause}`)
          })
        }
      },
      LONG_MS,
    )

    test('named Secrets are the only ones that agents may read', async () => {
      const mayList = async (namespace: string, name: string): Promise<boolean> => {
        const spec = {
          user: `system:serviceaccount:${NAMESPACE}:fibula-agent`,
          groups: ['system:serviceaccounts'],
          resourceAttributes: { verb: 'list', resource: 'secrets', version: 'v1', namespace, name },
        }
        const body = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec }
        const answer = await cluster.api.request({ method: 'POST', path: '/apis/authorization.k8s.io/v1/subjectaccessreviews', body })
        return (answer as { readonly status: { readonly allowed: boolean } }).status.allowed
      }
      // The server hears of roles a moment after they were written.
      await until('every one may be read', () => mayList(NAMESPACE, 'any'))
      cluster.upgrade({ passwords: { secretNames: ['tor-md5'] } })
      await until('another may not be read any more', async () => !(await mayList(NAMESPACE, 'any')))
      expect([await mayList(NAMESPACE, 'tor-md5'), await mayList('default', 'tor-md5')]).toEqual([true, false])
    })

    test(
      'ownNodeOnly: a token made for a pod on one node writes what belongs to that node, and nothing of another',
      async () => {
        cluster.upgrade()
        const pod = {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name: 'agent-on-n1' },
          spec: { nodeName: 'n1', serviceAccountName: 'fibula-agent', containers: [{ name: 'agent', image: 'none' }] },
        }
        const made = await cluster.api.request({ method: 'POST', path: `/api/v1/namespaces/${NAMESPACE}/pods`, body: pod })
        const { uid } = (made as { readonly metadata: { readonly uid: string } }).metadata
        const request = {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenRequest',
          spec: { audiences: [], boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'agent-on-n1', uid } },
        }
        const answer = await cluster.api.request({
          method: 'POST',
          path: `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/fibula-agent/token`,
          body: request,
        })
        const { token } = (answer as { readonly status: { readonly token: string } }).status
        using agent = new ApiServer(cluster.kube.connection(token))
        const report = (name: string) =>
          agent.request({
            method: 'POST',
            path: '/apis/fibula.network/v1alpha1/nodenetworks',
            body: { apiVersion: 'fibula.network/v1alpha1', kind: 'NodeNetwork', metadata: { name } },
          })
        // the policy works a moment after it was made: until then another node's report would pass
        const refusal = await until('the policy refuses', async () => {
          const answer = await report('n2').then(
            () => null,
            (cause: unknown) => cause,
          )
          if (answer instanceof ApiError && answer.message.includes('an agent may write the objects of its own node alone')) return answer
          if (answer !== null) throw answer
          await cluster.api.request({ method: 'DELETE', path: '/apis/fibula.network/v1alpha1/nodenetworks/n2' })
          return null
        })
        expect(refusal.message).toContain('a pod on n1, and the object is called n2')
        await report('n1')
      },
      LONG_MS,
    )
  })

  test(
    'deploy/fibula.yaml is what the chart says (scripts/node scripts/manifests.ts --write), and can be applied',
    async () => {
      const text = readFileSync(MANIFEST, 'utf8')
      expect(text).toBe(renderManifest(HELM))
      await using fresh = await Cluster.start()
      await makeNamespace(fresh.kube.connection(), 'default')
      for (const object of objectsIn(text)) await fresh.apply(object)
      expect(await fresh.get(`/apis/apps/v1/namespaces/${NAMESPACE}/daemonsets/fibula-agent`)).not.toBeNull()
    },
    START_MS,
  )
})
