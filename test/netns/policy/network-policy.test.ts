// What upstream's end-to-end tests of NetworkPolicy are about, by real packets.
import { NETWORK_POLICY_SCENARIOS } from '../../policy/scenarios/network-policy.ts'
import { runScenarios } from './scenario-run.ts'

runScenarios('NetworkPolicy', NETWORK_POLICY_SCENARIOS)
