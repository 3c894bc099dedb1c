// What derivation finds wrong, and the order in which it looks: by name, so that what wins never depends on arrival.
import type { Problem } from '../control-api.ts'

export interface Problems {
  /** `subject` as in `BGPPeer/tor-a`; `message` says what is wrong and what to do; `reason` is one word for programs. */
  error(subject: string, message: string, reason?: string): void
  warn(subject: string, message: string): void
}

/** Says each thing once, however many sessions it holds for. */
export class ProblemList implements Problems {
  readonly #problems = new Map<string, Problem>()

  get list(): readonly Problem[] {
    return [...this.#problems.values()]
  }

  error(subject: string, message: string, reason?: string): void {
    this.#add({ severity: 'error', subject, message, ...(reason === undefined ? {} : { reason }) })
  }

  warn(subject: string, message: string): void {
    this.#add({ severity: 'warning', subject, message })
  }

  #add(problem: Problem): void {
    this.#problems.set(`${problem.subject} ${problem.message}`, problem)
  }
}

/** For what another node's agent reports itself. */
export const IGNORED: Problems = { error: () => {}, warn: () => {} }

/** Objects of one kind in order of their keys. */
export function inOrder<T>(objects: ReadonlyMap<string, T>): readonly T[] {
  return [...objects].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object)
}
