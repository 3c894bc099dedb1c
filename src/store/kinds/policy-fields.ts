// Fields that policies of Kubernetes share, and how what is not understood in them is read so that it never widens access.
import { z } from 'zod'
import { quoteText } from '../../lib/log.ts'
import { covers, parsePrefix, prefixFamily } from '../../net/index.ts'
import { labelKey, labels, labelValue } from './names.ts'
import { constrained } from './rules.ts'

/** A label selector as the API server admits it: without the bounds that our own kinds set. */
export function policySelector() {
  const requirement = constrained(
    z.strictObject({
      key: labelKey(),
      operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
      values: z.array(labelValue()).exactOptional(),
    }),
    [
      {
        path: ['values'],
        message: 'operators In and NotIn need at least one value; add values: [...]',
        holds: ({ operator, values = [] }) => (operator !== 'In' && operator !== 'NotIn') || values.length > 0,
      },
      {
        path: ['values'],
        message: 'operators Exists and DoesNotExist take no values; remove them',
        holds: ({ operator, values = [] }) => operator === 'In' || operator === 'NotIn' || values.length === 0,
      },
    ],
  )
  return z.strictObject({ matchLabels: labels().exactOptional(), matchExpressions: z.array(requirement).exactOptional() })
}

/** A prefix; bits behind its length are ignored, as Kubernetes does (validation of ipBlock). */
export function policyCidr() {
  return z
    .string()
    .refine((text) => parsePrefix(text) !== null, {
      error: ({ input }) => `${quoteText(String(input), 60)} is not a prefix; write it like 10.0.0.0/8 or fd00::/8`,
    })
    .meta({ format: 'cidr' })
}

/** True if `inner` is a part of `outer` and not all of it. Of what is no prefix nothing is said: another check does. */
export function isStrictlyInside(outer: string, inner: string): boolean {
  const [whole, part] = [parsePrefix(outer), parsePrefix(inner)]
  if (whole === null || part === null) return true
  return prefixFamily(whole) === prefixFamily(part) && part.length > whole.length && covers(whole, part)
}

export function portNumber() {
  return z.int().min(1).max(65_535)
}

/** As the field is written, or null: absent, or not understood. */
export function read<S extends z.ZodType>(schema: S, value: unknown): z.output<S> | null {
  const parsed = schema.safeParse(value)
  return parsed.success ? parsed.data : null
}

/** The items of a list one by one; null for those that are not understood. Not a list: one that is not understood. */
export function readEach<S extends z.ZodType>(schema: S, value: unknown): readonly (z.output<S> | null)[] {
  if (value === undefined) return []
  return Array.isArray(value) ? value.map((item) => read(schema, item)) : [null]
}

/** Null: it is none. */
export function asMapping(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null
}

/** True if every field of the value is one of these. */
export function hasOnly(value: Readonly<Record<string, unknown>>, fields: readonly string[]): boolean {
  return Object.keys(value).every((field) => fields.includes(field))
}
