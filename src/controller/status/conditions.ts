// Conditions as Kubernetes has them (API conventions, "Typical status properties"), from findings (pure).
import type { IPPool } from '../../store/index.ts'
import type { ConditionType, Finding } from '../findings/finding.ts'
import { SELECTS_NO_NODE } from '../findings/finding.ts'

export type StoredCondition = NonNullable<IPPool['status']>['conditions'][number]

/** A condition before it is known when it last changed. */
export type WantedCondition = {
  readonly type: ConditionType
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
}

/** Longer ones help nobody, and each is sent to every node. */
const MAX_MESSAGE = 2_000

/** The condition `type` of an object: `fine`, unless findings say otherwise. The worst of them gives the reason, all give the message. */
export function conditionFrom(
  type: ConditionType,
  findings: readonly Finding[],
  fine: Pick<WantedCondition, 'reason' | 'message'>,
): WantedCondition {
  const own = findings.filter(({ condition }) => condition === type)
  const [worst] = own // findings come errors first
  if (worst === undefined) return { type, status: 'True', ...fine }
  const message = own.map((finding) => finding.message).join('; ')
  const status = worst.reason === SELECTS_NO_NODE ? 'Unknown' : 'False'
  return { type, status, reason: worst.reason, message: message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE - 1)}…` : message }
}

/** `wanted` beside what others have written, with the time since when each status holds. */
export function mergeConditions(
  before: readonly StoredCondition[],
  wanted: readonly WantedCondition[],
  generation: number | undefined,
  now: string,
): readonly StoredCondition[] {
  const types = new Set<string>(wanted.map(({ type }) => type))
  const own = wanted.map((condition): StoredCondition => {
    const known = before.find(({ type }) => type === condition.type)
    const lastTransitionTime = known !== undefined && known.status === condition.status ? known.lastTransitionTime : now
    return { ...condition, lastTransitionTime, ...(generation === undefined ? {} : { observedGeneration: generation }) }
  })
  return [...before.filter(({ type }) => !types.has(type)), ...own]
}
