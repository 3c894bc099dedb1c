// A store and a dataplane for policy that stand still until a test moves them.
import type { PolicyDataplane } from '../../../src/agent/policy/runtime.ts'
import type { Connection, DataplaneRequests } from '../../../src/agent/threads.ts'
import type { PodLink } from '../../../src/cni/index.ts'
import { type IpAddress, ip } from '../../../src/net/index.ts'
import type { Change, Selection, WatchObserver } from '../../../src/store/index.ts'

export const NAMESPACE = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'x', labels: {} } }
export const DENY = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'deny', namespace: 'x', labels: {} },
  spec: { podSelector: {}, policyTypes: ['Ingress'], ingress: [], egress: [] },
}

/** One watch; nothing is known until it is told. */
export class FakeStore {
  observer: WatchObserver | null = null
  selected: readonly Selection[] = []
  listed: (() => void)[] = []
  isWatched = true

  watch(selections: readonly Selection[], observer: WatchObserver): unknown {
    this.selected = selections
    this.observer = observer
    const select = (wanted: readonly Selection[]): Promise<void> => {
      this.selected = wanted
      return new Promise((resolve) => this.listed.push(resolve))
    }
    const end = (): void => {
      this.isWatched = false
    }
    return { select, [Symbol.dispose]: end }
  }

  tell(type: 'put' | 'gone', ...objects: readonly object[]): void {
    this.observer?.changed(objects.map((object) => ({ type, object })) as unknown as readonly Change[])
  }

  /** What was selected last has been listed. */
  list(): void {
    for (const resolve of this.listed.splice(0)) resolve()
  }
}

/** Answers when it is told to, or at once. */
export class FakeDataplane {
  readonly written: DataplaneRequests['writePolicy']['request'][] = []
  readonly cuts: DataplaneRequests['cutConnections']['request'][] = []
  connections: readonly Connection[] = []
  readonly listed: (readonly IpAddress[])[] = []
  isOk = true
  /** The thread has ended, say. */
  failure: Error | null = null
  /** Writes wait for it. */
  held: Promise<void> | null = null

  readonly ask: PolicyDataplane['ask'] = (kind, request) => this.#answer(kind, request) as never

  async #answer(kind: string, request: unknown): Promise<unknown> {
    if (this.failure !== null) throw this.failure
    if (kind === 'listConnections') {
      this.listed.push((request as DataplaneRequests['listConnections']['request']).addresses)
      return this.connections
    }
    if (kind === 'cutConnections') {
      const wanted = request as DataplaneRequests['cutConnections']['request']
      this.cuts.push(wanted)
      return wanted.cut.length
    }
    this.written.push(request as DataplaneRequests['writePolicy']['request'])
    await this.held
    return { ok: this.isOk }
  }
}

export function link(number: number): PodLink {
  const hostInterface = `fib${number.toString(16).padStart(11, '0')}`
  return {
    containerId: `c${number}`,
    ifName: 'eth0',
    netns: '/run/netns/c',
    hostInterface,
    addresses: [ip(`10.0.0.${number}`)],
    mtu: 1500,
    mac: null,
  }
}

/** Lets everything that waits for nothing but its turn have it. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}
