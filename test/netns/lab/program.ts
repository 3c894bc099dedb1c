// The program as a person runs it, in a lab folder of its own.
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const PROGRAM: readonly [string, string, string] = [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  join(import.meta.dirname, '..', '..', '..', 'src', 'cli', 'main.ts'),
]

export type Outcome = { readonly status: number | null; readonly stdout: string; readonly stderr: string }

/** A lab folder; disposing takes the lab in it down. */
export class LabFolder implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'fibula-lab-'))

  constructor() {
    chmodSync(this.dir, 0o755) // FRR runs as a user of its own
  }

  fibula(args: readonly string[], options: { readonly uid?: number } = {}): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const [node, ...rest] = PROGRAM
      const child = spawn(node, [...rest, ...args], { env: { ...process.env, FIBULA_LAB_DIR: this.dir }, ...options })
      let stdout = ''
      let stderr = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        stdout += text
      })
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text
      })
      child.on('error', reject)
      child.on('close', (status) => resolve({ status, stdout, stderr }))
    })
  }

  /** Brings the lab up. Throws with all it said if it does not. */
  async up(): Promise<void> {
    const { status, stdout, stderr } = await this.fibula(['lab', 'up'])
    if (status !== 0) throw new Error(`fibula lab up ended with ${status}\n${stdout}\n${stderr}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fibula(['lab', 'down'])
    rmSync(this.dir, { recursive: true, force: true })
  }
}
