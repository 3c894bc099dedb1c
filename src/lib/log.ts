// Structured logs behind a small port; bunyan is the adapter. Event names are `module.noun.pastVerb` and constant;
// values go in fields. Text from a peer or an API object passes through `quoteText` first.
import bunyan from 'bunyan'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, unknown>>

export interface Log {
  trace(event: string, fields?: LogFields): void
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
  /** True if lines of this level are written: guards costly fields on hot paths. */
  enabled(level: LogLevel): boolean
  child(fields: LogFields): Log
  /** Changes the level of this logger and of every child made from it. */
  setLevel(level: LogLevel): void
}

class BunyanLog implements Log {
  readonly #logger: bunyan
  #children: WeakRef<BunyanLog>[] = []
  constructor(logger: bunyan) {
    this.#logger = logger
  }
  trace(event: string, fields: LogFields = {}): void {
    this.#logger.trace(fields, event)
  }
  debug(event: string, fields: LogFields = {}): void {
    this.#logger.debug(fields, event)
  }
  info(event: string, fields: LogFields = {}): void {
    this.#logger.info(fields, event)
  }
  warn(event: string, fields: LogFields = {}): void {
    this.#logger.warn(fields, event)
  }
  error(event: string, fields: LogFields = {}): void {
    this.#logger.error(fields, event)
  }
  enabled(level: LogLevel): boolean {
    return this.#logger.level() <= bunyan.resolveLevel(level)
  }
  child(fields: LogFields): Log {
    const child = new BunyanLog(this.#logger.child(fields))
    this.#children.push(new WeakRef(child))
    return child
  }
  setLevel(level: LogLevel): void {
    this.#logger.level(level)
    this.#children = this.#children.filter((child) => {
      child.deref()?.setLevel(level)
      return child.deref() !== undefined
    })
  }
}

/** A logger that writes one JSON object a line to standard error. */
export function createLog(options: { readonly level: LogLevel; readonly fields?: LogFields }): Log {
  return new BunyanLog(
    bunyan.createLogger({
      name: 'fibula',
      level: options.level,
      stream: process.stderr,
      serializers: { err: bunyan.stdSerializers.err },
      ...options.fields,
    }),
  )
}

export const silentLog: Log = {
  trace: () => {},
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  enabled: () => false,
  child: () => silentLog,
  setLevel: () => {},
}

/** Text from outside, made safe for a log line or an error: control characters escaped, length limited, quoted. */
export function quoteText(text: string, limit = 200): string {
  const cut = text.length > limit ? `${text.slice(0, limit)}…` : text
  return JSON.stringify(cut).replace(
    /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
