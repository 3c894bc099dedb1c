// The timers of one session, and what has to be weighed before one of them counts: the HoldTimer is not taken at its word, and
// the SendHoldTimer runs only while something waits to be sent.
import type { Clock } from '../lib/clock.ts'
import { type TimerName, timerMs } from './fsm/index.ts'
import { RestartableTimer } from './restartable-timer.ts'

export interface TimerObserver {
  expired(timer: TimerName | 'sendHold'): void
}

export class SessionTimers implements Disposable {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #timers: { readonly [T in TimerName]: RestartableTimer }
  readonly #sendHold: RestartableTimer
  #secondLook: Disposable | null = null
  #holdSeconds = 0
  #isHoldSuspended = false

  constructor(deps: { readonly clock: Clock; readonly random: () => number }, observer: TimerObserver) {
    this.#clock = deps.clock
    this.#random = deps.random
    const timer = (name: TimerName | 'sendHold'): RestartableTimer => new RestartableTimer(deps.clock, () => observer.expired(name))
    this.#timers = {
      connectRetry: timer('connectRetry'),
      keepalive: timer('keepalive'),
      hold: new RestartableTimer(deps.clock, () => this.#holdExpired(observer)),
    }
    this.#sendHold = timer('sendHold')
  }

  arm(timer: TimerName, seconds: number): void {
    if (timer === 'hold') {
      this.#holdSeconds = seconds
      this.#forgetSecondLook()
    }
    this.#timers[timer].restart(timerMs(timer, seconds, this.#random()))
  }

  stop(timer: TimerName): void {
    if (timer === 'hold') this.#forgetSecondLook()
    this.#timers[timer].stop()
  }

  /** While we do not read from the peer, its silence cannot be judged; afterwards it gets a whole hold time again. */
  suspendHold(isSuspended: boolean): void {
    if (this.#isHoldSuspended && !isSuspended && this.#timers.hold.isRunning) this.arm('hold', this.#holdSeconds)
    this.#isHoldSuspended = isSuspended
  }

  /**
   * RFC 9687: tells how much waits for the kernel to take it. Runs for `limitSeconds` (null: off) as long as nothing is taken.
   */
  watchSending(waitingBytes: number, hasProgressed: boolean, limitSeconds: number | null): void {
    if (waitingBytes === 0 || limitSeconds === null) this.#sendHold.stop()
    else if (hasProgressed || !this.#sendHold.isRunning) this.#sendHold.restart(limitSeconds * 1_000)
  }

  [Symbol.dispose](): void {
    for (const timer of Object.values(this.#timers)) timer[Symbol.dispose]()
    this.#sendHold[Symbol.dispose]()
    this.#forgetSecondLook()
  }

  /**
   * The hold time is over by the clock. If the event loop was blocked, what the peer sent in time may still wait in the socket:
   * let it be read first, then judge.
   */
  #holdExpired(observer: TimerObserver): void {
    if (this.#isHoldSuspended) {
      this.arm('hold', this.#holdSeconds)
      return
    }
    this.#secondLook = this.#clock.soon(() => {
      this.#secondLook = null
      observer.expired('hold')
    })
  }

  #forgetSecondLook(): void {
    this.#secondLook?.[Symbol.dispose]()
    this.#secondLook = null
  }
}
