import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DirectoryStore } from '../../src/store/index.ts'
import { storeContract } from './contract.ts'

storeContract('directory', async () => {
  const path = mkdtempSync(join(tmpdir(), 'fib-store-'))
  return {
    open: () => new DirectoryStore(path),
    [Symbol.asyncDispose]: async () => rmSync(path, { recursive: true, force: true }),
  }
})
