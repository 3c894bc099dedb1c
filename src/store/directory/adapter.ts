// A store in a folder: people's manifests directly in it, what machines write in `state/`. Several processes may use one folder:
// every write is made with the folder's lock held and compares with the file as it is then; readers need no lock, since files
// are replaced whole.
import { randomUUID } from 'node:crypto'
import { type Stats, statSync } from 'node:fs'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { type Log, silentLog } from '../../lib/log.ts'
import { conditionsOf, sameConditions, stamped, stillApplied, withConditions, withoutConditions } from '../conditions.ts'
import { Feed } from '../feed.ts'
import { identityOf, toIdentity } from '../identity.ts'
import type { KindName, ManifestOf, Resource, ResourceOf } from '../kinds/registry.ts'
import {
  type Condition,
  type ConditionedKind,
  type ObjectKey,
  type Selection,
  type Store,
  StoreError,
  type Watch,
  type WatchObserver,
  type WriteOptions,
} from '../port.ts'
import { formatIdentity, type StoreProblem } from '../problem.ts'
import {
  alreadyExists,
  checkVersion,
  created,
  parseForWrite,
  required,
  statusOf,
  updated,
  updatedStatus,
  withStatus,
} from '../write-rules.ts'
import { assertFolder, codeOf, messageOf, missingFolder } from './files.ts'
import { Follower } from './follower.ts'
import type { Lease } from './lock.ts'
import { PublishedObjects, versionOf } from './published.ts'
import { isStateKind } from './state-files.ts'
import { StateFolder } from './state-folder.ts'
import { FolderTurns } from './turns.ts'
import { UserFolder } from './user-folder.ts'
import { UserWriter } from './user-writer.ts'

export type DirectoryOptions = {
  readonly clock?: Clock
  readonly log?: Log
  /** Everything is looked at anew this often, in case an event was lost. Default 30 s. */
  readonly rescanMs?: number
  /** A folder that is not there yet is waited for, as an API server is. Default: refused, since whoever types its name wants to know. */
  readonly waitsForFolder?: boolean
}

const RESCAN_MS = 30_000

export class DirectoryStore implements Store {
  readonly #path: string
  readonly #clock: Clock
  readonly #log: Log
  readonly #rescanMs: number
  readonly #feed = new Feed()
  readonly #user: UserFolder
  readonly #state: StateFolder
  readonly #writer: UserWriter
  readonly #published: PublishedObjects
  readonly #turns: FolderTurns
  #follower: Follower | null = null
  /** Watches that have not had their first listing. */
  #waiting: (() => void)[] = []
  /** State files that are about to be read. */
  readonly #dirty = new Set<string>()
  #disposed = false

  /** Throws StoreError UNAVAILABLE if there is no such folder and it is not to be waited for, or something else in its place. */
  constructor(path: string, options: DirectoryOptions = {}) {
    const found = statOf(path)
    if (found === undefined && options.waitsForFolder !== true) throw missingFolder(path)
    if (found?.isDirectory() === false) throw new StoreError('UNAVAILABLE', `${path} is not a folder; name the folder the manifests are in`)
    const { clock = systemClock, log = silentLog, rescanMs = RESCAN_MS } = options
    this.#path = path
    this.#clock = clock
    this.#log = log
    this.#rescanMs = rescanMs
    this.#user = new UserFolder(path, () => clock.wallMs())
    this.#state = new StateFolder(path, () => clock.wallMs())
    this.#writer = new UserWriter(this.#user)
    this.#published = new PublishedObjects({ path, feed: this.#feed, user: this.#user, state: this.#state })
    this.#turns = new FolderTurns(path, this.#state.path)
  }

  async get<K extends KindName>(kind: K, key: ObjectKey, signal?: AbortSignal): Promise<ResourceOf<K> | null> {
    signal?.throwIfAborted()
    return this.#turns.serially(async () => {
      await assertFolder(this.#path)
      await this.#refreshUser(kind)
      await this.#published.readStateOf(kind, key)
      return this.#feed.get(kind, key)
    })
  }

  async list<K extends KindName>(selection: Selection<K>, signal?: AbortSignal): Promise<readonly ResourceOf<K>[]> {
    signal?.throwIfAborted()
    return this.#turns.serially(async () => {
      await assertFolder(this.#path)
      await this.#refreshUser(selection.kind)
      await this.#published.readState()
      return this.#feed.list(selection)
    })
  }

  async create<K extends KindName>(object: ManifestOf<K>, options: WriteOptions = {}, signal?: AbortSignal): Promise<ResourceOf<K>> {
    const parsed = parseForWrite(object)
    return this.#write<K>(parsed, { signal, readUser: true }, async (current, lease) => {
      if (current !== null) throw alreadyExists(parsed)
      if (!isStateKind(parsed.kind)) return this.#writer.put(parsed, options.text)
      const now = new Date(this.#clock.wallMs()).toISOString()
      await this.#state.writeObject(created(parsed, { resourceVersion: String(lease.nextVersion(0)), uid: randomUUID(), now }))
    })
  }

  async update<K extends KindName>(object: ManifestOf<K>, options: WriteOptions = {}, signal?: AbortSignal): Promise<ResourceOf<K>> {
    const parsed = parseForWrite(object)
    return this.#write<K>(parsed, { signal, readUser: true }, async (current, lease) => {
      const known = required(current, parsed.kind, parsed.metadata)
      checkVersion(known, parsed.metadata.resourceVersion)
      if (updated(known, parsed, '') === null) return
      if (!isStateKind(parsed.kind)) return this.#writer.put(parsed, options.text)
      const next = updated(known, parsed, String(lease.nextVersion(versionOf(known))))
      if (next !== null) await this.#state.writeObject(next)
    })
  }

  async updateStatus<K extends KindName>(object: ManifestOf<K>, signal?: AbortSignal): Promise<ResourceOf<K>> {
    const parsed = parseForWrite(object)
    const readUser = !this.#isFollowing() // an agent reporting must not read what an editor is halfway through writing
    return this.#write<K>(parsed, { signal, readUser }, async (current, lease) => {
      const known = required(current, parsed.kind, parsed.metadata)
      checkVersion(known, parsed.metadata.resourceVersion)
      if (updatedStatus(known, parsed, '') === null) return
      const identity = identityOf(parsed)
      const version = lease.nextVersion(
        isStateKind(parsed.kind) ? versionOf(known) : (this.#state.parts.get(formatIdentity(identity))?.version ?? 0),
      )
      if (!isStateKind(parsed.kind)) {
        const whole = statusOf(parsed)
        const applied = stillApplied(this.#state.parts.get(formatIdentity(identity))?.applied ?? {}, whole)
        const status = withoutConditions(whole, Object.values(applied).flat()) // they lie over it, and go with their manager
        return this.#state.writeStatus({ identity, version, status, applied })
      }
      const next = updatedStatus(known, parsed, String(version))
      if (next !== null) await this.#state.writeObject(next)
    })
  }

  async applyConditions<K extends ConditionedKind>(
    kind: K,
    key: ObjectKey,
    conditions: readonly Condition[],
    manager: string,
    signal?: AbortSignal,
  ): Promise<ResourceOf<K>> {
    const readUser = !this.#isFollowing()
    return this.#turns.locked(signal, async (lease) => {
      const current = required(await this.#current(kind, key, readUser), kind, key)
      const identity = toIdentity(kind, key)
      const part = this.#state.parts.get(formatIdentity(identity))
      const before = part?.applied[manager] ?? []
      const next = stamped(conditions, [...before, ...conditionsOf(statusOf(current))], this.#clock.wallMs())
      if (!sameConditions(before, next)) {
        parseForWrite(withStatus(current, withConditions(statusOf(current), { [manager]: next }))) // refuses what is not valid
        const { [manager]: _, ...others } = part?.applied ?? {}
        const applied = next.length === 0 ? others : { ...others, [manager]: next }
        await this.#state.writeStatus({ identity, version: lease.nextVersion(part?.version ?? 0), status: part?.status, applied })
        this.#published.publish([identity])
      }
      return required(this.#feed.get(kind, key), kind, key) as ResourceOf<K> // the caller's K is `kind`
    })
  }

  async delete(kind: KindName, key: ObjectKey & { readonly resourceVersion?: string }, signal?: AbortSignal): Promise<void> {
    await this.#turns.locked(signal, async () => {
      const current = await this.#current(kind, key, true)
      if (key.resourceVersion !== undefined) checkVersion(required(current, kind, key), key.resourceVersion)
      if (isStateKind(kind)) required(current, kind, key)
      else await this.#writer.remove(toIdentity(kind, key))
      if (!isStateKind(kind)) await this.#scanUser(false)
      await this.#published.remove(kind, key)
    })
  }

  async problems(signal?: AbortSignal): Promise<readonly StoreProblem[]> {
    signal?.throwIfAborted()
    return this.#turns.serially(async () => {
      await assertFolder(this.#path)
      if (!this.#isFollowing()) await this.#scanUser(false)
      await this.#published.readState()
      return this.#feed.problems
    })
  }

  watch(selections: readonly Selection[], observer: WatchObserver): Watch {
    const { begin, watch } = this.#feed.join(selections, observer, () => {
      if (!this.#feed.watched) this.#stopFollowing()
    })
    this.#waiting.push(begin)
    if (!this.#disposed) this.#follower ??= this.#follow()
    this.#lookAtAll(false)
    return watch
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true
    this.#stopFollowing()
    await this.#turns.over()
  }

  // --- reading -------------------------------------------------------------------------------------------------------------

  /** A watching store takes people's edits only when they have come to rest; others read them as they are. */
  async #refreshUser(kind: KindName): Promise<void> {
    if (!isStateKind(kind) && !this.#isFollowing()) await this.#scanUser(false)
  }

  /** True once a watch has listed everything: from then on people's edits arrive by themselves. */
  #isFollowing(): boolean {
    return this.#feed.watched && this.#waiting.length === 0
  }

  async #scanUser(onlySettled: boolean): Promise<void> {
    const { again } = await this.#published.readUser(onlySettled)
    if (again) this.#follower?.settle()
  }

  // --- writing -------------------------------------------------------------------------------------------------------------

  #write<K extends KindName>(
    object: Resource,
    options: { readonly signal: AbortSignal | undefined; readonly readUser: boolean },
    change: (current: Resource | null, lease: Lease) => Promise<void>,
  ): Promise<ResourceOf<K>> {
    const { kind, metadata } = object
    return this.#turns.locked(options.signal, async (lease) => {
      await change(await this.#current(kind, metadata, options.readUser), lease)
      if (!isStateKind(kind) && options.readUser) await this.#scanUser(false)
      this.#published.publish([toIdentity(kind, metadata)])
      return required(this.#feed.get(kind, metadata), kind, metadata) as ResourceOf<K> // the caller's K is the object's kind
    })
  }

  /** The object as it is in the files this moment. */
  async #current(kind: KindName, key: ObjectKey, readUser: boolean): Promise<Resource | null> {
    if (readUser && !isStateKind(kind)) await this.#scanUser(false)
    return this.#published.currentOf(kind, key)
  }

  // --- watching ------------------------------------------------------------------------------------------------------------

  #follow(): Follower {
    const statePath = this.#state.path
    const options = { path: this.#path, statePath, clock: this.#clock, log: this.#log, rescanMs: this.#rescanMs }
    return new Follower(options, {
      atAll: () => this.#lookAtAll(true),
      atPeoplesFiles: () => this.#look(() => this.#scanUser(true)),
      atStateFile: (name) => this.#lookAtStateFile(name),
    })
  }

  #stopFollowing(): void {
    this.#follower?.[Symbol.dispose]()
    this.#follower = null
  }

  #lookAtStateFile(name: string): void {
    if (this.#dirty.has(name)) return
    this.#dirty.add(name)
    this.#look(async () => {
      this.#dirty.delete(name) // before reading: what changes from now on is another event
      await this.#published.readStateFile(name)
    })
  }

  #lookAtAll(onlySettled: boolean): void {
    this.#look(async () => {
      await this.#scanUser(onlySettled && this.#waiting.length === 0)
      await this.#published.readState()
      this.#published.setFolderProblem(null)
      for (const begin of this.#waiting.splice(0)) begin()
    })
  }

  /** Work nobody waits for: what the system refuses is a problem to show, and the rescan tries again. */
  #look(work: () => Promise<void>): void {
    void this.#turns.serially(async () => {
      if (this.#disposed) return
      try {
        await assertFolder(this.#path)
        await work()
      } catch (cause) {
        if (!(cause instanceof StoreError) && codeOf(cause) === null) return queueMicrotask(() => fail(cause)) // a bug: end the process
        this.#published.setFolderProblem(messageOf(cause))
        this.#feed.tellWaiting()
      }
    })
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch (cause) {
    throw new StoreError('UNAVAILABLE', `cannot look at ${path}: ${messageOf(cause)}`, { cause })
  }
}

function fail(cause: unknown): never {
  throw cause
}
