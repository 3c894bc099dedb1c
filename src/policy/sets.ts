// Who is in which set, kept up to date: a change of one pod, namespace or node touches only the sets it enters or leaves. Members are
// counted, so that within one update it makes no difference who comes and who goes first.
import type { Labels } from '../lib/label-selector.ts'
import { unreachable } from '../lib/result.ts'
import { familyOf, formatIp, type IpAddress, type IpFamily } from '../net/index.ts'
import { ANY, AnchorIndex, anchorOfNamespace, anchorsOfPod, anchorsOfSet } from './member-index.ts'
import { NAMESPACE_NAME_LABEL, type NamedPort, type PolicyNamespace, type PolicyNode } from './model.ts'
import type { AddressSet, SetSpec } from './program.ts'
import { meetsAll, meetsPodSelector } from './selector.ts'

/** A pod with the addresses that are its own. */
export type MemberPod = {
  readonly namespace: string
  readonly labels: Labels
  readonly ports: readonly NamedPort[]
  readonly isLocal: boolean
  readonly addresses: readonly IpAddress[]
}

type Member = { readonly family: IpFamily; readonly text: string }
type Counts = { readonly [F in IpFamily]: Map<string, number> }
type LiveSet = {
  readonly set: AddressSet
  uses: number
  isNew: boolean
  readonly counts: Counts
  /** Members that were touched since the last flush, and whether they were there before. */
  readonly touched: { readonly [F in IpFamily]: Map<string, boolean> }
}
type Contribution = Map<string, readonly Member[]>
type Entity = {
  readonly pod: MemberPod
  readonly anchors: readonly string[]
  readonly members: readonly Member[]
  contribution: Contribution
}
type NodeEntry = { readonly labels: Labels; readonly members: readonly Member[]; contribution: Contribution }

export type FamilyMembers = { readonly [F in IpFamily]: { readonly add: readonly string[]; readonly remove: readonly string[] } }
export type SetChanges = {
  /** With all their members. */
  readonly added: readonly { readonly set: AddressSet; readonly members: { readonly [F in IpFamily]: readonly string[] } }[]
  readonly changed: readonly { readonly set: AddressSet; readonly members: FamilyMembers }[]
  readonly removed: readonly AddressSet[]
}

const FAMILIES: readonly IpFamily[] = [4, 6]
const NOTHING: readonly Member[] = []

export class SetTable {
  readonly #sets = new Map<string, LiveSet>()
  readonly #setAnchors = new AnchorIndex()
  readonly #entities = new Map<string, Entity>()
  readonly #entityAnchors = new AnchorIndex()
  readonly #namespaces = new Map<string, Labels>()
  readonly #nodes = new Map<string, NodeEntry>()
  readonly #nodeSets = new Set<string>()
  readonly #dirty = new Set<string>()
  /** No longer used at some time since the last flush. */
  readonly #unused = new Set<string>()

  retain(set: AddressSet): void {
    const live = this.#sets.get(set.id)
    if (live !== undefined) {
      live.uses++
      return
    }
    const touched = { 4: new Map<string, boolean>(), 6: new Map<string, boolean>() }
    this.#sets.set(set.id, { set, uses: 1, isNew: true, counts: { 4: new Map(), 6: new Map() }, touched })
    this.#dirty.add(set.id)
    this.#fill(set)
  }

  release({ id }: AddressSet): void {
    const live = this.#sets.get(id)
    if (live === undefined) return
    live.uses--
    if (live.uses === 0) this.#unused.add(id)
  }

  members({ id }: AddressSet, family: IpFamily): readonly string[] {
    return [...(this.#sets.get(id)?.counts[family].keys() ?? [])]
  }

  /** Null: it is gone, or may be in no set. */
  updatePod(key: string, pod: MemberPod | null): void {
    const before = this.#entities.get(key)
    if (before !== undefined) this.#entityAnchors.remove(key, before.anchors)
    const contribution = before?.contribution ?? new Map()
    if (pod === null) {
      this.#replace(contribution, new Map())
      this.#entities.delete(key)
      return
    }
    const isSame = before !== undefined && sameAddresses(before.pod.addresses, pod.addresses)
    const entity = { pod, anchors: anchorsOfPod(pod), members: isSame ? before.members : pod.addresses.map(toMember), contribution }
    this.#entityAnchors.add(key, entity.anchors)
    this.#entities.set(key, entity)
    this.#refresh(entity)
  }

  updateNamespace(name: string, namespace: PolicyNamespace | null): void {
    if (namespace === null) this.#namespaces.delete(name)
    else this.#namespaces.set(name, { ...namespace.labels, [NAMESPACE_NAME_LABEL]: name })
    for (const key of this.#entityAnchors.at([anchorOfNamespace(name)])) {
      const entity = this.#entities.get(key)
      if (entity !== undefined) this.#refresh(entity)
    }
  }

  updateNode(name: string, node: PolicyNode | null): void {
    const contribution = this.#nodes.get(name)?.contribution ?? new Map()
    if (node === null) {
      this.#replace(contribution, new Map())
      this.#nodes.delete(name)
      return
    }
    const entry: NodeEntry = { labels: node.labels, members: node.addresses.map(toMember), contribution }
    this.#nodes.set(name, entry)
    const next: Contribution = new Map()
    for (const id of this.#nodeSets) this.#contributeNode(entry, id, next)
    this.#replace(contribution, next)
    entry.contribution = next
  }

  /** What became of the sets since the last flush. */
  flush(): SetChanges {
    const removed: AddressSet[] = []
    for (const id of this.#unused) {
      const live = this.#sets.get(id)
      if (live === undefined || live.uses > 0) continue
      this.#forget(live)
      if (!live.isNew) removed.push(live.set)
    }
    this.#unused.clear()
    const added: SetChanges['added'][number][] = []
    const changed: SetChanges['changed'][number][] = []
    for (const id of this.#dirty) {
      const live = this.#sets.get(id)
      if (live === undefined) continue
      const { set, counts } = live
      if (live.isNew) added.push({ set, members: { 4: [...counts[4].keys()], 6: [...counts[6].keys()] } })
      else {
        const members = { 4: changesOf(live, 4), 6: changesOf(live, 6) }
        if (FAMILIES.some((family) => members[family].add.length + members[family].remove.length > 0)) changed.push({ set, members })
      }
      live.isNew = false
      for (const family of FAMILIES) live.touched[family].clear()
    }
    this.#dirty.clear()
    return { added, changed, removed }
  }

  #fill({ id, spec }: AddressSet): void {
    switch (spec.kind) {
      case 'networks':
        for (const family of FAMILIES) for (const text of spec.prefixes[family]) this.#count(id, { family, text }, 1)
        return
      case 'nodes':
        this.#nodeSets.add(id)
        for (const entry of this.#nodes.values())
          for (const member of this.#contributeNode(entry, id, entry.contribution)) this.#count(id, member, 1)
        return
      case 'pods':
      case 'namedPort': {
        this.#setAnchors.add(id, anchorsOfSet(spec))
        for (const key of this.#entityAnchors.at(this.#whereToLook(spec))) {
          const entity = this.#entities.get(key)
          if (entity === undefined) continue
          const members = this.#membersIn(spec, entity)
          if (members.length === 0) continue
          entity.contribution.set(id, members)
          for (const member of members) this.#count(id, member, 1)
        }
        return
      }
      default:
        unreachable(spec)
    }
  }

  /** Anchors of all pods that may be in a set: for those of namespaces with certain labels, the namespaces that have them now. */
  #whereToLook(spec: Extract<SetSpec, { kind: 'pods' | 'namedPort' }>): readonly string[] {
    const anchors = anchorsOfSet(spec)
    if (spec.kind !== 'pods' || 'name' in spec.select.namespaces || !anchors.includes(ANY)) return anchors
    const { selector } = spec.select.namespaces
    return [...this.#namespaces].filter(([, labels]) => meetsAll(selector, labels)).map(([name]) => anchorOfNamespace(name))
  }

  #forget({ set: { id, spec } }: LiveSet): void {
    this.#sets.delete(id)
    this.#dirty.delete(id)
    if (spec.kind === 'nodes') {
      this.#nodeSets.delete(id)
      for (const { contribution } of this.#nodes.values()) contribution.delete(id)
    } else if (spec.kind !== 'networks') {
      const anchors = anchorsOfSet(spec)
      this.#setAnchors.remove(id, anchors)
      for (const key of this.#entityAnchors.at(anchors)) this.#entities.get(key)?.contribution.delete(id)
    }
  }

  /** Compares a pod with all sets that it may be in. */
  #refresh(entity: Entity): void {
    const next: Contribution = new Map()
    for (const id of this.#setAnchors.at(entity.anchors)) {
      const spec = this.#sets.get(id)?.set.spec
      if (spec === undefined || spec.kind === 'nodes' || spec.kind === 'networks') continue
      const members = this.#membersIn(spec, entity)
      if (members.length > 0) next.set(id, members)
    }
    this.#replace(entity.contribution, next)
    entity.contribution = next
  }

  #membersIn(spec: Extract<SetSpec, { kind: 'pods' | 'namedPort' }>, { pod, members }: Entity): readonly Member[] {
    if (spec.kind === 'pods') {
      return meetsPodSelector(spec.select, pod, this.#namespaces.get(pod.namespace) ?? null) ? members : NOTHING
    }
    if (spec.of === 'local' && !pod.isLocal) return NOTHING
    const ports = pod.ports.filter(({ name, protocol }) => name === spec.name && (spec.protocol === null || spec.protocol === protocol))
    const texts = new Set(ports.map(({ protocol, port }) => `${protocol.toLowerCase()}:${port}`))
    return members.flatMap(({ family, text }) => [...texts].map((port) => ({ family, text: `${text},${port}` })))
  }

  #contributeNode({ labels, members }: NodeEntry, id: string, contribution: Contribution): readonly Member[] {
    const spec = this.#sets.get(id)?.set.spec
    if (spec?.kind !== 'nodes' || members.length === 0 || !meetsAll(spec.select, labels)) return NOTHING
    contribution.set(id, members)
    return members
  }

  #replace(before: Contribution, after: Contribution): void {
    for (const [id, members] of after) if (before.get(id) !== members) for (const member of members) this.#count(id, member, 1)
    for (const [id, members] of before) if (after.get(id) !== members) for (const member of members) this.#count(id, member, -1)
  }

  #count(id: string, { family, text }: Member, by: 1 | -1): void {
    const live = this.#sets.get(id)
    if (live === undefined) return
    const counts = live.counts[family]
    const before = counts.get(text) ?? 0
    if (before === 0 || before + by === 0) {
      if (!live.touched[family].has(text)) live.touched[family].set(text, before > 0)
      this.#dirty.add(id)
    }
    if (before + by === 0) counts.delete(text)
    else counts.set(text, before + by)
  }
}

function changesOf({ counts, touched }: LiveSet, family: IpFamily): FamilyMembers[IpFamily] {
  const add: string[] = []
  const remove: string[] = []
  for (const [text, wasThere] of touched[family]) {
    const isThere = counts[family].has(text)
    if (isThere !== wasThere) (isThere ? add : remove).push(text)
  }
  return { add, remove }
}

function toMember(address: IpAddress): Member {
  return { family: familyOf(address), text: formatIp(address) }
}

function sameAddresses(a: readonly IpAddress[], b: readonly IpAddress[]): boolean {
  return a.length === b.length && a.every((address, at) => address === b[at])
}
