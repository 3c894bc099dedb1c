// Whether there were policies when that was last known, kept in the state directory: a node that boots while the store is away may let new
// pods through at once if there were none, and must wait if there were (decisions 10a and 16).
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../../lib/log.ts'

const FILE = 'policy.json'

export class PolicyMemory {
  readonly #path: string
  readonly #log: Log
  #hadPolicies: boolean | null

  constructor(stateDir: string, log: Log) {
    this.#path = join(stateDir, FILE)
    this.#log = log
    this.#hadPolicies = read(this.#path)
  }

  /** null: not known, which has to be taken for yes. */
  get hadPolicies(): boolean | null {
    return this.#hadPolicies
  }

  /** On the disk before it returns. That it cannot be written is logged, and nothing waits for it. */
  remember(hasPolicies: boolean): void {
    if (this.#hadPolicies === hasPolicies) return
    this.#hadPolicies = hasPolicies
    try {
      writeWhole(this.#path, `${JSON.stringify({ hasPolicies })}\n`)
    } catch (error) {
      this.#log.error('agent.policy.memoryFailed', { path: this.#path, err: error })
    }
  }
}

function read(path: string): boolean | null {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'))
    const known = typeof value === 'object' && value !== null && 'hasPolicies' in value ? value.hasPolicies : null
    return typeof known === 'boolean' ? known : null
  } catch {
    return null // none yet, or not readable: not known
  }
}

function writeWhole(path: string, text: string): void {
  const file = openSync(`${path}.new`, 'w', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(`${path}.new`, path)
}
