// Conditions of a status that several programs write, each its own (pure). What an API server does by server-side apply, for the
// stores that have none: each manager's conditions lie over the rest of the status, and go when their manager leaves them out.
import type { Condition } from './port.ts'
import { isMapping } from './validate.ts'

export type StampedCondition = Condition & { readonly lastTransitionTime: string }
/** What each manager applied last, by its name. */
export type AppliedConditions = Readonly<Record<string, readonly StampedCondition[]>>

/** With the time at which the status of each last changed: as it is in `before`, else now, `nowMs` since 1970. */
export function stamped(conditions: readonly Condition[], before: readonly unknown[], nowMs: number): readonly StampedCondition[] {
  const now = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z') // whole seconds, as Kubernetes writes times
  return conditions.map((condition) => {
    const known = before.find((other) => isMapping(other) && other['type'] === condition.type && other['status'] === condition.status)
    const since = isMapping(known) ? known['lastTransitionTime'] : undefined
    return { ...condition, lastTransitionTime: typeof since === 'string' ? since : now }
  })
}

/** Two applications are one if they say the same, whenever they say it. */
export function sameConditions(a: readonly StampedCondition[], b: readonly StampedCondition[]): boolean {
  const text = (conditions: readonly StampedCondition[]): string =>
    JSON.stringify(
      conditions.map(({ type, status, reason, message, observedGeneration }) => [
        type,
        status,
        reason,
        message,
        observedGeneration ?? null,
      ]),
    )
  return text(a) === text(b)
}

/** A status with the conditions of all managers over those it has. */
export function withConditions(status: unknown, applied: AppliedConditions): unknown {
  const all = Object.values(applied).flat()
  if (all.length === 0) return status
  const types = new Set(all.map(({ type }) => type))
  const kept = conditionsOf(status).filter((condition) => !isMapping(condition) || !types.has(String(condition['type'])))
  return { ...(isMapping(status) ? status : {}), conditions: [...kept, ...all] }
}

export function conditionsOf(status: unknown): readonly unknown[] {
  const conditions = isMapping(status) ? status['conditions'] : undefined
  return Array.isArray(conditions) ? conditions : []
}

/** A status without the conditions of a manager that are still as it applied them. */
export function withoutConditions(status: unknown, applied: readonly StampedCondition[]): unknown {
  if (applied.length === 0 || !isMapping(status)) return status
  return { ...status, conditions: conditionsOf(status).filter((condition) => !applied.some((ours) => isStill(ours, condition))) }
}

/** What is left of the applied conditions once somebody has written the whole status: those that say what they said. */
export function stillApplied(applied: AppliedConditions, status: unknown): AppliedConditions {
  const now = conditionsOf(status)
  const kept = Object.entries(applied).map(
    ([manager, conditions]) => [manager, conditions.filter((ours) => now.some((condition) => isStill(ours, condition)))] as const,
  )
  return Object.fromEntries(kept.filter(([, conditions]) => conditions.length > 0))
}

/** Readers may have been given less than the whole condition. */
function isStill({ type, status }: StampedCondition, condition: unknown): boolean {
  return isMapping(condition) && condition['type'] === type && condition['status'] === status
}
