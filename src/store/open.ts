// From the text of `--store` to a store.
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { DirectoryStore } from './directory/adapter.ts'
import { KubernetesStore } from './kubernetes/adapter.ts'
import { connectKubernetes } from './kubernetes/kube-config.ts'
import { type Store, StoreError } from './port.ts'

export type StoreOptions = {
  readonly clock?: Clock
  readonly log?: Log
  /** Context of the kubeconfig; null or absent: the cluster we run in, or the current context. */
  readonly context?: string | null
  /** What runs for long waits for a folder that is not there yet, as for an API server; a command says so and ends. Default false. */
  readonly waitsForFolder?: boolean
}

/** Opens `dir:PATH`, or `kubernetes`: the cluster we run in or that of the kubeconfig. Throws StoreError: INVALID if the text names no store there is, UNAVAILABLE if it cannot be reached. */
export function openStore(text: string, options: StoreOptions = {}): Store {
  if (text.startsWith('dir:') && text.length > 'dir:'.length) return new DirectoryStore(text.slice('dir:'.length), options)
  if (text === 'kubernetes') return new KubernetesStore(() => connectKubernetes(process.env, options.context ?? null), options)
  throw new StoreError(
    'INVALID',
    `--store ${JSON.stringify(text)} is not a store; write --store dir:PATH, the folder with the manifests, or --store kubernetes`,
  )
}
