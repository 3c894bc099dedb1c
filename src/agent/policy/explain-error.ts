// Apart from what throws it, which is loaded only when it is needed.

/** What was asked about is not there, or is not understood; the message says what to do. */
export class ExplainError extends Error {
  readonly code: 'USAGE' | 'NOT_FOUND'
  constructor(code: ExplainError['code'], message: string) {
    super(message)
    this.name = 'ExplainError'
    this.code = code
  }
}
