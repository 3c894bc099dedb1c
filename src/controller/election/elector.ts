// The shell around the election: reads and writes the Lease every few seconds, and says when this replica leads and when it no longer
// does. Whoever acts as leader asks `isLeading` before every write, and passes `signal`, which aborts when the time is up.
import { type Clock, systemClock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { unreachable } from '../../lib/result.ts'
import { type Lease, type Store, StoreError } from '../../store/index.ts'
import {
  candidate,
  ELECTION_TIMES,
  type ElectionState,
  type ElectionTimes,
  isLeading,
  onDeadline,
  onRead,
  onWritten,
  type SeenLease,
  type Step,
} from './election.ts'

export type ElectorDeps = {
  readonly store: Pick<Store, 'get' | 'create' | 'update'>
  readonly namespace: string
  readonly name: string
  readonly identity: string
  readonly log: Log
  readonly clock?: Clock
  readonly times?: ElectionTimes
  /** From 0 to 1: spreads the attempts of replicas. */
  readonly random?: () => number
  /** This replica leads from now on; `signal` aborts as soon as it does not. */
  readonly onElected: (signal: AbortSignal) => void
  /** It no longer leads. */
  readonly onLost: () => void
}

/** Why an attempt failed, or null; for readiness and metrics. */
export type ElectorView = { readonly isLeading: boolean; readonly leader: string | null; readonly trouble: string | null }

export class Elector implements AsyncDisposable {
  readonly #deps: ElectorDeps
  readonly #clock: Clock
  readonly #times: ElectionTimes
  readonly #ending = new AbortController()
  #state: ElectionState
  #lease: Lease | null = null
  #term: AbortController | null = null
  #timer: Disposable | null = null
  #deadline: Disposable | null = null
  #attempt: Promise<void> = Promise.resolve()
  #hasRead = false
  #trouble: string | null = null

  constructor(deps: ElectorDeps) {
    this.#deps = deps
    this.#clock = deps.clock ?? systemClock
    this.#times = deps.times ?? ELECTION_TIMES
    this.#state = candidate(deps.identity)
  }

  start(): void {
    this.#attempt = this.#tryOnce()
  }

  get isLeading(): boolean {
    return isLeading(this.#state, this.#clock.nowMs())
  }

  view(): ElectorView {
    const { sighting, identity } = this.#state
    const holder = this.isLeading ? identity : (sighting?.lease.holder ?? '')
    const trouble = this.#trouble ?? (this.#hasRead ? null : 'the Lease has not been read yet')
    return { isLeading: this.isLeading, leader: holder === '' ? null : holder, trouble }
  }

  /** Leads no more and gives the Lease back, so that another replica need not wait. */
  async [Symbol.asyncDispose](): Promise<void> {
    const wasLeading = this.isLeading
    this.#ending.abort(new Error('the controller ends'))
    this.#timer?.[Symbol.dispose]()
    this.#deadline?.[Symbol.dispose]()
    this.#endTerm()
    await this.#attempt
    if (!wasLeading) return
    const { store, namespace, name, identity } = this.#deps
    const signal = AbortSignal.timeout(this.#times.retryPeriodMs)
    try {
      const lease = await store.get('Lease', { namespace, name }, signal) // a renewal that was under way may have landed
      if (lease?.spec.holderIdentity !== identity) return
      const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: this.#microTime() }
      await store.update({ ...lease, spec }, {}, signal)
      this.#deps.log.info('controller.lease.released', { lease: name })
    } catch (error) {
      this.#deps.log.warn('controller.lease.notReleased', { err: error }) // it runs out by itself
    }
  }

  async #tryOnce(): Promise<void> {
    const signal = AbortSignal.any([this.#ending.signal, AbortSignal.timeout(this.#times.renewDeadlineMs / 2)])
    try {
      await this.#readAndWrite(signal)
      this.#trouble = null
      this.#hasRead = true
    } catch (error) {
      if (this.#ending.signal.aborted) return
      const isRace = error instanceof StoreError && (error.code === 'CONFLICT' || error.code === 'ALREADY_EXISTS')
      if (isRace)
        this.#hasRead = true // somebody was faster: look again
      else this.#failed(error)
    }
    if (this.#ending.signal.aborted) return
    this.#state = onDeadline(this.#state, this.#clock.nowMs())
    this.#follow()
    const { random = Math.random } = this.#deps
    // Jitter only adds: renewing must not slip behind its deadline by more than a few attempts.
    const delayMs = this.#times.retryPeriodMs * (1 + 0.1 * random())
    this.#timer = this.#clock.after(delayMs, () => {
      this.#attempt = this.#tryOnce()
    })
  }

  async #readAndWrite(signal: AbortSignal): Promise<void> {
    const { store, namespace, name } = this.#deps
    this.#lease = await store.get('Lease', { namespace, name }, signal)
    const seen = this.#lease === null ? null : seenOf(this.#lease)
    const { state, step } = onRead(this.#state, seen, this.#clock.nowMs(), this.#times)
    this.#state = state
    if (step.kind === 'wait') {
      this.#follow()
      return
    }
    const sentAtMs = this.#clock.nowMs()
    const written = await this.#write(step, signal)
    this.#lease = written
    this.#state = onWritten(this.#state, seenOf(written), { sentAtMs, nowMs: this.#clock.nowMs() }, this.#times)
    this.#follow()
  }

  async #write(step: Exclude<Step, { kind: 'wait' }>, signal: AbortSignal): Promise<Lease> {
    const { store, namespace, name, identity } = this.#deps
    const now = this.#microTime()
    const before = this.#lease?.spec
    const spec = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(this.#times.leaseDurationMs / 1000),
      acquireTime: step.kind === 'renew' ? (before?.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: step.transitions,
    }
    switch (step.kind) {
      case 'create':
        return store.create({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name, namespace }, spec }, {}, signal)
      case 'take':
      case 'renew': {
        if (this.#lease === null) throw new Error('a Lease is only written as it was read')
        return store.update({ ...this.#lease, spec: { ...this.#lease.spec, ...spec } }, {}, signal)
      }
      default:
        return unreachable(step)
    }
  }

  /** Begins or ends the term, as the state says. */
  #follow(): void {
    if (this.#ending.signal.aborted) return
    const nowMs = this.#clock.nowMs()
    if (!isLeading(this.#state, nowMs)) {
      this.#endTerm()
      return
    }
    this.#deadline?.[Symbol.dispose]()
    this.#deadline = this.#clock.after((this.#state.leadsUntilMs ?? nowMs) - nowMs, () => {
      this.#state = onDeadline(this.#state, this.#clock.nowMs())
      this.#follow()
    })
    if (this.#term !== null) return
    this.#term = new AbortController()
    this.#deps.log.info('controller.lease.acquired', { lease: this.#deps.name, identity: this.#deps.identity })
    this.#deps.onElected(this.#term.signal)
  }

  #endTerm(): void {
    this.#deadline?.[Symbol.dispose]()
    this.#deadline = null
    const term = this.#term
    if (term === null) return
    this.#term = null
    this.#state = { ...this.#state, leadsUntilMs: null }
    term.abort(new Error('this replica no longer leads'))
    if (!this.#ending.signal.aborted) this.#deps.log.warn('controller.lease.lost', { lease: this.#deps.name })
    this.#deps.onLost()
  }

  #failed(error: unknown): void {
    const trouble = error instanceof Error ? error.message : String(error)
    if (trouble !== this.#trouble) this.#deps.log.warn('controller.lease.failed', { lease: this.#deps.name, err: error })
    this.#trouble = trouble
  }

  /** MicroTime of Kubernetes: exactly six digits of a second's fraction. For people; never compared. */
  #microTime(): string {
    return new Date(this.#clock.wallMs()).toISOString().replace('Z', '000Z')
  }
}

function seenOf({ metadata, spec }: Lease): SeenLease {
  const { holderIdentity, leaseDurationSeconds, leaseTransitions } = spec
  return {
    version: metadata.resourceVersion ?? '',
    holder: holderIdentity,
    durationMs: leaseDurationSeconds === undefined ? null : leaseDurationSeconds * 1000,
    transitions: leaseTransitions,
  }
}
