// A process of its own for the tests of several processes on one folder: node child.ts PATH WHAT COUNT. Prints each write that
// the store has acknowledged.
import { writeSync } from 'node:fs'
import { DirectoryStore, type Store, StoreError } from '../../src/store/index.ts'

const BLOCK = { name: '10-0-0-0-26' }
const PEER = { name: 'shared' }

async function incrementBlock(store: Store): Promise<number> {
  const now = await store.get('IPAMBlock', BLOCK)
  if (now === null) throw new Error('the block is gone')
  const written = await store.update({ ...now, spec: { ...now.spec, sequence: now.spec.sequence + 1 } })
  return written.spec.sequence
}

async function incrementPeer(store: Store): Promise<number> {
  const now = await store.get('BGPPeer', PEER)
  if (now === null) throw new Error('the peer is gone')
  const written = await store.update({ ...now, spec: { ...now.spec, asNumber: (now.spec.asNumber ?? 0) + 1 } })
  return written.spec.asNumber ?? 0
}

const [path = '', what = '', count = '0'] = process.argv.slice(2)
const increment = what === 'block' ? incrementBlock : incrementPeer
await using store = new DirectoryStore(path)
for (let done = 0; done < Number(count); ) {
  try {
    writeSync(1, `${await increment(store)}\n`)
    done++
  } catch (cause) {
    if (!(cause instanceof StoreError) || cause.code !== 'CONFLICT') throw cause
  }
}
