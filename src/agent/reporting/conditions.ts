// The conditions of a NodeNetwork (pure): each says in one word and in a sentence how one part of the node is.
import type { PeerStatus } from '../../bgp/index.ts'
import type { NodeNetwork } from '../../store/index.ts'
import type { Problem } from '../control-api.ts'

type StoredCondition = NonNullable<NodeNetwork['status']>['conditions'][number]
type Finding = Pick<StoredCondition, 'type' | 'status' | 'reason' | 'message'>

export type ConditionFacts = {
  readonly peers: readonly PeerStatus[]
  /** Why traffic cannot rely on the agent yet, in words; empty: it can. */
  readonly notReadyBecause: readonly string[]
  /** The kernel has held what is wanted at least once since the start. */
  readonly isDataplaneSynced: boolean
  readonly dataplaneProblems: readonly Problem[]
  readonly configurationProblems: readonly Problem[]
  /** Whether a pod can be given a network; null: no CNI is served. */
  readonly podNetwork: { readonly notReadyBecause: string | null } | null
}

/** How many things a message names before it only counts them. */
const NAMED = 5

export function conditionsOf(
  facts: ConditionFacts,
  before: readonly StoredCondition[],
  generation: number | undefined,
  now: string,
): readonly StoredCondition[] {
  const findings = [readyOf(facts), ...sessionsOf(facts), dataplaneOf(facts), ...ipamOf(facts), configurationOf(facts)]
  return findings.map((finding) => {
    const known = before.find(({ type }) => type === finding.type)
    const lastTransitionTime = known?.status === finding.status ? known.lastTransitionTime : now
    return { ...finding, lastTransitionTime, ...(generation === undefined ? {} : { observedGeneration: generation }) }
  })
}

function readyOf({ notReadyBecause }: ConditionFacts): Finding {
  if (notReadyBecause.length === 0) return { type: 'Ready', status: 'True', reason: 'AgentReady', message: 'traffic may rely on this node' }
  return { type: 'Ready', status: 'False', reason: 'NotReadyYet', message: listed(notReadyBecause) }
}

function sessionsOf({ peers }: ConditionFacts): readonly Finding[] {
  const type = 'SessionsEstablished'
  const wanted = peers.filter(({ adminShutdown }) => !adminShutdown)
  const down = wanted.filter(({ state }) => state !== 'Established')
  if (wanted.length === 0)
    return [{ type, status: 'True', reason: 'NoSessions', message: 'no BGPPeer and no mesh asks for a session on this node' }]
  if (down.length === 0) return [{ type, status: 'True', reason: 'AllEstablished', message: `${wanted.length} of ${wanted.length} are up` }]
  const reasons = down.map(({ name, lastError }) => (lastError === null ? name : `${name} (${lastError})`))
  const reason = down.length === wanted.length ? 'NoneEstablished' : 'SomeDown'
  return [{ type, status: 'False', reason, message: `${down.length} of ${wanted.length} are down: ${listed(reasons)}` }]
}

function dataplaneOf({ isDataplaneSynced, dataplaneProblems }: ConditionFacts): Finding {
  const type = 'DataplaneSynced'
  if (!isDataplaneSynced)
    return { type, status: 'False', reason: 'NotSyncedYet', message: 'the kernel does not hold the routes of this node yet' }
  const errors = dataplaneProblems.filter(({ severity }) => severity === 'error')
  if (errors.length === 0) return { type, status: 'True', reason: 'Synced', message: 'the kernel holds what is wanted' }
  return { type, status: 'False', reason: 'KernelRefused', message: listed(errors.map(({ subject, message }) => `${subject}: ${message}`)) }
}

function ipamOf({ podNetwork }: ConditionFacts): readonly Finding[] {
  const type = 'IPAMReady'
  if (podNetwork === null) return []
  const reason = podNetwork.notReadyBecause
  if (reason === null) return [{ type, status: 'True', reason: 'AddressesReady', message: 'a pod can be given a network' }]
  return [{ type, status: 'False', reason: 'NoPodNetwork', message: reason }]
}

function configurationOf({ configurationProblems }: ConditionFacts): Finding {
  const type = 'ConfigurationAccepted'
  const errors = configurationProblems.filter(({ severity }) => severity === 'error')
  if (errors.length === 0) return { type, status: 'True', reason: 'Accepted', message: 'this node can do all that it is asked to' }
  return { type, status: 'False', reason: 'ProblemsFound', message: listed(errors.map(({ subject, message }) => `${subject}: ${message}`)) }
}

function listed(items: readonly string[]): string {
  const more = items.length - NAMED
  return `${items.slice(0, NAMED).join('; ')}${more > 0 ? `; and ${more} more` : ''}`
}
