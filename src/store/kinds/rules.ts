// Conditions that a JSON schema alone cannot say, in two languages: a function for this program, and CEL for the API server, which
// gets them with the schemas (crds/). Tests hold both to the same verdicts.
import type { z } from 'zod'

/** Where a rule's words travel in the JSON schema, for the reference. */
export const RULES_KEY = 'x-fibula-rules'
/** Where the API server looks for rules in the Common Expression Language. */
export const CEL_KEY = 'x-kubernetes-validations'

/** One rule of a CRD (CustomResourceDefinition, x-kubernetes-validations). `fieldPath` is relative to where the rule stands. */
export type CelRule = { readonly rule: string; readonly message: string; readonly fieldPath?: string }

/**
 * A condition over several fields. `message` says what must hold and what to do, and is what the user reads. `cel` is the same
 * condition for the API server; kinds that are not ours need none.
 */
export type Rule<T> = {
  readonly path: readonly (string | number)[]
  readonly message: string
  readonly holds: (value: T) => boolean
  readonly cel?: string
}

/** The CEL twin of a field's own check. */
export function admitted(rule: string, message: string): { readonly [CEL_KEY]: readonly CelRule[] } {
  return { [CEL_KEY]: [{ rule, message }] }
}

/** Adds rules to an object schema; they run once every field by itself is right. */
export function constrained<S extends z.ZodType>(schema: S, rules: readonly Rule<z.output<S>>[]): S {
  const checked = schema.check((payload) => {
    if (payload.issues.length > 0) return
    for (const { path, message, holds } of rules) {
      if (!holds(payload.value)) payload.issues.push({ code: 'custom', path: [...path], message, input: payload.value })
    }
  })
  const cel = rules.flatMap(({ cel: rule, message, path }): readonly CelRule[] =>
    rule === undefined ? [] : [{ rule, message, ...fieldPathOf(path) }],
  )
  return checked.meta({ [RULES_KEY]: rules.map(({ message }) => message), ...(cel.length === 0 ? {} : { [CEL_KEY]: cel }) })
}

/** Of metadata the API server knows only the name, and not as a field. */
function fieldPathOf(path: Rule<unknown>['path']): { readonly fieldPath?: string } {
  return path.length === 0 || path[0] === 'metadata' ? {} : { fieldPath: path.map((part) => `.${part}`).join('') }
}
