// What can go wrong in a lab, in words for the person who started it.

/** `USAGE`: the topology or an argument is wrong; `FAILED`: the lab could not do what it was asked. */
export class LabError extends Error {
  readonly code: 'USAGE' | 'FAILED'
  constructor(code: LabError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'LabError'
    this.code = code
  }
}
