// Every right in the chart's roles of the agent is used, and none is missing: an agent that has exactly these does all it ever does,
// and the API server's audit log says what it asked for. So a right that is taken away is a request that is refused, and one too many
// would be found here. (test/kube/controller/rights.test.ts does the same for the controller.)
import { expect, test } from '@jest/globals'
import { type KubeObject, renderChart } from '../../../scripts/manifests.ts'
import { BLOCK_NODE_LABEL } from '../../../src/store/index.ts'
import type { KubeApi } from '../../support/kube/api-server.ts'
import { untilAuthorized } from '../../support/kube/apply.ts'
import { until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { HELM } from '../../support/tools/index.ts'
import { NAMESPACE, NODE, PODS, PROGRAMS, USER, World } from '../agent/world.ts'

const LONG_MS = 400_000
const PATIENCE = { deadlineMs: 120_000, everyMs: 500 }
const RBAC = '/apis/rbac.authorization.k8s.io/v1'

/** A kind that agents follow where the cluster has it, as little of it as there must be. */
const POLICIES = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: {
    name: 'clusternetworkpolicies.policy.networking.k8s.io',
    annotations: { 'api-approved.kubernetes.io': 'unapproved, a stand-in' },
  },
  spec: {
    group: 'policy.networking.k8s.io',
    scope: 'Cluster',
    names: {
      kind: 'ClusterNetworkPolicy',
      listKind: 'ClusterNetworkPolicyList',
      plural: 'clusternetworkpolicies',
      singular: 'clusternetworkpolicy',
    },
    versions: [
      {
        name: 'v1alpha2',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
}

type Rule = { readonly apiGroups: readonly string[]; readonly resources: readonly string[]; readonly verbs: readonly string[] }
type Role = KubeObject & { readonly rules: readonly Rule[] }

/** `get ipamblocks.fibula.network`, or `list secrets in fibula-system`. */
function lineOf(verb: string, resource: string, apiGroup: string, namespace: string | null): string {
  return `${verb} ${resource}${apiGroup === '' ? '' : `.${apiGroup}`}${namespace === null ? '' : ` in ${namespace}`}`
}

function grantedBy({ kind, metadata, rules }: Role): readonly string[] {
  const namespace = kind === 'Role' ? (metadata.namespace ?? null) : null
  return rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.map((verb) => lineOf(verb, resource, group, namespace)))),
  )
}

/** What the agent asked for. Pods are in many namespaces, and rights on them in all. */
function asked(kube: KubeApi, isAllowed: boolean): ReadonlySet<string> {
  const ours = kube.requests().filter((request) => request.user === USER.name && request.isAllowed === isAllowed)
  return new Set(
    ours.map(({ verb, resource, apiGroup, namespace }) => lineOf(verb, resource, apiGroup, namespace === NAMESPACE ? namespace : null)),
  )
}

describeWith([...PROGRAMS, HELM], 'rights of the agent', () => {
  test(
    'exactly those of the chart are used',
    async () => {
      await using world = await World.start()
      const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
      const rendered = renderChart(HELM, ['--set', 'agent.detection.ipv4=interface=^lan'])
      const ours = rendered.filter(({ kind, metadata }) => /^(Cluster)?Role(Binding)?$/.test(kind) && metadata.name === 'fibula-agent')
      expect(ours).toHaveLength(4)
      // First what the world granted is taken away: only then is what is in force that of the chart.
      const grants = ours
        .filter((object): object is Role => object.kind === 'ClusterRole' || object.kind === 'Role')
        .map(({ kind, rules }) => ({ user: USER.name, namespace: kind === 'Role' ? NAMESPACE : null, rules }))
      const connection = world.kube.connection()
      for (const path of [`${RBAC}/clusterrolebindings/agent`, `${RBAC}/namespaces/${NAMESPACE}/rolebindings/agent`])
        await world.request('DELETE', path)
      for (const grant of grants) await untilAuthorized(connection, grant, false)
      for (const { kind, metadata, ...rest } of ours) {
        const where = kind.startsWith('Cluster') ? RBAC : `${RBAC}/namespaces/${NAMESPACE}`
        const path = `${where}/${kind.toLowerCase()}s/${metadata.name}?fieldManager=test&force=true`
        await world.request('PATCH', path, { kind, metadata, ...rest }, 'application/apply-patch+yaml')
      }
      for (const grant of grants) await untilAuthorized(connection, grant)

      await world.net.ip(NODE, 'link add lan1 type veth peer name lan1-far')
      for (const end of ['lan1', 'lan1-far']) await world.net.ip(NODE, `link set ${end} up`)
      await world.net.ip(NODE, 'address add 10.9.0.11/24 dev lan1')
      const refused = (): readonly string[] => [...asked(world.kube, false)]
      const slowly = { ...PATIENCE, explain: () => `refused: ${refused().join(', ')}\n${world.log().slice(-3_000)}` }
      await world.bird()
      await world.peerWithTor()
      await world.apply({
        kind: 'BGPConfiguration',
        metadata: { name: 'default' },
        spec: { asNumber: 64_512, connectRetryTime: '1s', serviceClusterIPs: [{ cidr: '10.96.0.0/16' }] },
      })
      await world.request('PATCH', `${definitions}/${POLICIES.metadata.name}?fieldManager=test`, POLICIES, 'application/apply-patch+yaml')
      // what a former agent left: a report that its Node does not own, and a block whose claim was cut short
      await world.apply({ kind: 'NodeNetwork', metadata: { name: NODE } })
      const labels = { [BLOCK_NODE_LABEL]: NODE }
      const spec = { cidr: '10.250.3.0/26', node: NODE, state: 'Pending' } // of a pool that is gone
      await world.apply({ kind: 'IPAMBlock', metadata: { name: '10-250-3-0-26', labels }, spec })
      await world.launch({ args: ['--ipv4-detection', 'interface=^lan'] })
      await until(
        'the address that was found is an annotation',
        async () => {
          const node = await world.admin.get('Node', { name: NODE })
          return node?.metadata.annotations['fibula.network/detected-ipv4-address'] === '10.9.0.11/24'
        },
        slowly,
      )
      await until('pods can come', async () => (await world.status()).pods?.ready === true, slowly)
      await world.request('DELETE', `/apis/fibula.network/v1alpha1/nodenetworks/${NODE}`) // it is made again
      const [pod] = PODS
      if (pod === undefined) throw new Error('no pods')
      // a pod that no watch has shown yet is asked for by name, and so is its namespace
      await world.cni('ADD', pod, 'IgnoreUnknown=1;K8S_POD_NAMESPACE=nowhere;K8S_POD_NAME=new')
      await world.cni('DEL', pod)
      await world.report('the report is whole', ({ status }) => (status?.addresses.length ?? 0) > 0)
      const report = `/apis/fibula.network/v1alpha1/nodenetworks/${NODE}`
      let writes = 0
      const hasReadAnew = async (): Promise<boolean> => {
        // a report that is wrong is repaired; it is never the one that the agent has just seen, so that its write comes too late
        const spoil = (): Promise<unknown> =>
          world.request('PATCH', `${report}/status`, { status: { asNumber: ++writes } }, 'application/merge-patch+json')
        await Promise.all(Array.from({ length: 4 }, spoil))
        return asked(world.kube, true).has('get nodenetworks.fibula.network')
      }
      await until('a write that came too late begins with a look', hasReadAnew, { ...slowly, everyMs: 1 })

      const granted = ours.filter((object): object is Role => object.kind === 'ClusterRole' || object.kind === 'Role').flatMap(grantedBy)
      const unused = (): readonly string[] => [...new Set(granted)].filter((line) => !asked(world.kube, true).has(line)).sort()
      await until('every right is used', () => unused().length === 0, {
        ...slowly,
        explain: () => `not used: ${unused().join(', ')}\n${world.log().slice(-2_000)}`,
      })
      expect(refused()).toEqual([])
      const names = world.kube
        .requests()
        .filter(({ resource }) => resource === 'secrets')
        .map(({ name }) => name)
      expect(new Set(names)).toEqual(new Set(['tor-md5'])) // so that a Role may name it
    },
    LONG_MS,
  )
})
