// What the agent must remember over its own end: which sessions were up, and in which boot. It lies in the run directory, so
// a reboot forgets it, and the boot id guards against a run directory that is not on tmpfs. A missing or damaged file means
// a cold start, never a failure.
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

const schema = z.object({ bootId: z.string(), established: z.array(z.string()) })
const FILE = 'restart-state.json'

export type RestartState = { readonly peersUpBefore: readonly string[] }

/** Of this boot of the host (random(4)): what a former one left behind can be told by it. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}

/** The state an agent of this boot left behind, or null: cold start, so forwarding state was not preserved (decision 11). */
export function readRestartState(runDir: string): RestartState | null {
  try {
    const parsed = schema.parse(JSON.parse(readFileSync(join(runDir, FILE), 'utf8')))
    return parsed.bootId === bootId() ? { peersUpBefore: parsed.established } : null
  } catch {
    return null
  }
}

/** Written whenever a session comes or goes for good; atomic, because a kill may fall between any two lines. */
export function writeRestartState(runDir: string, established: readonly string[]): void {
  const path = join(runDir, FILE)
  writeFileSync(`${path}.new`, JSON.stringify({ bootId: bootId(), established }), { mode: 0o600 })
  renameSync(`${path}.new`, path)
}
