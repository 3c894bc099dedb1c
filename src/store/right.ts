// What a program needs to be allowed in a cluster: each program lists its own, the chart grants exactly that, and tests against a real
// API server have no more.

export type Right = {
  /** `''` for the kinds of Kubernetes' core. */
  readonly apiGroup: string
  readonly resources: readonly string[]
  readonly verbs: readonly ('get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete')[]
  /** Only these objects. */
  readonly resourceNames?: readonly string[]
  /** `ownNamespace`: in the namespace of Fibula alone (a Role). */
  readonly scope: 'cluster' | 'ownNamespace'
  readonly why: string
}
