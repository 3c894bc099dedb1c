// From the text of `--store` to a store.
import { DirectoryStore } from './directory/adapter.ts'
import { type Store, StoreError } from './port.ts'

/** Opens `dir:PATH`. Rejects with StoreError: INVALID if the text names no store there is, UNAVAILABLE if it cannot be reached. */
export async function openStore(text: string): Promise<Store> {
  if (text.startsWith('dir:') && text.length > 'dir:'.length) return DirectoryStore.open(text.slice('dir:'.length))
  throw new StoreError(
    'INVALID',
    `--store ${JSON.stringify(text)} is not a store this version has; write --store dir:PATH, the folder with the manifests`,
  )
}
