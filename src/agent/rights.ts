// What an agent needs to be allowed in a cluster: exactly this, and every line of it. The chart's roles are checked against it, and
// test/kube/agent runs an agent that has no more.
import type { Right } from '../store/index.ts'

export type AgentRight = Right & {
  /** Only where this is used: `pods` with --cni-socket, `detection` with --ipv4-detection or --ipv6-detection, `services` where a range of them is set. */
  readonly when: 'always' | 'pods' | 'detection' | 'services'
}

const GROUP = 'fibula.network'

export const AGENT_RIGHTS: readonly AgentRight[] = [
  {
    apiGroup: GROUP,
    resources: ['bgpconfigurations', 'bgppeers', 'bgpfilters', 'ippools', 'ipreservations', 'ipamconfigurations'],
    verbs: ['list', 'watch'],
    scope: 'cluster',
    when: 'always',
    why: 'what the node is to do',
  },
  {
    apiGroup: '',
    resources: ['nodes'],
    verbs: ['list', 'watch'],
    scope: 'cluster',
    when: 'always',
    why: 'labels, annotations and addresses of this node and of those it peers with',
  },
  {
    apiGroup: GROUP,
    resources: ['ipamblocks'],
    verbs: ['list', 'watch'],
    scope: 'cluster',
    when: 'always',
    why: 'the blocks of this node, which it advertises',
  },
  {
    apiGroup: '',
    resources: ['services'],
    verbs: ['list', 'watch'],
    scope: 'cluster',
    when: 'services',
    why: 'addresses of services, which it advertises',
  },
  {
    apiGroup: 'discovery.k8s.io',
    resources: ['endpointslices'],
    verbs: ['list', 'watch'],
    scope: 'cluster',
    when: 'services',
    why: 'which nodes have endpoints of them',
  },
  {
    apiGroup: GROUP,
    resources: ['ipamblocks'],
    verbs: ['get', 'create', 'update', 'delete'],
    scope: 'cluster',
    when: 'pods',
    why: 'blocks are claimed, their addresses handed out, and empty ones given back',
  },
  {
    apiGroup: '',
    resources: ['secrets'],
    verbs: ['list', 'watch'],
    scope: 'ownNamespace',
    when: 'always',
    why: 'passwords of BGP sessions; each Secret is asked for by its name, so resourceNames may name those there are',
  },
  {
    apiGroup: GROUP,
    resources: ['nodenetworks'],
    verbs: ['get', 'list', 'watch', 'create', 'update'],
    scope: 'cluster',
    when: 'always',
    why: 'what this node reports; only the object with its own name is asked for',
  },
  {
    apiGroup: GROUP,
    resources: ['nodenetworks/status'],
    verbs: ['update'],
    scope: 'cluster',
    when: 'always',
    why: 'what this node reports',
  },
  {
    apiGroup: '',
    resources: ['pods', 'namespaces'],
    verbs: ['get', 'list', 'watch'],
    scope: 'cluster',
    when: 'pods',
    why: 'annotations of the pods of this node and labels of their namespaces; pods of all nodes only while there is a policy',
  },
  {
    apiGroup: 'networking.k8s.io',
    resources: ['networkpolicies'],
    verbs: ['list', 'watch'],
    scope: 'cluster',
    when: 'pods',
    why: 'policy; once there is one, the pods of all nodes are listed too',
  },
  {
    apiGroup: 'policy.networking.k8s.io',
    resources: ['clusternetworkpolicies'],
    verbs: ['list', 'watch'],
    scope: 'cluster',
    when: 'pods',
    why: 'policy of the whole cluster, where its kind is installed',
  },
  {
    apiGroup: '',
    resources: ['nodes'],
    verbs: ['get'],
    scope: 'cluster',
    when: 'pods',
    why: 'the conditions of this node are read before one of them is written',
  },
  {
    apiGroup: '',
    resources: ['nodes/status'],
    verbs: ['patch'],
    scope: 'cluster',
    when: 'pods',
    why: 'the condition NetworkUnavailable of this node',
  },
  {
    apiGroup: '',
    resources: ['nodes'],
    verbs: ['get', 'patch'],
    scope: 'cluster',
    when: 'detection',
    why: 'the addresses that were found are annotations of this node, so that the other nodes agree on them',
  },
]
