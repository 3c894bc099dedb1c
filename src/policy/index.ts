// Public face of policy; see README.md.
export { type ClusterView, viewOf } from './cluster-view.ts'
export type {
  Decision,
  DropCounter,
  EndpointPolicies,
  EndpointState,
  Flow,
  Passed,
  PolicyChange,
  PolicyDelta,
  PolicyEngineOptions,
  PolicyService,
  RuleRef,
  RulesetDelta,
  SetChange,
  StageVerdict,
  Verdict,
} from './contract.ts'
export { CUT_MARK } from './dispatch.ts'
export { PolicyEngine } from './engine.ts'
export {
  clusterPolicyFromKubernetes,
  namespaceFromKubernetes,
  networkPolicyFromKubernetes,
  nodeFromKubernetes,
  podFromKubernetes,
} from './from-kubernetes.ts'
export { RulesetMirror } from './mirror.ts'
export {
  type ClusterPolicy,
  type ClusterTier,
  type Direction,
  type Endpoint,
  type NamedPort,
  type NetworkPolicy,
  type PolicyNamespace,
  type PolicyNode,
  type PolicyPod,
  type PolicySettings,
  type PolicyState,
  PROTOCOL_NUMBER,
  podKey,
} from './model.ts'
export { evaluate } from './verdict.ts'
