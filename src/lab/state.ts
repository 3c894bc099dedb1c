// What the lab writes down in its folder: what is up (before it is built), and what runs (by the supervisor). Files are replaced
// whole, so a reader never sees half of one.
import { mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { z } from 'zod'
import { codeOf, LabError } from './error.ts'
import type { LabPaths } from './paths.ts'
import { ROUTER_KINDS } from './plan.ts'

const identity = z.object({ pid: z.int().positive(), startTime: z.string() })

const labState = z.object({
  routerKind: z.enum(ROUTER_KINDS as ['fibula', ...typeof ROUTER_KINDS]),
  netnsPrefix: z.string(),
  /** Every namespace there may be. */
  namespaces: z.array(z.string()),
  /** The command that is building or demonstrating right now; null: nobody, the lab is simply up. */
  owner: identity.extend({ command: z.string() }).nullable(),
  processes: z.array(
    z.object({
      name: z.string(),
      speaker: z.string(),
      netns: z.string(),
      argv: z.tuple([z.string()], z.string()),
      env: z.record(z.string(), z.string()),
      log: z.string(),
      waitFor: z.string().nullable(),
    }),
  ),
})

const running = z.object({
  name: z.string(),
  speaker: z.string(),
  /** null: not running now; the supervisor is about to start it. */
  process: identity.nullable(),
  since: z.string(),
  restarts: z.int(),
  lastExit: z.string().nullable(),
})

const processTable = z.object({ supervisor: identity, processes: z.array(running) })

export type LabState = z.output<typeof labState>
export type RunningProcess = z.output<typeof running>
export type ProcessTable = z.output<typeof processTable>

/** What is up in this folder; null: nothing. Throws LabError when the folder holds something else. */
export function readState(paths: LabPaths): LabState | null {
  return readChecked(paths.state, labState)
}

export function writeState(paths: LabPaths, state: LabState): void {
  writeWhole(paths.state, `${JSON.stringify(state, null, 2)}\n`)
}

export function readProcesses(paths: LabPaths): ProcessTable | null {
  return readChecked(paths.processes, processTable)
}

export function writeProcesses(paths: LabPaths, table: ProcessTable): void {
  writeWhole(paths.processes, `${JSON.stringify(table, null, 2)}\n`)
}

/** Writes a file in one step: under another name, then renamed. */
export function writeWhole(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
  const draft = `${path}.new`
  writeFileSync(draft, text, { mode: 0o644 })
  renameSync(draft, path)
}

/** Removes what the lab puts into its folder, and the folder if nothing else is in it. */
export function removeFolder(paths: LabPaths): void {
  for (const part of [paths.storeRoot, paths.runRoot, paths.logRoot, paths.configRoot, paths.podRoot])
    rmSync(part, { recursive: true, force: true })
  for (const file of [paths.topology, paths.processes, paths.hosts, paths.state]) rmSync(file, { force: true })
  try {
    rmdirSync(paths.dir)
  } catch {
    // gone already, or not ours alone: then it stays
  }
}

function readChecked<T>(path: string, schema: z.ZodType<T>): T | null {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT' || codeOf(cause) === 'ENOTDIR') return null
    throw new LabError('FAILED', `cannot read ${path}: run this as root`, { cause })
  }
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new LabError('FAILED', `${path} is not what this version writes: remove it, then \`fibula lab up\` cleans up the rest`, { cause })
  }
}
