// What the service account of the controller must be allowed to do, and nothing more: the chart grants exactly this, and a test
// against a real API server takes each away.
import type { Right } from '../store/index.ts'

const FIBULA = 'fibula.network'
export const LEASE_NAME = 'fibula-controller'

export const CONTROLLER_RIGHTS: readonly Right[] = [
  {
    apiGroup: FIBULA,
    resources: ['bgpconfigurations', 'bgppeers', 'bgpfilters', 'ippools', 'ipreservations', 'ipamconfigurations'],
    verbs: ['list', 'watch'],
    scope: 'cluster',
    why: 'what people want of the cluster',
  },
  {
    apiGroup: FIBULA,
    resources: ['bgpconfigurations/status', 'bgppeers/status', 'ippools/status'],
    verbs: ['update'],
    scope: 'cluster',
    why: 'conditions, sessions and use of pools',
  },
  {
    apiGroup: FIBULA,
    resources: ['nodenetworks'],
    verbs: ['list', 'watch', 'delete'],
    scope: 'cluster',
    why: 'what agents report; that of a node that is gone is removed',
  },
  {
    apiGroup: FIBULA,
    resources: ['ipamblocks'],
    verbs: ['get', 'list', 'watch', 'update', 'delete'],
    scope: 'cluster',
    why: 'leaked addresses are released, and empty blocks of nodes that are gone removed; read anew before each change',
  },
  {
    apiGroup: '',
    resources: ['nodes'],
    verbs: ['get', 'list', 'watch'],
    scope: 'cluster',
    why: 'which nodes there are; asked for by name before anything of one that is gone is freed',
  },
  {
    apiGroup: '',
    resources: ['pods'],
    verbs: ['get', 'list'],
    scope: 'cluster',
    why: 'whose addresses are in use; asked for by name before an address is freed',
  },
  {
    apiGroup: 'coordination.k8s.io',
    resources: ['leases'],
    verbs: ['create'],
    scope: 'ownNamespace',
    why: 'the Lease of the leader, the first time (create cannot be limited to a name)',
  },
  {
    apiGroup: 'coordination.k8s.io',
    resources: ['leases'],
    verbs: ['get', 'patch'],
    resourceNames: [LEASE_NAME],
    scope: 'ownNamespace',
    why: 'who leads',
  },
]
