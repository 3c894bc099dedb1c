// Follows one selection of objects on an API server: a paged list, then a watch from its version on, for ever. Every error ends in
// another try with back-off; a version the server has forgotten (410) in a new list, of which only the differences are told.
import { type BackoffLimits, backoffMs } from '../../lib/backoff.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Resource } from '../kinds/registry.ts'
import type { Selection } from '../port.ts'
import { isMapping } from '../validate.ts'
import { ApiError, type ApiServer, errorOf, jittered } from './api-server.ts'
import { selectionRequest } from './paths.ts'
import { nameOf, receive, salvage } from './receive.ts'

export type ReflectorDeps = {
  readonly api: ApiServer
  readonly clock: Clock
  readonly random: () => number
  /** A watch that says nothing for so long has died unnoticed. */
  readonly idleMs: number
}
export type Verb = 'list' | 'watch'

/** Told what the server has. An object that is not valid is told as `invalid` and is neither there nor gone: its last good state stays. One that can be salvaged is told both ways. */
export interface ReflectorObserver {
  put(object: Resource): void
  gone(key: { readonly name: string; readonly namespace?: string }, version: string | undefined): void
  invalid(key: { readonly name: string; readonly namespace?: string }, message: string): void
  /** The whole list as of a version; it replaces everything told before. */
  listed(objects: readonly Resource[], version: string): void
  /** Why nothing can be heard at present, and what was tried. */
  trouble(error: unknown, verb: Verb): void
  /** All is well again. */
  quiet(): void
}

/** A page is garbage as soon as it is read: small ones leave the heap a third smaller than those of 500, in the same time (docs/scale.md). */
const PAGE = '100'
/** Widely spread: thousands of agents lose one server at the same moment. */
const BACKOFF: BackoffLimits = { baseMs: 1_000, capMs: 30_000, jitter: 0.8 }
/** The server ends a watch after this, so that connections spread over servers anew. */
const WATCH_SECONDS = { least: 240, spread: 60 }
/** A watch that ends sooner without a word was refused by something in between. */
const SHORTEST_WATCH_MS = 1_000
const NOT_FOUND = 404
const GONE = 410

export class Reflector implements Disposable {
  readonly #deps: ReflectorDeps
  readonly #selection: Selection
  readonly #observer: ReflectorObserver
  readonly #stop = new AbortController()
  #version: string | null = null
  #failures = 0
  #hasHeard = false

  constructor(deps: ReflectorDeps, selection: Selection, observer: ReflectorObserver) {
    this.#deps = deps
    this.#selection = selection
    this.#observer = observer
    void this.#follow()
  }

  [Symbol.dispose](): void {
    this.#stop.abort()
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      const verb: Verb = this.#version === null ? 'list' : 'watch'
      try {
        if (this.#version === null) this.#version = await this.#list(signal)
        else await this.#watch(this.#version, signal)
      } catch (error) {
        if (signal.aborted) return
        // Not served, if that is so, is for a list to say; and what went meanwhile only a list tells.
        if (isForgotten(error) || (verb === 'watch' && isNotFound(error))) this.#version = null
        else this.#observer.trouble(error, verb)
        await this.#pause(error, signal)
      }
    }
  }

  async #list(signal: AbortSignal): Promise<string> {
    const objects: Resource[] = []
    const faults: (() => void)[] = []
    let version = ''
    for (let pending: Promise<unknown> | null = this.#page(null, signal); pending !== null; ) {
      const page = readList(await pending)
      version = page.version
      pending = page.next === null ? null : this.#page(page.next, signal)
      if (pending !== null) await this.#turn() // the server makes the next page while we read this one
      for (const raw of page.items) {
        const { object, tellFault } = this.#receive(raw)
        if (object !== null) objects.push(object)
        if (tellFault !== null) faults.push(tellFault)
      }
    }
    signal.throwIfAborted()
    for (const tell of faults) tell() // what is invalid is not taken to be gone
    this.#observer.listed(objects, version)
    for (const tell of faults) tell() // what was salvaged is there, and still has a fault
    this.#observer.quiet()
    return version
  }

  #page(from: string | null, signal: AbortSignal): Promise<unknown> {
    const { path, query } = selectionRequest(this.#selection)
    const pages = { limit: PAGE, ...(from === null ? {} : { continue: from }) }
    const page = this.#deps.api.request({ method: 'GET', path, query: { ...query, ...pages } }, signal)
    page.catch(() => {}) // whoever awaits it hears of it
    return page
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => void this.#deps.clock.soon(resolve))
  }

  async #watch(from: string, signal: AbortSignal): Promise<void> {
    const { api, random, clock, idleMs } = this.#deps
    const { path, query } = selectionRequest(this.#selection)
    const beganMs = clock.nowMs()
    this.#hasHeard = false
    const timeoutSeconds = String(WATCH_SECONDS.least + Math.floor(random() * WATCH_SECONDS.spread))
    const watch = { ...query, watch: 'true', allowWatchBookmarks: 'true', resourceVersion: from, timeoutSeconds }
    const reader = { idleMs, opened: () => this.#observer.quiet(), line: (text: string) => this.#event(text) }
    await api.lines({ method: 'GET', path, query: watch }, reader, signal)
    if (!this.#hasHeard && clock.nowMs() - beganMs < SHORTEST_WATCH_MS) throw new Error('a watch ended as soon as it had begun')
    this.#heard() // it ended in peace: begin again where we are
  }

  #event(line: string): void {
    if (this.#stop.signal.aborted) return // nobody listens any more
    const event: unknown = JSON.parse(line) // a line cut short throws, and ends the watch as a lost connection does
    if (!isMapping(event)) throw new Error('the API server sent a watch event that is no object')
    const { type, object } = event
    if (type === 'ERROR') throw errorOf(codeOf(object), undefined, JSON.stringify(object))
    const version = versionOf(object)
    if (version !== null) this.#version = version
    this.#heard()
    if (type === 'BOOKMARK') return
    if (type === 'DELETED') {
      const key = nameOf(object)
      if (key !== null) this.#observer.gone(key, version ?? undefined)
      return
    }
    const received = this.#receive(object)
    if (received.object !== null) this.#observer.put(received.object)
    received.tellFault?.()
  }

  /** `tellFault` says what is wrong with it; null: nothing. */
  #receive(raw: unknown): { readonly object: Resource | null; readonly tellFault: (() => void) | null } {
    const { kind } = this.#selection
    const received = receive(kind, raw)
    if (received.ok) return { object: received.value, tellFault: null }
    const key = nameOf(raw)
    const message = received.error.map((fault) => fault.message).join('; ')
    return { object: salvage(kind, raw), tellFault: key === null ? null : () => this.#observer.invalid(key, message) }
  }

  /** The watch lives. A list alone does not show that: its version may be forgotten before the watch begins. */
  #heard(): void {
    this.#hasHeard = true
    this.#failures = 0
    this.#observer.quiet()
  }

  /** Waits before the next try: with jitter, and no less than the server asks for. */
  async #pause(error: unknown, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#deps
    const asked = error instanceof ApiError ? error.retryAfterMs : null
    const ownMs = backoffMs(this.#failures, BACKOFF, random())
    const delayMs = asked === null ? ownMs : Math.max(ownMs, jittered(asked, random()))
    this.#failures++
    await new Promise<void>((resolve) => {
      const timer = clock.after(delayMs, resolve)
      signal.addEventListener(
        'abort',
        () => {
          timer[Symbol.dispose]()
          resolve()
        },
        { once: true },
      )
    })
  }
}

type ListPage = { readonly items: readonly unknown[]; readonly version: string; readonly next: string | null }

function readList(body: unknown): ListPage {
  if (!isMapping(body) || !Array.isArray(body['items'])) throw new Error('the API server sent a list that is none')
  const metadata = isMapping(body['metadata']) ? body['metadata'] : {}
  const next = metadata['continue']
  return {
    items: body['items'],
    version: String(metadata['resourceVersion'] ?? ''),
    next: typeof next === 'string' && next !== '' ? next : null,
  }
}

function versionOf(object: unknown): string | null {
  const metadata = isMapping(object) ? object['metadata'] : undefined
  const version = isMapping(metadata) ? metadata['resourceVersion'] : undefined
  return typeof version === 'string' ? version : null
}

function codeOf(status: unknown): number {
  const code = isMapping(status) ? status['code'] : undefined
  return typeof code === 'number' ? code : 0
}

/** The version is older than what the server remembers: only a new list helps. */
function isForgotten(error: unknown): boolean {
  return error instanceof ApiError && (error.status === GONE || error.reason === 'Expired' || error.reason === 'Gone')
}

function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.status === NOT_FOUND
}
