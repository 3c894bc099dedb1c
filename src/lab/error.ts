// What can go wrong in a lab, in words for the person who started it.

/** The `code` of an error of the system, `ENOENT` for one; null: it is none. */
export function codeOf(cause: unknown): string | null {
  return typeof cause === 'object' && cause !== null && 'code' in cause && typeof cause.code === 'string' ? cause.code : null
}

/** `USAGE`: the topology or an argument is wrong; `FAILED`: the lab could not do what it was asked. */
export class LabError extends Error {
  readonly code: 'USAGE' | 'FAILED'
  constructor(code: LabError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'LabError'
    this.code = code
  }
}
