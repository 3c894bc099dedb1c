// Metrics of policy: its state, and packets dropped by pod and direction.

import { Counter, Gauge, type Registry } from '../../lib/prometheus.ts'
import { unreachable } from '../../lib/result.ts'
import type { PolicyStage } from './inputs.ts'
import type { PolicyFigures } from './runtime.ts'

export type PolicySample = PolicyFigures & {
  /** Pods and other endpoints: packets dropped since their rules were last written. */
  readonly drops: readonly {
    readonly namespace: string
    readonly pod: string
    readonly direction: 'ingress' | 'egress'
    readonly packets: number
  }[]
}

/** `read` takes over the figures of this moment; null: this agent enforces no policy. */
export function policyMetrics(registry: Registry): { readonly read: (sample: PolicySample | null) => void } {
  const registers = [registry]
  const gauge = (name: string, help: string, labelNames: string[] = []) => new Gauge({ name, help, labelNames, registers })
  const state = gauge('fibula_policy_state', '0: not known yet; 1: no policy in the cluster; 2: pods are being listed; 3: enforced.')
  const policies = gauge('fibula_policy_policies', 'NetworkPolicies and ClusterNetworkPolicies that are followed.')
  const endpoints = gauge('fibula_policy_endpoints', 'Interfaces of pods.')
  const write = gauge('fibula_policy_last_write_seconds', "Time of the last change of rules, from its compilation to the kernel's yes.")
  const drops = gauge(
    'fibula_policy_dropped_packets',
    'Packets dropped for a pod since its rules were last written; falls to 0 when they are.',
    ['namespace', 'pod', 'direction'],
  )
  const cut = new Counter({
    name: 'fibula_policy_connections_cut_total',
    help: 'Established connections cut because a change of policy forbids them.',
    registers,
  })
  return {
    read(sample) {
      for (const metric of [state, policies, endpoints, write, drops, cut]) metric.reset()
      if (sample === null) return
      state.set(numberOf(sample.stage))
      policies.set(sample.policies)
      endpoints.set(sample.endpoints)
      if (sample.lastWriteMs !== null) write.set(sample.lastWriteMs / 1000)
      cut.inc(sample.connectionsCut)
      for (const { namespace, pod, direction, packets } of sample.drops) drops.set({ namespace, pod, direction }, packets)
    },
  }
}

function numberOf(stage: PolicyStage): number {
  switch (stage) {
    case 'unknown':
      return 0
    case 'none':
      return 1
    case 'listing':
      return 2
    case 'listed':
      return 3
    default:
      return unreachable(stage)
  }
}
