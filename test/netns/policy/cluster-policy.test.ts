// What the conformance tests of ClusterNetworkPolicy are about, by real packets.
import { CLUSTER_POLICY_SCENARIOS } from '../../policy/scenarios/cluster-policy.ts'
import { runScenarios } from './scenario-run.ts'

runScenarios('ClusterNetworkPolicy', CLUSTER_POLICY_SCENARIOS)
