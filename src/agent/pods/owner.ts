// The agent's hold on its pods: loads and starts what serves them, tries again while it cannot, and tells the agent when routes,
// problems or readiness may be others. Loading this file is cheap; a node without CNI loads no more of it.
import type { AttachmentKey } from '../../cni/index.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { containsAddress, formatIp, type IpAddress, type Prefix } from '../../net/index.ts'
import type { Snapshot, Store } from '../../store/index.ts'
import type { AgentStatus, Problem } from '../control-api.ts'
import type { CniOptions } from '../options.ts'
import type { KnownPods } from '../threads.ts'
import type { PodGate, Pods } from './index.ts'
import type { DataplaneAsk, RemoteWiring } from './remote-wiring.ts'

export type PodsOwnerDeps = {
  readonly node: string
  readonly log: Log
  readonly clock: Clock
  readonly cni: CniOptions
  readonly store: Store
  /** Follows Namespaces and the Pods of this node. */
  readonly snapshot: Snapshot
  readonly dataplane: DataplaneAsk
  readonly gate: PodGate
  /** Own blocks that have routes, as last derived. */
  readonly ownBlocks: () => readonly Prefix[]
  /** Why nothing that a pod needs beside an address could be done, in words; null: it can. */
  readonly unreadiness: () => string | null
  /** The configuration is to be derived again. */
  readonly onRoutes: () => void
  readonly onProblems: (problems: readonly Problem[]) => void
  /** A pod can have a network. */
  readonly onReady: () => void
}

/** Between two looks at what pods make a difference to: a look at all of them costs more than the pod it follows. */
const LOOK_EVERY_MS = 250
/** Until the state directory or the CNI socket are tried again. */
const RETRY_MS = 5_000
/** A stop waits no longer than this for answers that CNI still owes. */
const END_WITHIN_MS = 5_000
const UNKNOWN = 'the pods of this node are not known yet'

export class PodsOwner {
  readonly #deps: PodsOwnerDeps
  readonly #starting: Promise<void>
  #pods: Pods | null = null
  #wiring: RemoteWiring | null = null
  #mtu: number | null = null
  /** What was told between the moment the dataplane knew the pods and the moment they were served. */
  #resizedEarly: { readonly pod: AttachmentKey; readonly mtu: number }[] = []
  #isSettled = false
  #isEnding = false
  #look: Disposable | null = null
  #lookedAtMs = Number.NEGATIVE_INFINITY
  #retry: { readonly timer: Disposable; readonly now: () => void } | null = null
  /** Addresses of pods that no own block covered when that was last looked at. */
  #uncovered = ''

  constructor(deps: PodsOwnerDeps) {
    this.#deps = deps
    this.#starting = this.#start()
  }

  /** The state directory has been read, or could not be: what is derived now is as true as it gets. */
  get isSettled(): boolean {
    return this.#isSettled
  }

  /** null: not known yet. */
  get pods(): Pods | null {
    return this.#pods
  }

  setMtu(mtu: number): void {
    this.#mtu = mtu
    this.#wiring?.setMtu(mtu)
  }

  /** The link of a pod has another MTU now. */
  resized(pod: AttachmentKey, mtu: number): void {
    if (this.#pods === null) this.#resizedEarly.push({ pod, mtu })
    else this.#pods.resized(pod, mtu)
  }

  /** Pods came or went, or what can be given to them; changes that come together are looked at once. */
  lookSoon(): void {
    if (this.#pods === null || this.#isEnding || this.#look !== null) return
    const { clock } = this.#deps
    this.#look = clock.after(Math.max(0, this.#lookedAtMs + LOOK_EVERY_MS - clock.nowMs()), () => {
      this.#look = null
      this.#lookedAtMs = clock.nowMs()
      if (this.#pods !== null && !this.#isEnding) this.#lookAt(this.#pods)
    })
  }

  counts(): NonNullable<AgentStatus['pods']> {
    const reason = this.#pods === null ? UNKNOWN : this.#pods.notReadyBecause()
    return { attached: this.#pods?.attached() ?? 0, ready: reason === null, notReadyBecause: reason }
  }

  /** Ends what serves them; links, routes and records stay. Resolves in a few seconds at most. */
  async end(): Promise<void> {
    const { clock, log } = this.#deps
    this.#isEnding = true
    this.#look?.[Symbol.dispose]()
    this.#retry?.now()
    const deadline = Promise.withResolvers<void>()
    using _timer = clock.after(END_WITHIN_MS, deadline.resolve)
    const ended = this.#starting.then(() => this.#pods?.[Symbol.asyncDispose]())
    await Promise.race([ended, deadline.promise]).catch((error: unknown) => log.error('agent.pods.endFailed', { err: error }))
  }

  async #start(): Promise<void> {
    const { log, store, snapshot, dataplane, unreadiness, onRoutes, onProblems } = this.#deps
    const [{ servePods }, wiring, source, blocks] = await Promise.all([
      import('./serve.ts'),
      import('./remote-wiring.ts'),
      import('./pod-source.ts'),
      import('../../store/index.ts'),
    ])
    this.#wiring = new wiring.RemoteWiring(dataplane)
    if (this.#mtu !== null) this.#wiring.setMtu(this.#mtu)
    const host = {
      ...this.#deps,
      random: Math.random,
      blocks: blocks.createBlockStore(store),
      podSource: new source.StorePodSource(store, snapshot, log),
      wiring: this.#wiring,
      adopt: (known: KnownPods) => dataplane.ask('adoptPods', known),
      unreadiness,
      changed: () => this.lookSoon(),
    }
    while (!this.#isEnding) {
      try {
        this.#pods = await servePods(host)
        for (const { pod, mtu } of this.#resizedEarly.splice(0)) this.#pods.resized(pod, mtu)
        onProblems([])
      } catch (error) {
        const message = `pods cannot be served: ${error instanceof Error ? error.message : String(error)}`
        onProblems([{ severity: 'error', subject: 'CNI', message }])
      }
      this.#isSettled = true
      onRoutes()
      if (this.#pods !== null) return
      await this.#pause()
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#deps.clock.after(RETRY_MS, resolve)
      const now = (): void => {
        timer[Symbol.dispose]()
        resolve()
      }
      this.#retry = { timer, now }
      if (this.#isEnding) now()
    })
  }

  /** Only an address that no block of ours covers makes a difference to routes. */
  #lookAt(pods: Pods): void {
    const { ownBlocks, onProblems, onRoutes, onReady } = this.#deps
    onProblems(pods.problems())
    const blocks = ownBlocks()
    const isCovered = (address: IpAddress): boolean => blocks.some((block) => containsAddress(block, address))
    const uncovered = pods.addresses().filter((address) => !isCovered(address))
    const text = uncovered.map(formatIp).sort().join()
    if (text !== this.#uncovered) {
      this.#uncovered = text
      onRoutes()
    }
    pods.lookAgain()
    if (pods.notReadyBecause() === null) onReady()
  }
}
