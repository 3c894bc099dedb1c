// What the cluster says about a pod, for CNI: from the watch at once, else by asking the store for no longer than a pod may be kept
// waiting. While the store is away, what is known is all there is.
import type { PodSource } from '../../cni/index.ts'
import type { Log } from '../../lib/log.ts'
import type { KindName, ObjectKey, ResourceOf, Snapshot, Store } from '../../store/index.ts'

/** An ADD has seconds; a store that takes longer than this for one object is as good as away. */
const ASK_WITHIN_MS = 1_000

type PodKey = Parameters<PodSource['lookUp']>[0]
type PodFacts = Awaited<ReturnType<PodSource['lookUp']>>

export class StorePodSource implements PodSource {
  readonly #store: Pick<Store, 'get'>
  readonly #snapshot: Snapshot
  readonly #log: Log
  readonly #askWithinMs: number

  /** `snapshot` follows Namespaces and the Pods of this node. */
  constructor(store: Pick<Store, 'get'>, snapshot: Snapshot, log: Log, askWithinMs = ASK_WITHIN_MS) {
    this.#store = store
    this.#snapshot = snapshot
    this.#log = log
    this.#askWithinMs = askWithinMs
  }

  /** Never rejects. The watch may lag behind: it may not know the pod yet, or still its namesake of before, which `uid` tells apart. */
  async lookUp({ namespace, name, uid }: PodKey, signal?: AbortSignal): Promise<PodFacts> {
    const known = this.#snapshot.Pod.get(`${namespace}/${name}`)
    const isCurrent = known !== undefined && (uid === undefined || uid === null || known.metadata.uid === uid)
    const [pod, labels] = await Promise.all([
      isCurrent ? known : this.#ask('Pod', { namespace, name }, signal).then((found) => found ?? known ?? null),
      this.#namespaceLabels(namespace, signal),
    ])
    if (pod === null && labels === null) return null
    return { annotations: pod?.metadata.annotations ?? {}, namespaceLabels: labels }
  }

  async #namespaceLabels(name: string, signal: AbortSignal | undefined): Promise<ResourceOf<'Namespace'>['metadata']['labels'] | null> {
    const found = this.#snapshot.Namespace.get(name) ?? (await this.#ask('Namespace', { name }, signal))
    return found?.metadata.labels ?? null
  }

  async #ask<K extends KindName>(kind: K, key: ObjectKey, signal: AbortSignal | undefined): Promise<ResourceOf<K> | null> {
    const deadline = AbortSignal.timeout(this.#askWithinMs)
    const either = signal === undefined ? deadline : AbortSignal.any([deadline, signal])
    const aborted = Promise.withResolvers<never>()
    const abort = (): void => aborted.reject(either.reason)
    either.addEventListener('abort', abort, { once: true })
    try {
      return await Promise.race([this.#store.get(kind, key, either), aborted.promise]) // a store that hangs may not heed the signal
    } catch (error) {
      this.#log.debug('agent.pod.unknown', { kind, ...key, err: error })
      return null
    } finally {
      either.removeEventListener('abort', abort)
    }
  }
}
