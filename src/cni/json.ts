// Reading JSON from outside, field by field, with errors that name the field (pure).
import { quoteText } from '../lib/log.ts'
import { CNI_CODE, CniError } from './error.ts'

export type JsonObject = { readonly [key: string]: unknown }

/** The configuration is wrong (code 7). `what` says what the field has to be. */
export function invalid(field: string, value: unknown, what: string): CniError {
  return new CniError({ code: CNI_CODE.invalidConfig, message: `network configuration: ${field} is ${shown(value)}: it must be ${what}` })
}

/** The field is known, its value is not supported (code 2): the message has key and value, as the specification asks. */
export function unsupported(field: string, value: unknown, remedy: string): CniError {
  return new CniError({
    code: CNI_CODE.unsupportedField,
    message: `network configuration: unsupported value of ${field}: ${shown(value)}: ${remedy}`,
  })
}

/** A value from outside as it may stand in a message. */
export function shown(value: unknown): string {
  if (value === undefined) return 'missing'
  return quoteText(typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value)), 120)
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An object; absent and null: undefined. */
export function optionalObject(field: string, value: unknown): JsonObject | undefined {
  if (value === undefined || value === null) return undefined
  if (!isObject(value)) throw invalid(field, value, 'an object')
  return value
}

/** A list; absent and null: empty. */
export function list(field: string, value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw invalid(field, value, 'a list')
  return value
}

export function text(field: string, value: unknown): string {
  if (typeof value !== 'string') throw invalid(field, value, 'text')
  return value
}

/** Text; absent, null and empty: undefined. */
export function optionalText(field: string, value: unknown): string | undefined {
  if (value === undefined || value === null || value === '') return undefined
  return text(field, value)
}

export function texts(field: string, value: unknown): readonly string[] {
  return list(field, value).map((each, at) => text(`${field}[${at}]`, each))
}

/** An integer; absent and null: undefined. */
export function optionalInteger(field: string, value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw invalid(field, value, 'an integer')
  return value
}
