// All that is wrong on this node at present, by who found it; each thing is logged once, when it is found.
import type { Log } from '../lib/log.ts'
import type { Problem } from './control-api.ts'

export type ProblemSource = 'store' | 'inputs' | 'configuration' | 'bgp' | 'dataplane' | 'pods' | 'services' | 'policy' | 'report' | 'node'

export class ProblemBoard {
  readonly #log: Log
  readonly #changed: () => void
  readonly #problems = new Map<ProblemSource, readonly Problem[]>()

  constructor(log: Log, changed: () => void) {
    this.#log = log
    this.#changed = changed
  }

  get all(): readonly Problem[] {
    return [...this.#problems.values()].flat()
  }

  of(...sources: readonly ProblemSource[]): readonly Problem[] {
    return sources.flatMap((source) => this.#problems.get(source) ?? [])
  }

  /** From now on these, of this source. */
  set(source: ProblemSource, problems: readonly Problem[]): void {
    const before = this.#problems.get(source) ?? []
    const textOf = ({ severity, subject, message }: Problem): string => `${severity} ${subject} ${message}`
    const known = new Set(before.map(textOf))
    this.#problems.set(source, problems)
    const news = problems.filter((problem) => !known.has(textOf(problem)))
    for (const { severity, subject, message } of news) {
      if (severity === 'error') this.#log.error('agent.problem.found', { source, subject, message })
      else this.#log.warn('agent.problem.found', { source, subject, message })
    }
    if (news.length > 0 || problems.length !== before.length) this.#changed()
  }
}
