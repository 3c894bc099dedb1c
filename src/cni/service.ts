// Answers the runtime: what ADD, DEL, CHECK, STATUS, GC and VERSION mean, in terms of the ports. Requests for one attachment take turns;
// each has a deadline; every failure leaves as a spec error. The order of work on one attachment is in attachments.ts.
import { unreachable } from '../lib/result.ts'
import { Attachments, type AttachmentsDeps } from './attachments.ts'
import { CNI_CODE, type CniCode, CniError, type CniFault, type CniReply, faultReply } from './error.ts'
import type { CniInvocation } from './frame.ts'
import { JournalError } from './journal.ts'
import { KeyedLock, Semaphore } from './lock.ts'
import { keyText } from './names.ts'
import type { Attachment, AttachmentKey } from './ports.ts'
import {
  type AddRequest,
  type CheckRequest,
  type CniRequest,
  COMMANDS,
  type Command,
  type DelRequest,
  type GcRequest,
  parseInvocation,
} from './protocol.ts'
import { EMPTY_RESULT, formatResult, withLink } from './result.ts'
import { untilDone } from './retry.ts'
import type { CniHandler } from './server.ts'
import { versionAnswer } from './version.ts'

/** Why the node cannot give a pod a network, in words; `impairsRunningPods`: those that run have trouble too (code 51, else 50). */
export type CniUnreadiness = { readonly reason: string; readonly impairsRunningPods: boolean }

/** Told of every answer: for metrics, and for those who follow the attachments. */
export interface CniObserver {
  /** `code` is null for success. */
  requestEnded(ended: { readonly command: Command | null; readonly code: CniCode | null; readonly durationMs: number }): void
  /** The attachments of the journal have changed: host routes and advertised borrowed addresses may follow. */
  attachmentsChanged(): void
}

export type CniServiceDeps = AttachmentsDeps & {
  /** null: ready. Asked on every STATUS, and `addresses.notReadyBecause` after it. */
  readonly unreadiness: () => CniUnreadiness | null
  readonly observer?: CniObserver
  readonly limits?: Partial<CniLimits>
}

export type CniLimits = {
  /** Of one request, its waiting included (default 60 s). */
  readonly requestDeadlineMs: number
  /** ADDs at work at once, and DELs and CHECKs likewise (default 64 each). */
  readonly maxRunning: number
}

const DEFAULT_LIMITS: CniLimits = { requestDeadlineMs: 60_000, maxRunning: 64 }

/**
 * Lives from the first answer that IPAM and wiring can give until the agent stops. Disposing it ends ADDs under way with "try again
 * later" (all undone), lets the rest finish, and stops releases, which the next service over the same journal resumes.
 */
export class CniService implements CniHandler, AsyncDisposable {
  readonly #deps: CniServiceDeps
  readonly #limits: CniLimits
  readonly #attachments: Attachments
  readonly #locks = new KeyedLock()
  readonly #adds: Semaphore
  readonly #others: Semaphore
  /** Attachments that an ADD is making or waits to make. */
  readonly #adding = new Set<string>()
  readonly #running = new Set<Promise<unknown>>()
  readonly #ending = new AbortController()
  /** What STATUS answered last; undefined: ready, or not asked yet. */
  #unreadyBecause: string | undefined

  constructor(deps: CniServiceDeps) {
    this.#deps = deps
    this.#limits = { ...DEFAULT_LIMITS, ...deps.limits }
    this.#adds = new Semaphore(this.#limits.maxRunning)
    this.#others = new Semaphore(this.#limits.maxRunning)
    this.#attachments = new Attachments(deps, () => deps.observer?.attachmentsChanged())
  }

  /** Takes up what the last agent left unfinished: half-made attachments are removed, releases go on. Once, before the first request. */
  start(): void {
    for (const record of this.#deps.journal.all()) {
      switch (record.state) {
        case 'attached':
          break
        case 'released':
          this.#attachments.resumeRelease(record)
          break
        case 'assigned':
          void this.#supervise(this.#removeLeftover(record))
          break
        default:
          unreachable(record.state)
      }
    }
  }

  /**
   * A pod that runs has been given another MTU, in octets: its record says so from now on, so that CHECK and the next agent know. Never
   * rejects: a record that cannot be written is logged.
   */
  async recordMtu(key: AttachmentKey, mtu: number): Promise<void> {
    const { journal, log } = this.#deps
    const write = async (): Promise<void> => {
      using _lock = await this.#locks.acquire(keyText(key), this.#ending.signal)
      const record = journal.get(key)
      if (record?.state === 'attached' && record.link.mtu !== mtu) await journal.put({ ...record, link: { ...record.link, mtu } })
    }
    await this.#supervise(write()).catch((error: unknown) => {
      if (!this.#ending.signal.aborted) log.warn('cni.record.unwritten', { containerId: key.containerId, ifName: key.ifName, err: error })
    })
  }

  async handle(invocation: CniInvocation, clientGone: AbortSignal): Promise<CniReply> {
    const { clock, log, observer } = this.#deps
    const beganMs = clock.nowMs()
    const { requestedVersion, request } = parseInvocation(invocation)
    const outcome = request.ok ? await this.#supervise(this.#outcome(request.value, requestedVersion, clientGone)) : request.error
    const isFault = typeof outcome !== 'string'
    const durationMs = clock.nowMs() - beganMs
    const command = COMMANDS.find((each) => each === invocation.variables.get('CNI_COMMAND')) ?? null
    if (isFault && command !== 'STATUS') {
      const containerId = invocation.variables.get('CNI_CONTAINERID')
      log.warn('cni.request.failed', { command, containerId, code: outcome.code, reason: outcome.message, durationMs })
    }
    observer?.requestEnded({ command, code: isFault ? outcome.code : null, durationMs })
    return isFault ? faultReply(outcome, requestedVersion) : { exitStatus: 0, stdout: outcome }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new Error('the agent is stopping'))
    await Promise.all(this.#running)
    await this.#attachments[Symbol.asyncDispose]()
  }

  /** What to print, or why not. Never rejects. */
  async #outcome(request: CniRequest, requestedVersion: unknown, clientGone: AbortSignal): Promise<string | CniFault> {
    const { requestDeadlineMs } = this.#limits
    const deadline = new AbortController()
    using _timer = this.#deps.clock.after(requestDeadlineMs, () =>
      deadline.abort(new Error(`not finished within ${requestDeadlineMs / 1000} s`)),
    )
    // A pod nobody waits for is not made; but what is being removed is removed to its end.
    const signal =
      request.command === 'ADD' || request.command === 'CHECK'
        ? AbortSignal.any([deadline.signal, clientGone, this.#ending.signal])
        : deadline.signal
    try {
      switch (request.command) {
        case 'VERSION':
          return versionAnswer(requestedVersion)
        case 'STATUS':
          return this.#status()
        case 'ADD':
          return await this.#add(request, signal)
        case 'DEL':
          return await this.#del(request, signal)
        case 'CHECK':
          return await this.#check(request, signal)
        case 'GC':
          return await this.#gc(request, signal)
        default:
          return unreachable(request)
      }
    } catch (cause) {
      return this.#faultOf(cause, request.command, signal)
    }
  }

  #status(): string | CniFault {
    const fault = this.#unreadiness()
    if (fault?.message !== this.#unreadyBecause) {
      this.#unreadyBecause = fault?.message
      if (fault === undefined) this.#deps.log.info('cni.status.ready')
      else this.#deps.log.warn('cni.status.unready', { code: fault.code, reason: fault.message })
    }
    return fault ?? ''
  }

  #unreadiness(): CniFault | undefined {
    const unready = this.#deps.unreadiness()
    if (unready !== null) {
      const code = unready.impairsRunningPods ? CNI_CODE.limitedConnectivity : CNI_CODE.notAvailable
      return { code, message: unready.reason }
    }
    const reason = this.#deps.addresses.notReadyBecause()
    return reason === null ? undefined : { code: CNI_CODE.notAvailable, message: reason }
  }

  async #add(request: AddRequest, signal: AbortSignal): Promise<string> {
    const key = keyText(request.key)
    const isFirst = !this.#adding.has(key)
    this.#adding.add(key)
    try {
      using _lock = await this.#locks.acquire(key, signal)
      using _place = await this.#adds.acquire(signal)
      const { attachment, wired } = await this.#attachments.add(request, signal)
      const { link } = attachment
      const added = { ...link, mac: wired.mac, hostMac: wired.hostMac }
      return formatResult(withLink(request.config.prevResult ?? EMPTY_RESULT, added, request.config.dns), request.version)
    } finally {
      if (isFirst) this.#adding.delete(key)
    }
  }

  async #del(request: DelRequest, signal: AbortSignal): Promise<string> {
    using _lock = await this.#locks.acquire(keyText(request.key), signal)
    using _place = await this.#others.acquire(signal)
    await this.#attachments.remove(this.#deps.journal.get(request.key) ?? this.#attachments.unknown(request), signal)
    return ''
  }

  async #check(request: CheckRequest, signal: AbortSignal): Promise<string | CniFault> {
    using _lock = await this.#locks.acquire(keyText(request.key), signal)
    using _place = await this.#others.acquire(signal)
    const faults = await this.#attachments.check(request, signal)
    if (faults.length === 0) return ''
    return { code: CNI_CODE.checkFailed, message: `${request.key.ifName} is not as ADD left it: ${faults.join('; ')}` }
  }

  /**
   * Removes the attachments of this network that the runtime no longer knows. What an ADD was making when GC came is none of them; what
   * is being removed is waited for (CNI 1.1.0 section 2, GC).
   */
  async #gc(request: GcRequest, signal: AbortSignal): Promise<string | CniFault> {
    const { journal } = this.#deps
    const valid = new Set(request.valid.map(keyText))
    const stale = journal
      .all()
      .filter((each) => each.network === request.network && each.state !== 'released')
      .filter(({ link }) => !valid.has(keyText(link)) && !this.#adding.has(keyText(link)))
    const failures: string[] = []
    for (const record of stale) {
      try {
        await this.#removeUnlessChanged(record, signal)
      } catch (cause) {
        failures.push(`${record.link.containerId} ${record.link.ifName}: ${this.#faultOf(cause, 'GC', signal).message}`)
      }
    }
    if (failures.length === 0) return ''
    return {
      code: CNI_CODE.gcIncomplete,
      message: `${failures.length} of ${stale.length} attachments could not be removed; run GC again`,
      details: failures.join('\n'),
    }
  }

  async #removeUnlessChanged(record: Attachment, signal: AbortSignal): Promise<void> {
    using _lock = await this.#locks.acquire(keyText(record.link), signal)
    if (this.#isCurrent(record)) await this.#attachments.remove(record, signal)
  }

  #isCurrent(record: Attachment & { readonly link: AttachmentKey }): boolean {
    return this.#deps.journal.get(record.link) === record
  }

  /** An ADD that a kill cut off: nobody was told of it, so it is undone. */
  async #removeLeftover(record: Attachment): Promise<void> {
    const { clock, log } = this.#deps
    const { containerId, ifName } = record.link
    await untilDone(() => this.#removeUnlessChanged(record, this.#ending.signal), {
      clock,
      signal: this.#ending.signal,
      failed: (error, attempt) => {
        if (attempt === 0) log.warn('cni.leftover.stuck', { containerId, ifName, err: error })
      },
    })
  }

  #faultOf(cause: unknown, command: Command, signal: AbortSignal): CniFault {
    if (cause instanceof CniError) return cause.fault
    if (cause instanceof JournalError) return { code: CNI_CODE.ioFailure, message: cause.message }
    if (signal.aborted) {
      const reason: unknown = signal.reason
      return {
        code: CNI_CODE.tryAgainLater,
        message: `${command} given up: ${reason instanceof Error ? reason.message : 'the plugin has gone'}`,
      }
    }
    this.#deps.log.error('cni.request.crashed', { command, err: cause })
    const said = cause instanceof Error ? cause.message : String(cause)
    return { code: CNI_CODE.internal, message: `${command}: ${said}; the agent's log says more` }
  }

  #supervise<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work)
    void work.finally(() => this.#running.delete(work)).catch(() => {}) // whoever awaits `work` hears of its failure
    return work
  }
}
