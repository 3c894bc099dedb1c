// The Secrets that this node's peers name: each is followed by its own name, so that none of the others is ever asked for, and one that
// cannot be read is nobody else's problem.
import type { Clock } from '../../lib/clock.ts'
import type { Change, Store, StoreProblem } from '../../store/index.ts'
import type { WantedSecret } from '../derive/index.ts'

export type NamedSecretsDeps = {
  readonly store: Pick<Store, 'watch'>
  readonly clock: Clock
  /** What is known of one of them has changed. */
  readonly changed: (changes: readonly Change[]) => void
  /** One more is settled, or cannot be read, or can be again. */
  readonly settled: () => void
  /** It was listed and is not there: what was known of it before is no longer true. */
  readonly absent: (key: string) => void
}

/** A peer whose password is new waits no longer than this for it to be told; then it is a problem of that peer. */
const SETTLE_WITHIN_MS = 5_000

/** `isOfStore`: nothing can be read, not this Secret alone. */
export type SecretFault = { readonly message: string; readonly isOfStore: boolean }

type Followed = {
  watch: Disposable
  readonly deadline: Disposable
  isSettled: boolean
  isListed: boolean
  object: Extract<Change['object'], { kind: 'Secret' }> | null
  fault: SecretFault | null
}

export class NamedSecrets implements Disposable {
  readonly #deps: NamedSecretsDeps
  readonly #followed = new Map<string, Followed>()

  constructor(deps: NamedSecretsDeps) {
    this.#deps = deps
  }

  /** Why Secrets cannot be read, in words, by `namespace/name`. */
  get faults(): ReadonlyMap<string, SecretFault> {
    const faults = [...this.#followed].flatMap(([key, { fault }]) => (fault === null ? [] : [[key, fault] as const]))
    return new Map(faults)
  }

  /** The store has told whether it is there. */
  isListed(key: string): boolean {
    return this.#followed.get(key)?.isListed ?? false
  }

  /** From now on these. False: something of what there is to know of them may still come, within seconds; `settled` is called then. */
  want(secrets: readonly WantedSecret[]): boolean {
    const wanted = new Map(secrets.map(({ namespace, name }) => [`${namespace}/${name}`, { namespace, name }]))
    for (const [key, { watch, deadline, object }] of this.#followed) {
      if (wanted.has(key)) continue
      watch[Symbol.dispose]()
      deadline[Symbol.dispose]()
      this.#followed.delete(key)
      if (object !== null) this.#deps.changed([{ type: 'gone', object }])
    }
    for (const [key, secret] of wanted) if (!this.#followed.has(key)) this.#follow(key, secret)
    return [...this.#followed.values()].every(({ isSettled }) => isSettled)
  }

  [Symbol.dispose](): void {
    for (const { watch, deadline } of this.#followed.values()) {
      watch[Symbol.dispose]()
      deadline[Symbol.dispose]()
    }
    this.#followed.clear()
  }

  #follow(key: string, { namespace, name }: Pick<WantedSecret, 'namespace' | 'name'>): void {
    const { store, clock } = this.#deps
    const settle = (): void => {
      const followed = this.#followed.get(key)
      if (followed === undefined || followed.isSettled) return
      followed.deadline[Symbol.dispose]()
      followed.isSettled = true
      this.#deps.settled()
    }
    const followed: Followed = {
      watch: { [Symbol.dispose]: () => {} }, // until there is one
      deadline: clock.after(SETTLE_WITHIN_MS, settle),
      isSettled: false,
      isListed: false,
      object: null,
      fault: null,
    }
    this.#followed.set(key, followed)
    followed.watch = store.watch([{ kind: 'Secret', namespace, name }], {
      changed: (changes) => {
        for (const { type, object } of changes) if (object.kind === 'Secret') followed.object = type === 'put' ? object : null
        this.#deps.changed(changes)
      },
      synced: () => {
        followed.isListed = true
        if (followed.object === null) this.#deps.absent(key)
        settle()
      },
      problems: (problems) => {
        const fault = faultOf(problems)
        if (fault?.message === followed.fault?.message) return
        followed.fault = fault
        if (fault === null || followed.isSettled) this.#deps.settled()
        else settle()
      },
    })
  }
}

/** What of a store's problems keeps a Secret from being read. A store without a server tells every watch about all its objects. */
function faultOf(problems: readonly StoreProblem[]): SecretFault | null {
  const own = problems.find(({ subject }) => subject === 'Secret' || subject.startsWith('Secret/'))
  const found = own ?? problems.find(({ subject }) => subject === 'API server')
  return found === undefined ? null : { message: found.message, isOfStore: own === undefined }
}
