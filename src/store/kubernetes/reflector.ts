// Follows one selection of objects on an API server: a paged list, then a watch from its version on, for ever. Every error ends in
// another try with back-off; a version the server has forgotten (410) in a new list, of which only the differences are told.
import { type BackoffLimits, backoffMs } from '../../lib/backoff.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Resource } from '../kinds/registry.ts'
import type { Selection } from '../port.ts'
import { isMapping } from '../validate.ts'
import { ApiError, type ApiServer, errorOf } from './api-server.ts'
import { selectionRequest } from './paths.ts'
import { nameOf, receive, salvage } from './receive.ts'

export type ReflectorDeps = { readonly api: ApiServer; readonly clock: Clock; readonly random: () => number }

/** Told what the server has. An object that is not valid is told as `invalid` and is neither there nor gone: its last good state stays. One that can be salvaged is told both ways. */
export interface ReflectorObserver {
  put(object: Resource): void
  gone(key: { readonly name: string; readonly namespace?: string }, version: string | undefined): void
  invalid(key: { readonly name: string; readonly namespace?: string }, message: string): void
  /** The whole list as of a version; it replaces everything told before. */
  listed(objects: readonly Resource[], version: string): void
  /** Why nothing can be heard at present, in words; null: all is well again. */
  trouble(error: unknown): void
  quiet(): void
}

const PAGE = '500'
const BACKOFF: BackoffLimits = { baseMs: 500, capMs: 30_000 }
/** The server ends a watch after this, so that connections spread over servers anew. */
const WATCH_SECONDS = { least: 240, spread: 60 }
/** Bookmarks come about once a minute: a watch that is quiet for longer has died unnoticed. */
const IDLE_MS = 90_000
const GONE = 410

export class Reflector implements Disposable {
  readonly #deps: ReflectorDeps
  readonly #selection: Selection
  readonly #observer: ReflectorObserver
  readonly #stop = new AbortController()
  #version: string | null = null
  #failures = 0

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
      try {
        this.#version ??= await this.#list(signal)
        await this.#watch(this.#version, signal)
      } catch (error) {
        if (signal.aborted) return
        if (isForgotten(error)) this.#version = null
        else this.#observer.trouble(error)
        await this.#pause(error, signal)
      }
    }
  }

  async #list(signal: AbortSignal): Promise<string> {
    const { path, query } = selectionRequest(this.#selection)
    const objects: Resource[] = []
    const faults: (() => void)[] = []
    let version = ''
    let next: string | null = null
    do {
      const page: ListPage = readList(
        await this.#deps.api.request(
          { method: 'GET', path, query: { ...query, limit: PAGE, ...(next === null ? {} : { continue: next }) } },
          signal,
        ),
      )
      for (const raw of page.items) {
        const { object, tellFault } = this.#receive(raw)
        if (object !== null) objects.push(object)
        if (tellFault !== null) faults.push(tellFault)
      }
      version = page.version
      next = page.next
    } while (next !== null)
    signal.throwIfAborted()
    for (const tell of faults) tell() // what is invalid is not taken to be gone
    this.#observer.listed(objects, version)
    for (const tell of faults) tell() // what was salvaged is there, and still has a fault
    this.#heard()
    return version
  }

  async #watch(from: string, signal: AbortSignal): Promise<void> {
    const { api, random } = this.#deps
    const { path, query } = selectionRequest(this.#selection)
    const timeoutSeconds = String(WATCH_SECONDS.least + Math.floor(random() * WATCH_SECONDS.spread))
    const watch = { ...query, watch: 'true', allowWatchBookmarks: 'true', resourceVersion: from, timeoutSeconds }
    await api.lines({ method: 'GET', path, query: watch }, IDLE_MS, (line) => this.#event(line), signal)
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

  #heard(): void {
    this.#failures = 0
    this.#observer.quiet()
  }

  /** Waits before the next try: what the server asks for, or a back-off with jitter. */
  async #pause(error: unknown, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#deps
    const asked = error instanceof ApiError ? error.retryAfterMs : null
    const delayMs = asked ?? backoffMs(this.#failures, BACKOFF, random())
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
