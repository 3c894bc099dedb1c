// Collects what has leaked: shell around suspects.ts. Nothing is touched before a second look, at least the grace period after the
// first by our own clock, has found the very same thing, and every look in between has too. Then the store itself is asked again, by
// name, whether the node or pod is really gone (a watch may be behind), the block is read anew, and written by compare-and-swap. A new
// leader begins with a first look: it forgets nothing but time.

import {
  type BlockRecord,
  type BlockStore,
  BlockStoreError,
  type BlockStoreErrorCode,
  LeakWatch,
  type StoredBlock,
  withoutFindings,
} from '../../ipam/index.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { formatIp, formatPrefix } from '../../net/index.ts'
import { type NodeNetwork, type ResourceOf, type Store, StoreError } from '../../store/index.ts'
import { type ClusterSnapshot, someOf } from '../cluster.ts'
import { recordOf } from '../pool-usage.ts'
import { type BlockSuspect, isLost, lookAtNodes, lookAtPods, type NodeLook, podFacts, podKey } from './suspects.ts'

export type CollectorDeps = {
  readonly store: Pick<Store, 'get' | 'list' | 'delete'>
  readonly blocks: BlockStore
  readonly clock: Clock
  readonly log: Log
  /** Between the first look that finds something and the one that collects it. */
  readonly graceMs: number
  /** Asked before every write: whether this replica still leads. */
  readonly mayAct: () => boolean
}

/** Counts since the start; `suspected` as of the last looks. */
export type CollectorFigures = {
  readonly suspected: number
  readonly addresses: number
  readonly reserves: number
  readonly blocks: number
  readonly networks: number
  readonly failed: number
}

const MAX_ATTEMPTS = 5
const FINISHED: ReadonlySet<string> = new Set(['Succeeded', 'Failed'])

export class LeakCollector {
  readonly #deps: CollectorDeps
  readonly #atNodes: LeakWatch
  readonly #atPods: LeakWatch
  #suspectedAtNodes = 0
  #suspectedAtPods = 0
  #counts = { addresses: 0, reserves: 0, blocks: 0, networks: 0, failed: 0 }

  constructor(deps: CollectorDeps) {
    this.#deps = deps
    this.#atNodes = new LeakWatch(deps.graceMs)
    this.#atPods = new LeakWatch(deps.graceMs)
  }

  get figures(): CollectorFigures {
    return { ...this.#counts, suspected: this.#suspectedAtNodes + this.#suspectedAtPods }
  }

  /** What belongs to nodes that are gone, and empty blocks of nobody. Rejects if the store cannot be asked. */
  async atNodes(snapshot: ClusterSnapshot, signal: AbortSignal): Promise<void> {
    const nodes = snapshot.Node.size === 0 ? null : new Set(snapshot.Node.keys())
    const look = lookAtNodes(recordsOf(snapshot), snapshot.NodeNetwork.keys(), nodes)
    const names = [...look.inBlocks, ...look.emptyBlocks].map(({ name }) => name)
    const networkName = (name: string): string => `network ${name} ${snapshot.NodeNetwork.get(name)?.metadata.uid ?? ''}`
    const seen = [...names, ...look.networks.map(networkName)]
    this.#suspectedAtNodes = seen.length
    const confirmed = this.#atNodes.observe(seen, this.#deps.clock.nowMs())
    const gone = await this.#reallyGone(look, confirmed, networkName, signal)
    await this.#freeInBlocks(
      look.inBlocks.filter(({ name, node }) => confirmed.has(name) && gone.has(node)),
      signal,
    )
    for (const { name, range, sequence } of look.emptyBlocks) if (confirmed.has(name)) await this.#deleteEmpty(range, sequence, signal)
    for (const name of look.networks) {
      const network = snapshot.NodeNetwork.get(name)
      if (confirmed.has(networkName(name)) && gone.has(name) && network !== undefined) await this.#deleteNetwork(network, signal)
    }
  }

  /** Addresses of pods that are nowhere. Lists all pods, unless no node is well or no pod has an address. Rejects likewise. */
  async atPods(snapshot: ClusterSnapshot, signal: AbortSignal): Promise<void> {
    const records = recordsOf(snapshot)
    const wellNodes = new Set([...snapshot.Node.values()].filter(isReady).map(({ metadata }) => metadata.name))
    const isAny = wellNodes.size > 0 && records.some(({ allocations }) => allocations.some(({ pod }) => pod !== null))
    const pods = isAny ? await this.#allPods(signal) : null
    const suspects = pods === null ? [] : lookAtPods(records, pods, wellNodes)
    this.#suspectedAtPods = suspects.length
    const confirmed = this.#atPods.observe(
      suspects.map(({ name }) => name),
      this.#deps.clock.nowMs(),
    )
    const lost: BlockSuspect[] = []
    for (const suspect of suspects) if (confirmed.has(suspect.name) && (await this.#isStillLost(suspect, signal))) lost.push(suspect)
    await this.#freeInBlocks(lost, signal)
  }

  /** Of the nodes of what is confirmed: those that the store does not have, and on which no pod is left. */
  async #reallyGone(
    look: NodeLook,
    confirmed: ReadonlySet<string>,
    networkName: (node: string) => string,
    signal: AbortSignal,
  ): Promise<ReadonlySet<string>> {
    const nodes = new Set([
      ...look.inBlocks.filter(({ name }) => confirmed.has(name)).map(({ node }) => node),
      ...look.networks.filter((name) => confirmed.has(networkName(name))),
    ])
    const gone = new Set<string>()
    for (const node of nodes) {
      if ((await this.#deps.store.get('Node', { name: node }, signal)) !== null) continue
      const pods = await this.#deps.store.list({ kind: 'Pod', nodeName: node }, signal)
      const left = pods.filter(({ status }) => !FINISHED.has(status.phase))
      if (left.length === 0) gone.add(node)
      else this.#deps.log.info('controller.node.inUse', { node, pods: someOf(left.map(({ metadata }) => metadata.name)) })
    }
    return gone
  }

  /** Node and pod as they are now. */
  async #isStillLost({ finding, node }: BlockSuspect, signal: AbortSignal): Promise<boolean> {
    const { store } = this.#deps
    if (!('allocation' in finding) || finding.allocation.pod === null) return false
    const here = await store.get('Node', { name: node }, signal)
    if (here === null || !isReady(here)) return false
    const pod = await store.get('Pod', finding.allocation.pod, signal)
    return isLost(finding.allocation, node, pod === null ? null : podFacts(pod))
  }

  /** null: there is none at all, as in a folder without manifests of pods: then nobody knows which there are. */
  async #allPods(signal: AbortSignal): Promise<ReadonlyMap<string, ReturnType<typeof podFacts>> | null> {
    const pods = await this.#deps.store.list({ kind: 'Pod' }, signal)
    if (pods.length === 0) return null
    const facing = pods.filter(({ spec }) => !spec.hostNetwork)
    return new Map(facing.map((pod) => [podKey(pod.metadata.namespace ?? 'default', pod.metadata.name), podFacts(pod)]))
  }

  async #freeInBlocks(suspects: readonly BlockSuspect[], signal: AbortSignal): Promise<void> {
    const byBlock = new Map<string, BlockSuspect[]>()
    for (const suspect of suspects) {
      const key = formatPrefix(suspect.range)
      const sharing = byBlock.get(key)
      if (sharing === undefined) byBlock.set(key, [suspect])
      else sharing.push(suspect)
    }
    for (const [block, sharing] of byBlock) await this.#perBlock(block, signal, () => this.#free(sharing, signal))
  }

  async #free(suspects: readonly BlockSuspect[], signal: AbortSignal): Promise<void> {
    const { blocks, clock, log } = this.#deps
    const [first] = suspects
    if (first === undefined) return
    const stored = await blocks.get(first.range, signal)
    if (stored === null) return
    // A block that has changed hands meanwhile is not the one that was looked at.
    const findings = suspects
      .filter(({ finding, node }) => finding.kind !== 'blockNodeGone' || stored.block.node === node)
      .map(({ finding }) => finding)
    const without = withoutFindings(stored.block, findings, new Date(clock.wallMs()).toISOString())
    if (without === null) return
    await this.#write(stored, without, signal)
    const { block } = stored
    const isFreed = ({ address, sequence }: { readonly address: unknown; readonly sequence: number }): boolean =>
      !without.allocations.some((kept) => kept.address === address && kept.sequence === sequence)
    const freed = block.allocations.filter(isFreed)
    this.#counts.addresses += freed.length
    this.#counts.reserves += block.reserves.length - without.reserves.length
    log.warn('controller.leak.collected', {
      block: formatPrefix(block.range),
      addresses: freed.slice(0, 10).map(({ address }) => formatIp(address)),
      count: freed.length,
      reserves: block.reserves.length - without.reserves.length,
      nodes: [...new Set(suspects.map(({ node }) => node))],
      isAbandoned: block.node !== null && without.node === null,
    })
  }

  async #write(stored: StoredBlock, without: BlockRecord, signal: AbortSignal): Promise<void> {
    this.#mustLead()
    await this.#deps.blocks.update(stored, without, signal)
  }

  async #deleteEmpty(range: BlockRecord['range'], sequence: number, signal: AbortSignal): Promise<void> {
    const { blocks, log } = this.#deps
    await this.#perBlock(formatPrefix(range), signal, async () => {
      const stored = await blocks.get(range, signal)
      if (stored === null || stored.block.node !== null || stored.block.sequence !== sequence) return
      if (stored.block.allocations.length > 0 || stored.block.reserves.length > 0) return
      this.#mustLead()
      await blocks.delete(stored, signal)
      this.#counts.blocks++
      log.info('controller.block.removed', { block: formatPrefix(range) })
    })
  }

  async #deleteNetwork({ metadata: { name, resourceVersion } }: NodeNetwork, signal: AbortSignal): Promise<void> {
    const { store, log } = this.#deps
    this.#mustLead()
    try {
      await store.delete('NodeNetwork', { name, ...(resourceVersion === undefined ? {} : { resourceVersion }) }, signal)
      this.#counts.networks++
      log.info('controller.network.removed', { node: name })
    } catch (error) {
      if (!(error instanceof StoreError) || (error.code !== 'CONFLICT' && error.code !== 'NOT_FOUND')) throw error
      // Somebody writes it still, or it is gone already.
    }
  }

  /** Tries again when somebody else was faster. One block that cannot be written does not keep the others from it. */
  async #perBlock(block: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await work()
        return
      } catch (error) {
        if (signal.aborted || !(error instanceof BlockStoreError)) throw error
        if (error.code === 'UNAVAILABLE') throw error
        if (RETRIED.has(error.code) && attempt < MAX_ATTEMPTS) continue
        this.#counts.failed++
        this.#deps.log.warn('controller.leak.notCollected', { block, err: error })
        return
      }
    }
  }

  #mustLead(): void {
    if (!this.#deps.mayAct()) throw new NotLeadingError()
  }
}

const RETRIED: ReadonlySet<BlockStoreErrorCode> = new Set(['CONFLICT', 'NOT_FOUND'])

/** This replica has stopped leading in the middle of something: whoever leads now does it. */
export class NotLeadingError extends Error {
  constructor() {
    super('this replica no longer leads')
    this.name = 'NotLeadingError'
  }
}

function recordsOf(snapshot: ClusterSnapshot): readonly BlockRecord[] {
  return [...snapshot.IPAMBlock.values()].map(recordOf).filter((record) => record !== null)
}

/** The kubelet of the node answers, so it has ended the containers of pods that are gone. */
function isReady({ status }: ResourceOf<'Node'>): boolean {
  return status.conditions.some(({ type, status: state }) => type === 'Ready' && state === 'True')
}
