// What the parts of the store's contract share.
import { type Store, StoreError, type StoreErrorCode } from '../../src/store/index.ts'

/** Two clients of the same objects. */
export type Clients = { readonly store: Store; readonly other: Store }

/** How an operation ended. */
export async function codeOf(work: Promise<unknown>): Promise<StoreErrorCode | 'succeeded'> {
  try {
    await work
    return 'succeeded'
  } catch (cause) {
    if (cause instanceof StoreError) return cause.code
    throw cause
  }
}

export function versionOf(object: { readonly metadata: { readonly resourceVersion?: string } } | null): string {
  return object?.metadata.resourceVersion ?? 'none'
}
