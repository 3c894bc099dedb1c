// The cases of the scenario `policy`: a node with as many rules as a large cluster gives it, and one with far more.
import type { Case } from '../cases.ts'
import { SUBJECT, type Target } from '../report.ts'
import { policyOf } from '../scenarios/policy.ts'
import type { ClusterShape } from './cluster.ts'
import type { PolicyPart } from './main.ts'

const CLUSTER: ClusterShape = { pods: 10_000, namespaces: 100, nodes: 100, networkPolicies: 1_000, rulesEach: 5, selects: 'label' }
/** Every policy has a say on a pod of this node: about 50,000 rules of each family. */
const MANY_RULES: ClusterShape = { ...CLUSTER, rulesEach: 22, selects: 'all' }
const BARE = 'bare tools'
const NAIVE = 'naive rewrite'
const CHANGES = 100
const CHANGES_AMONG_MANY = 30
const OBSERVED_MS = 5_000
/** One hundredth of a core. */
const IDLE_CPU_SECONDS = 0.6

const FIRST: readonly Target[] = [{ metric: 'seconds', against: BARE, atMost: 5 }]
const POD_CHANGE: readonly Target[] = [{ metric: 'seconds', against: NAIVE, atMost: 0.1 }]
const SLOWEST_POD_CHANGE: readonly Target[] = [{ metric: 'seconds', against: null, atMost: 0.05 }]
const POLICY_CHANGE: readonly Target[] = [{ metric: 'seconds', against: BARE, atMost: 1.5 }]
const IDLE: readonly Target[] = [{ metric: 'cpuSeconds', against: null, atMost: IDLE_CPU_SECONDS }]
const CHANGE_DETAILS = ['medianMs', 'p99Ms', 'engineMs']

export function policyCases(runs: number): readonly Case[] {
  const common = { runs, variant: 'nft', observeMs: OBSERVED_MS } as const
  const few = policyOf({ ...common, shape: CLUSTER, changes: CHANGES })
  const many = policyOf({ ...common, shape: MANY_RULES, changes: CHANGES_AMONG_MANY })
  const make = (
    of: typeof few,
    part: PolicyPart,
    title: string,
    others: readonly string[],
    targets: readonly Target[],
    shownDetails: readonly string[],
  ): Case => ({
    scenario: 'policy',
    title: `policy: 10000 pods, 1000 policies, 100 pods here${of === many ? ', 50000 rules of each family' : ''}: ${title}`,
    size: CLUSTER.pods,
    runs,
    participants: [SUBJECT, ...others].map((name) => ({ name, measure: of(part, name) })),
    targets,
    shownDetails,
  })
  const first = 'all objects known to first program in the kernel'
  const idle = 'a minute without changes, its part of the read-backs included'
  const onePod = "one pod's label changes, seconds are the median"
  const onePodMore = 'one pod arrives, seconds are the median'
  const onePolicy = 'one policy changes, seconds are the median'
  const firstDetails = ['engineSeconds', 'rules', 'members', 'heapMiB']
  const idleDetails = ['cpuPercent', 'readBackSeconds', 'readAllSeconds', 'readAllCpuSeconds']
  return [
    make(few, 'first', first, [BARE], FIRST, firstDetails),
    make(few, 'label', onePod, [NAIVE], POD_CHANGE, CHANGE_DETAILS),
    make(few, 'arrival', onePodMore, [NAIVE], POD_CHANGE, CHANGE_DETAILS),
    make(few, 'pods', 'either of the two, seconds are the 99th percentile', [], SLOWEST_POD_CHANGE, CHANGE_DETAILS),
    make(few, 'policy', onePolicy, [BARE, NAIVE], POLICY_CHANGE, [...CHANGE_DETAILS, 'lines']),
    make(few, 'idle', idle, [], IDLE, idleDetails),
    make(many, 'first', first, [BARE], FIRST, firstDetails),
    make(many, 'label', onePod, [NAIVE], POD_CHANGE, CHANGE_DETAILS),
    make(many, 'arrival', onePodMore, [NAIVE], POD_CHANGE, CHANGE_DETAILS),
    make(many, 'policy', onePolicy, [BARE, NAIVE], POLICY_CHANGE, [...CHANGE_DETAILS, 'lines']),
    make(many, 'idle', idle, [], IDLE, idleDetails),
  ]
}
