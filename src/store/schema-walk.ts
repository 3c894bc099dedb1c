// Looks into a zod schema by the path of a value: which schema is there, which fields it has, what it is described as.
import { z } from 'zod'

/** The schema without the wrappers that make it optional or give it a default. */
function unwrapSchema(schema: z.core.$ZodType): z.core.$ZodType {
  const def = schema._zod.def
  switch (def.type) {
    case 'optional':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'nullable':
    case 'readonly':
      return unwrapSchema((def as z.core.$ZodOptionalDef).innerType)
    default:
      return schema
  }
}

/** The schema of what lies at `path`, or null if the path leads nowhere. */
export function schemaAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): z.core.$ZodType | null {
  let here: z.core.$ZodType = schema
  for (const key of path) {
    const next = stepInto(unwrapSchema(here), key)
    if (next === null) return null
    here = next
  }
  return here
}

function stepInto(schema: z.core.$ZodType, key: PropertyKey): z.core.$ZodType | null {
  const def = schema._zod.def
  switch (def.type) {
    case 'object': {
      const { shape } = def as z.core.$ZodObjectDef
      return typeof key === 'string' && Object.hasOwn(shape, key) ? (shape[key] ?? null) : null
    }
    case 'array':
      return (def as z.core.$ZodArrayDef).element
    case 'record':
      return (def as z.core.$ZodRecordDef).valueType
    default:
      return null
  }
}

/** The fields of the object at `path`; empty if there is none. */
export function fieldsAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly string[] {
  const found = schemaAt(schema, path)
  const def = found === null ? null : unwrapSchema(found)._zod.def
  return def?.type === 'object' ? Object.keys((def as z.core.$ZodObjectDef).shape) : []
}

/** What `.meta()` says of a schema or of what it wraps. */
export function metaOf(schema: z.core.$ZodType | null): Readonly<Record<string, unknown>> {
  if (schema === null) return {}
  const inner = unwrapSchema(schema)
  return { ...(inner === schema ? {} : z.globalRegistry.get(inner)), ...z.globalRegistry.get(schema) }
}
