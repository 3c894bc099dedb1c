// When a peer that is not connected is tried again: after the idle hold time, which grows while it keeps failing, or after the
// pause that too many prefixes cost it.
import type { Clock } from '../lib/clock.ts'
import { type Damping, type IdleCause, idleHold, UNDAMPED } from './fsm/index.ts'

type Pause = { readonly kind: 'idleHold' | 'maxPrefixes'; readonly admitsIncoming: boolean; readonly timer: Disposable | null }

export class Rest {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #isOver: () => void
  #damping: Damping = UNDAMPED
  #pause: Pause | null = null

  /** `isOver` is called when it is time to try again; not after `end`. */
  constructor(deps: { readonly clock: Clock; readonly random: () => number }, isOver: () => void) {
    this.#clock = deps.clock
    this.#random = deps.random
    this.#isOver = isOver
  }

  /** Failures since the last stable session (RFC 4271 §8). */
  get connectRetryCounter(): number {
    return this.#damping.connectRetryCounter
  }

  /** The peer may connect to us now. */
  get admitsIncoming(): boolean {
    return this.#pause?.admitsIncoming ?? true
  }

  /** Nothing happens until the pause is over, whoever begins. */
  get isForTooManyPrefixes(): boolean {
    return this.#pause?.kind === 'maxPrefixes'
  }

  /** Begins the idle hold time that `cause` calls for, in place of any before. */
  after(cause: IdleCause, connectRetrySeconds: number): void {
    const { damping, delayMs, admitsIncoming } = idleHold(this.#damping, cause, connectRetrySeconds, this.#random())
    this.#damping = damping
    this.#begin('idleHold', admitsIncoming, delayMs)
  }

  /** RFC 4486 §4; null: until somebody ends it. */
  afterTooManyPrefixes(seconds: number | null): void {
    this.#begin('maxPrefixes', false, seconds === null ? null : seconds * 1_000)
  }

  end(): void {
    this.#pause?.timer?.[Symbol.dispose]()
    this.#pause = null
  }

  /** A person has changed something: what went wrong before is no reason to wait. */
  forgive(): void {
    this.#damping = UNDAMPED
    this.end()
  }

  #begin(kind: Pause['kind'], admitsIncoming: boolean, delayMs: number | null): void {
    this.end()
    const resume = (): void => {
      this.#pause = null
      this.#isOver()
    }
    this.#pause = { kind, admitsIncoming, timer: delayMs === null ? null : this.#clock.after(delayMs, resume) }
  }
}
