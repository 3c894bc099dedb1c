// What a resource kind is made of: names, scope, one zod schema for the whole object, rules over several fields, and columns.
// Types, defaults, validation, documentation and the CRDs all come from here, so a schema uses only what `z.toJSONSchema` can
// express, plus rules and refinements that carry their words with them.
import { z } from 'zod'
import { coreMetadata, userMetadata } from './metadata.ts'
import { constrained, type Rule } from './rules.ts'

export const GROUP_VERSION = 'fibula.network/v1alpha1'

/**
 * A column of `kubectl get` and `fibula get`; `path` is a JSONPath of plain names, like `.spec.peerIP`, or of one item of a list by
 * the value of a field, like `.status.conditions[?(@.type=="Ready")].status`. `wide`: only with `-o wide`.
 */
export type PrinterColumn = { readonly name: string; readonly path: string; readonly wide?: boolean }

type KindNames<Kind extends string> = {
  readonly kind: Kind
  readonly plural: string
  readonly shortNames: readonly string[]
  readonly description: string
  readonly columns: readonly PrinterColumn[]
}

/**
 * - `user`: ours, written by people; unknown fields are errors.
 * - `machine`: ours, written by agents and the controller; fields a newer version added are kept.
 * - `core`: Kubernetes' own, read only as far as we need; other fields are ignored.
 */
export type Writer = 'user' | 'machine' | 'core'

/** A kind of our own group: cluster-scoped, with `spec` and `status`. */
export function defineKind<const Kind extends string, Spec extends z.ZodType, Status extends z.ZodType>(
  definition: KindNames<Kind> & {
    readonly writer: 'user' | 'machine'
    /** What `kubectl get --field-selector` may ask for beside the name; at most 8 (Kubernetes: selectableFields). */
    readonly selectableFields?: readonly string[]
    readonly spec: Spec
    readonly status: Status
    /** Rules over more than the spec, such as its relation to the name. */
    readonly rules?: readonly Rule<{ readonly metadata: { readonly name: string }; readonly spec: z.output<Spec> }>[]
  },
) {
  const { kind, spec, status, rules = [], selectableFields = [], ...names } = definition
  const object = z.strictObject({
    apiVersion: z.literal(GROUP_VERSION),
    kind: z.literal(kind),
    metadata: userMetadata,
    spec,
    status: status.optional(),
  })
  const schema = constrained(
    object,
    rules.map((rule) => ({ ...rule, holds: (value) => rule.holds(value as Parameters<typeof rule.holds>[0]) })),
  )
  return {
    ...names,
    selectableFields,
    keptInState: definition.writer === 'machine',
    salvage: null,
    kind,
    apiVersion: GROUP_VERSION,
    singular: kind.toLowerCase(),
    scope: 'Cluster',
    schema,
  } as const
}

/** A kind of Kubernetes itself: only the fields we read, everything else dropped. */
export function defineCoreKind<const Kind extends string, const Version extends string, Body extends z.core.$ZodLooseShape>(
  definition: KindNames<Kind> & {
    readonly apiVersion: Version
    readonly scope: 'Cluster' | 'Namespaced'
    /** Written by Fibula alone: in a folder it lies in `state/`, beside the kinds of machines. */
    readonly keptInState?: boolean
    readonly body: Body
    /** What to go by where an object of a cluster does not parse; without it such an object is left out. Never throws. */
    readonly salvage?: (object: Readonly<Record<string, unknown>>) => z.output<z.ZodObject<Body>>
  },
) {
  const { kind, apiVersion, body, keptInState = false, salvage = null, ...names } = definition
  const schema = z.object({ apiVersion: z.literal(apiVersion), kind: z.literal(kind), metadata: coreMetadata, ...body })
  const singular = kind.toLowerCase()
  return { ...names, selectableFields: [], keptInState, salvage, kind, apiVersion, singular, writer: 'core', schema } as const
}
