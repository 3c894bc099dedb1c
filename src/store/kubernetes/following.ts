// One watch over several selections: joins what their reflectors hear, and our own writes, into one stream in which no object goes
// back in time. The set of selections may change while it runs.
import { selects } from '../feed.ts'
import { keyOf, keyOfResource, toIdentity } from '../identity.ts'
import type { KindName, Resource } from '../kinds/registry.ts'
import type { Change, ObjectKey, Selection, Watch, WatchObserver } from '../port.ts'
import { formatIdentity, type StoreProblem } from '../problem.ts'
import { ApiError } from './api-server.ts'
import { isLater } from './receive.ts'
import { Reflector, type ReflectorDeps, type Verb } from './reflector.ts'
import { wordsOf } from './trouble.ts'

type Part = {
  readonly selection: Selection
  /** Keys of the objects that the server says belong to the selection. */
  readonly keys: Set<string>
  isListed: boolean
  trouble: StoreProblem | null
  readonly invalid: Map<string, StoreProblem>
}

/** For the log: what began to fail, and what came back. */
export interface TroubleReporter {
  failed(trouble: { readonly subject: string; readonly message: string }): void
  recovered(subject: string): void
}

export class Following implements Watch {
  readonly #deps: ReflectorDeps
  readonly #observer: WatchObserver
  /** By what they select. */
  readonly #parts = new Map<string, Part>()
  readonly #reflectors = new Map<string, Reflector>()
  readonly #reporter: TroubleReporter
  /** What the observer was shown last, by kind and key. */
  readonly #shown = new Map<string, Resource>()
  /** The version in which an object went, so that a late event does not bring it back. */
  readonly #wentAt = new Map<string, string>()
  #problems: readonly StoreProblem[] = []
  #hasSynced = false
  #hasEnded = false
  /** Those who wait until everything has been listed. */
  #waiting: (() => void)[] = []

  constructor(deps: ReflectorDeps, selections: readonly Selection[], observer: WatchObserver, reporter: TroubleReporter) {
    this.#deps = deps
    this.#observer = observer
    this.#reporter = reporter
    void this.select(selections)
  }

  [Symbol.dispose](): void {
    this.#hasEnded = true
    for (const reflector of this.#reflectors.values()) reflector[Symbol.dispose]()
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  select(selections: readonly Selection[]): Promise<void> {
    if (this.#hasEnded) return Promise.resolve()
    const wanted = new Map(selections.map((selection) => [textOf(selection), selection]))
    const left = [...this.#parts].filter(([text]) => !wanted.has(text))
    for (const [text] of left) {
      this.#reflectors.get(text)?.[Symbol.dispose]()
      this.#reflectors.delete(text)
      this.#parts.delete(text)
    }
    for (const [text, selection] of wanted) if (!this.#parts.has(text)) this.#follow(text, selection)
    this.#tell(left.flatMap(([, part]) => this.#leave(part)))
    if (left.length > 0) this.#tellProblems()
    const listed = new Promise<void>((resolve) => this.#waiting.push(resolve))
    queueMicrotask(() => this.#whenListed()) // never before the caller has its handle
    return listed
  }

  pending(): readonly Selection[] {
    return [...this.#parts.values()].filter(({ isListed }) => !isListed).map(({ selection }) => selection)
  }

  get problems(): readonly StoreProblem[] {
    return this.#problems
  }

  /** A write of our own has succeeded: the observer hears it now, and not again when the server tells. */
  wrote(object: Resource): void {
    const wanted = [...this.#parts.values()].filter(({ selection }) => selection.kind === object.kind)
    for (const part of wanted) {
      if (!part.isListed) continue // the list will have it
      if (selects(part.selection, object)) part.keys.add(keyOfResource(object))
      else part.keys.delete(keyOfResource(object))
    }
    if (wanted.some((part) => part.isListed && selects(part.selection, object))) this.#show(object)
    else this.#hide(object.kind, object.metadata, object.metadata.resourceVersion)
  }

  /** A deletion of our own has succeeded. */
  deleted(kind: KindName, key: ObjectKey): void {
    for (const { selection, keys } of this.#parts.values()) if (selection.kind === kind) keys.delete(keyOf(kind, key))
    this.#hide(kind, key, undefined)
  }

  #follow(text: string, selection: Selection): void {
    const part: Part = { selection, keys: new Set(), isListed: false, trouble: null, invalid: new Map() }
    this.#parts.set(text, part)
    this.#reflectors.set(text, new Reflector(this.#deps, selection, this.#hear(part)))
  }

  /** What nobody selects any more; what another selection will list is that one's from now on. */
  #leave({ selection: { kind }, keys }: Part): readonly Change[] {
    const changes: Change[] = []
    for (const key of keys) {
      const shown = this.#shown.get(`${kind} ${key}`)
      if (shown === undefined) continue
      for (const part of this.#parts.values()) if (!part.isListed && selects(part.selection, shown)) part.keys.add(key)
      if (this.#isSelected(kind, key)) continue
      this.#shown.delete(`${kind} ${key}`)
      changes.push({ type: 'gone', object: shown })
    }
    return changes
  }

  /** True if the server says of some selection that it has this object. */
  #isSelected(kind: KindName, key: string): boolean {
    for (const { selection, keys } of this.#parts.values()) if (selection.kind === kind && keys.has(key)) return true
    return false
  }

  #whenListed(): void {
    if (this.#hasEnded || this.pending().length > 0) return
    if (!this.#hasSynced) {
      this.#hasSynced = true
      this.#observer.synced()
    }
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #hear(part: Part) {
    const { kind } = part.selection
    return {
      put: (object: Resource): void => {
        part.keys.add(keyOfResource(object))
        this.#becomesValid(part, object.metadata)
        this.#show(object)
      },
      gone: (key: ObjectKey, version: string | undefined): void => {
        part.keys.delete(keyOf(kind, key))
        this.#becomesValid(part, key)
        this.#hide(kind, key, version)
      },
      invalid: (key: ObjectKey, message: string): void => {
        const subject = formatIdentity(toIdentity(kind, key))
        part.invalid.set(keyOf(kind, key), problem(subject, `${subject}: ${message}`))
        part.keys.add(keyOf(kind, key))
        this.#tellProblems()
      },
      listed: (objects: readonly Resource[], version: string): void => this.#listed(part, objects, version),
      trouble: (error: unknown, verb: Verb): void => {
        if (part.selection.isOptional === true && error instanceof ApiError && error.status === 404) {
          this.#notServed(part)
          return
        }
        const { subject, message } = wordsOf(error, verb, part.selection)
        const isKnown = this.#isTroubled(subject)
        this.#settle(part, problem(subject, message))
        if (!isKnown) this.#reporter.failed({ subject, message }) // said once, however its words change
      },
      quiet: (): void => this.#settle(part, null),
    }
  }

  #settle(part: Part, trouble: StoreProblem | null): void {
    const before = part.trouble
    if (before?.message === trouble?.message) return
    part.trouble = trouble
    if (before !== null && !this.#isTroubled(before.subject)) this.#reporter.recovered(before.subject)
    this.#tellProblems()
  }

  #isTroubled(subject: string): boolean {
    return [...this.#parts.values()].some(({ trouble }) => trouble?.subject === subject)
  }

  #listed(part: Part, objects: readonly Resource[], version: string): void {
    const { kind } = part.selection
    const listed = new Map(objects.map((object) => [keyOfResource(object), object]))
    const changes: Change[] = []
    for (const [key, object] of listed) {
      part.invalid.delete(key)
      part.keys.add(key)
      changes.push(...this.#put(object))
    }
    for (const key of part.keys) {
      if (listed.has(key) || part.invalid.has(key)) continue
      const shown = this.#shown.get(`${kind} ${key}`)
      if (shown !== undefined && isLater(shown.metadata.resourceVersion, version)) continue // ours, and newer than the list
      part.keys.delete(key)
      if (shown !== undefined) changes.push(...this.#remove(kind, shown.metadata, version))
    }
    part.isListed = true
    this.#tell(changes)
    this.#tellProblems()
    this.#whenListed()
  }

  /** The kind does not exist there, so neither does any object of it. */
  #notServed(part: Part): void {
    const { kind } = part.selection
    const shown = [...part.keys].flatMap((key) => this.#shown.get(`${kind} ${key}`) ?? [])
    part.keys.clear()
    part.invalid.clear()
    for (const { metadata } of shown) {
      this.#hide(kind, metadata, undefined)
      this.#wentAt.delete(`${kind} ${keyOf(kind, metadata)}`) // it may be there again as it was: a server that starts knows some kinds late
    }
    part.isListed = true
    this.#settle(part, null)
    this.#whenListed()
  }

  #show(object: Resource): void {
    this.#tell(this.#put(object))
  }

  #hide(kind: KindName, key: ObjectKey, version: string | undefined): void {
    this.#tell(this.#remove(kind, key, version))
  }

  #put(object: Resource): readonly Change[] {
    const id = `${object.kind} ${keyOfResource(object)}`
    const version = object.metadata.resourceVersion
    const wentAt = this.#wentAt.get(id)
    if (wentAt !== undefined && !isLater(version, wentAt)) return []
    const shown = this.#shown.get(id)
    if (shown !== undefined && !isLater(version, shown.metadata.resourceVersion)) return []
    this.#wentAt.delete(id)
    this.#shown.set(id, object)
    return [{ type: 'put', object }]
  }

  /** Gone for the observer only when no selection has it any more, and not by an event older than what it was shown. */
  #remove(kind: KindName, key: ObjectKey, version: string | undefined): readonly Change[] {
    const id = `${kind} ${keyOf(kind, key)}`
    const shown = this.#shown.get(id)
    if (shown === undefined) return []
    if (this.#isSelected(kind, keyOf(kind, key))) return []
    const has = shown.metadata.resourceVersion
    if (version !== undefined && version !== has && !isLater(version, has)) return []
    this.#shown.delete(id)
    this.#wentAt.set(id, version ?? has ?? '')
    if (this.#wentAt.size > MAX_REMEMBERED) for (const oldest of this.#wentAt.keys()) if (this.#wentAt.delete(oldest)) break
    return [{ type: 'gone', object: shown }]
  }

  #tell(changes: readonly Change[]): void {
    if (changes.length > 0 && !this.#hasEnded) this.#observer.changed(changes)
  }

  #becomesValid(part: Part, key: ObjectKey): void {
    if (part.invalid.delete(keyOf(part.selection.kind, key))) this.#tellProblems()
  }

  #tellProblems(): void {
    const before = JSON.stringify(this.#problems)
    const all = [...this.#parts.values()].flatMap(({ trouble, invalid }) => [...(trouble === null ? [] : [trouble]), ...invalid.values()])
    const first = new Map(all.toReversed().map((each) => [each.subject, each]))
    this.#problems = all.filter((each) => first.get(each.subject) === each) // a server is away once, not once for every watch
    if (!this.#hasEnded && JSON.stringify(this.#problems) !== before) this.#observer.problems(this.#problems)
  }
}

/** Deletions remembered; events overtake one another by seconds, so the oldest are of no use. */
const MAX_REMEMBERED = 10_000

/** Equal for equal selections. */
function textOf({ kind, namespace, name, labels = {}, nodeName, isOptional = false }: Selection): string {
  const sorted = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([kind, namespace ?? null, name ?? null, sorted, nodeName ?? null, isOptional])
}

function problem(subject: string, message: string): StoreProblem {
  return { severity: 'error', subject, message, file: null, document: null, line: null, field: null }
}
