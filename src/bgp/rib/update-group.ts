// Peers that are told the same, in the same encoding: one Adj-RIB-Out, one run of export policy, one encoding for all of them.
// A peer does not hear its own routes back; so a change is for all but one, and when the best path moves from one member to
// another, a withdrawal for the new source alone and an announcement for the old one.

import { AddPathAdjRibOut, type AdjRibOut, SingleAdjRibOut } from './adj-rib-out.ts'
import type { AttributeTable } from './attribute-table.ts'
import { Backlog, NO_ID, NOTHING } from './backlog.ts'
import { NONE } from './columns.ts'
import type { Decision } from './decision.ts'
import type { ExportFacts, ExportPolicy } from './export-policy.ts'
import { OutcomeCache } from './outcome-cache.ts'
import { type Audience, ChangeLog, Packer } from './packer.ts'
import type { PathTable } from './path-table.ts'
import type { PrefixTable } from './prefix-table.ts'

export type GroupTables = {
  readonly prefixes: PrefixTable
  readonly paths: PathTable
  readonly attributes: AttributeTable
  readonly decision: Decision
}

export type GroupFacts = {
  readonly key: string
  readonly facts: ExportFacts
  readonly policy: ExportPolicy
  /** Paths per prefix; 0: only the best, without path identifiers. */
  readonly addPathLimit: number
}

/** Sends to one peer; false: it is over its high-water mark. */
export type Deliver = (peer: number, chunks: readonly Uint8Array[]) => boolean

export class Member {
  readonly peer: number
  /** Null: takes part in the common stream. */
  backlog: Backlog | null = null
  /** Position in the queue of changed prefixes up to which it has to be told before `tableSent`; null: nothing to report. */
  reportAfter: number | null = null

  constructor(peer: number) {
    this.peer = peer
  }
}

export class UpdateGroup {
  readonly #tables: GroupTables
  readonly #members = new Map<number, Member>()
  readonly #changes = new ChangeLog()
  readonly #catchingUp = new ChangeLog()
  readonly #packer: Packer
  #group: GroupFacts
  #outcomes: OutcomeCache
  #out: AdjRibOut
  /** Of the members, those in the common stream. */
  #inStream = 0
  #lastAttributes = -1
  #lastSource = -1
  #lastOutcome = 0
  /** Next row to be brought up to date with a changed policy, or null. */
  walk: number | null = null

  constructor(tables: GroupTables, group: GroupFacts, out?: AdjRibOut) {
    this.#tables = tables
    this.#group = group
    this.#outcomes = new OutcomeCache(tables.attributes, group.policy)
    this.#packer = new Packer(group.facts.family, group.facts.context, tables.prefixes, tables.attributes)
    this.#out =
      out ??
      (group.addPathLimit > 0
        ? new AddPathAdjRibOut(tables.prefixes, tables.attributes)
        : new SingleAdjRibOut(tables.prefixes, tables.attributes))
    if (tables.prefixes.count > 0) this.walk = 1
  }

  get key(): string {
    return this.#group.key
  }

  get facts(): ExportFacts {
    return this.#group.facts
  }

  get out(): AdjRibOut {
    return this.#out
  }

  get members(): ReadonlyMap<number, Member> {
    return this.#members
  }

  /** A group that tells the same until now, and from now on by `group`. Members are moved with `leave` and `join`. */
  split(group: GroupFacts): UpdateGroup {
    return new UpdateGroup(this.#tables, group, this.#out.copy())
  }

  /** From now on by another policy; differences are found and told by the walk. */
  become(group: GroupFacts): void {
    this.#group = group
    this.#outcomes.clear()
    this.#outcomes = new OutcomeCache(this.#tables.attributes, group.policy)
    this.restart()
  }

  /** What was worked out about policy may no longer hold, though nothing it was worked out for is in the tables now. */
  invalidate(): void {
    this.#outcomes.clear()
    this.#lastAttributes = -1
  }

  /** What was worked out about policy no longer holds. */
  restart(): void {
    this.invalidate()
    if (this.#tables.prefixes.count > 0) this.walk = 1
  }

  forget(attributes: number): void {
    this.#outcomes.forget(attributes)
    this.#packer.forget(attributes)
    this.#lastAttributes = -1
  }

  dispose(): void {
    this.#outcomes.clear()
    this.#out.dispose()
  }

  // members

  /** A peer that has been told nothing yet. */
  joinNew(peer: number): Member {
    const member = new Member(peer)
    if (this.#out.entries > 0) {
      member.backlog = new Backlog()
      member.backlog.addAll(this.#tables.prefixes.end)
    }
    this.join(member)
    return member
  }

  /** A peer that has been told exactly what this group has, but for its backlog. */
  join(member: Member): void {
    this.#members.set(member.peer, member)
    if (member.backlog === null) this.#inStream++
  }

  /** A peer that has been told what `before` has, but for its backlog. */
  joinFrom(member: Member, before: UpdateGroup): void {
    const backlog = member.backlog ?? new Backlog()
    for (let row = 1; row < this.#tables.prefixes.end; row++) {
      if (!backlog.isDirty(row) && this.#tellsSame(row, member.peer, before)) continue
      backlog.mark(row, before.#heldBy(row, member.peer))
    }
    member.backlog = backlog.isEmpty ? null : backlog
    this.join(member)
  }

  leave(peer: number): Member | null {
    const member = this.#members.get(peer) ?? null
    if (member === null) return null
    this.#members.delete(peer)
    if (member.backlog === null) this.#inStream--
    return member
  }

  /** From now on changes are noted for this member, not sent. */
  detach(member: Member): void {
    if (member.backlog !== null || !this.#has(member)) return
    member.backlog = new Backlog()
    this.#inStream--
  }

  /** Everything is to be told again (RFC 2918 §4). */
  repeat(member: Member): void {
    this.detach(member)
    member.backlog?.repeatAll(this.#tables.prefixes.end)
  }

  /** What a peer has been told: entries less those that came from itself. */
  toldTo(peer: number): number {
    return this.#out.entries - this.#out.entriesFrom(peer)
  }

  // changes

  /** Brings what is told about `row` up to date; `best` is its best path, or none. */
  evaluate(row: number, best: number): void {
    if (this.#group.addPathLimit > 0) {
      this.#evaluateSeveral(row)
      return
    }
    const { paths } = this.#tables
    const source = paths.peer[best] ?? 0
    const attributes = best === NONE ? NONE : this.#export(row, paths.imported[best] ?? NONE, source)
    const out = this.#out
    const before = out.attributesAt(row, 0)
    if (attributes === before && (attributes === NONE || source === out.sourceAt(row, 0))) return
    this.#note(row)
    this.#change(row, 0, before, out.sourceAt(row, 0), attributes, source)
  }

  /** True if no member holds or is owed anything about `row`. */
  isDoneWith(row: number): boolean {
    if (!this.#out.isEmptyAt(row)) return false
    if (this.#inStream < this.#members.size) {
      for (const { backlog } of this.#members.values()) if (backlog?.owes(row) === true) return false
    }
    return true
  }

  /** Encodes the changes since the last time and hands them to the members in the common stream. */
  emit(deliver: Deliver): void {
    if (this.#changes.count === 0) return
    const messages = this.#packer.pack(this.#changes)
    this.#changes.clear()
    for (const member of this.#members.values()) {
      if (member.backlog !== null) continue
      const chunks: Uint8Array[] = []
      for (const [audience, part] of messages) if (isFor(audience, member.peer)) chunks.push(...part)
      if (chunks.length > 0 && !deliver(member.peer, chunks)) this.detach(member)
    }
  }

  /**
   * Tells a member up to `limit` prefixes of its backlog, as they are now; when nothing is left, it is back in the common stream.
   * Returns how many were told. `told` is called for each row: it may be of no more use to anyone.
   */
  catchUp(member: Member, limit: number, deliver: Deliver, told: (row: number) => void): number {
    const { backlog, peer } = member
    if (backlog === null) return 0
    const changes = this.#catchingUp
    changes.clear()
    const rows: number[] = []
    while (rows.length < limit) {
      const row = backlog.take()
      if (row < 0) break
      rows.push(row)
      const held = backlog.takeHeld(row)
      for (const pathId of held ?? NOTHING) {
        const isTold = this.#out.attributesAt(row, pathId) !== NONE && this.#out.sourceAt(row, pathId) !== peer
        if (!isTold) changes.add(row, NONE, 0, pathId)
      }
      this.#out.visit(row, (pathId, attributes, source) => {
        if (source !== peer) changes.add(row, attributes, 0, pathId)
      })
    }
    const chunks = this.#packer.pack(changes).get(0) ?? []
    const hasRoom = chunks.length === 0 || deliver(peer, chunks)
    if (backlog.isEmpty && hasRoom && this.#has(member)) {
      member.backlog = null
      this.#inStream++
    }
    for (const row of rows) told(row)
    return rows.length
  }

  #evaluateSeveral(row: number): void {
    const { paths, prefixes, decision } = this.#tables
    const wanted = new Map<number, { readonly attributes: number; readonly source: number }>()
    // The row of a path is its identifier: unique, and the same as long as the path is there (RFC 7911 §3).
    decision.rank(prefixes.firstPath[row] ?? NONE, this.#group.addPathLimit, (path) => {
      const source = paths.peer[path] ?? 0
      const attributes = this.#export(row, paths.imported[path] ?? NONE, source)
      if (attributes !== NONE) wanted.set(path, { attributes, source })
      return attributes !== NONE
    })
    const out = this.#out
    const changed: [pathId: number, attributes: number, source: number][] = []
    out.visit(row, (pathId, _attributes, source) => {
      if (!wanted.has(pathId)) changed.push([pathId, NONE, source])
    })
    for (const [pathId, { attributes, source }] of wanted)
      if (out.attributesAt(row, pathId) !== attributes || out.sourceAt(row, pathId) !== source) changed.push([pathId, attributes, source])
    if (changed.length === 0) return
    this.#note(row)
    for (const [pathId, attributes, source] of changed)
      this.#change(row, pathId, out.attributesAt(row, pathId), out.sourceAt(row, pathId), attributes, source)
  }

  #export(row: number, attributes: number, source: number): number {
    if (attributes !== this.#lastAttributes || source !== this.#lastSource) {
      this.#lastOutcome = this.#outcomes.outcome(attributes, source)
      this.#lastAttributes = attributes
      this.#lastSource = source
    }
    const outcome = this.#lastOutcome
    if (outcome >= 0) return outcome
    const { word0, word1, word2, word3, length, wide } = this.#tables.prefixes
    return wide
      ? this.#outcomes.settle(outcome, word0[row] ?? 0, word1[row] ?? 0, word2[row] ?? 0, word3[row] ?? 0, length[row] ?? 0)
      : this.#outcomes.settle(outcome, word0[row] ?? 0, 0, 0, 0, length[row] ?? 0)
  }

  /** Before a row changes: who is not in the common stream remembers what it holds. */
  #note(row: number): void {
    if (this.#inStream === this.#members.size) return
    for (const { backlog, peer } of this.#members.values()) backlog?.mark(row, this.#heldBy(row, peer))
  }

  #heldBy(row: number, peer: number): readonly number[] {
    const out = this.#out
    if (out instanceof SingleAdjRibOut) return out.attributes[row] !== NONE && out.sources[row] !== peer ? NO_ID : NOTHING
    const ids: number[] = []
    out.visit(row, (pathId, _attributes, source) => {
      if (source !== peer) ids.push(pathId)
    })
    return ids
  }

  #tellsSame(row: number, peer: number, other: UpdateGroup): boolean {
    const mine = this.#heldBy(row, peer)
    const theirs = other.#heldBy(row, peer)
    return (
      mine.length === theirs.length && mine.every((pathId) => this.#out.attributesAt(row, pathId) === other.#out.attributesAt(row, pathId))
    )
  }

  /** Records one change in the Adj-RIB-Out and for the common stream. */
  #change(row: number, pathId: number, before: number, sourceBefore: number, attributes: number, source: number): void {
    this.#out.set(row, pathId, attributes, source)
    if (this.#inStream === 0) return
    if (attributes === NONE) {
      this.#log(row, NONE, sourceBefore, pathId)
      return
    }
    if (attributes === before) this.#tellAlone(row, attributes, sourceBefore, pathId)
    else this.#log(row, attributes, source, pathId)
    if (before !== NONE && sourceBefore !== source) this.#tellAlone(row, NONE, source, pathId)
  }

  /** For everyone but `source`. */
  #log(row: number, attributes: number, source: number, pathId: number): void {
    const isMember = this.#isInStream(source)
    if (isMember && this.#inStream === 1) return
    this.#changes.add(row, attributes, isMember ? source : 0, pathId)
  }

  #tellAlone(row: number, attributes: number, peer: number, pathId: number): void {
    if (this.#isInStream(peer)) this.#changes.add(row, attributes, -peer, pathId)
  }

  /** False once it has left: delivering to a peer may be what ended its session. */
  #has(member: Member): boolean {
    return this.#members.get(member.peer) === member
  }

  #isInStream(peer: number): boolean {
    const member = this.#members.get(peer)
    return member !== undefined && member.backlog === null
  }
}

function isFor(audience: Audience, peer: number): boolean {
  return audience >= 0 ? audience !== peer : audience === -peer
}
