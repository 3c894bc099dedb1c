// The command line in one file, built once a test file: it starts in less than half the time of its sources, and tests start it often.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const ROOT = join(import.meta.dirname, '..', '..')
const CACHE = join(ROOT, '.cache') // two levels below the root, as src/cli and dist/cli are, so that package.json is found

export type Outcome = { readonly status: number | null; readonly stdout: string; readonly stderr: string }

export class CliProgram implements Disposable {
  readonly #folder: string
  readonly #file: string

  private constructor(folder: string, file: string) {
    this.#folder = folder
    this.#file = file
  }

  static async build(): Promise<CliProgram> {
    mkdirSync(CACHE, { recursive: true })
    const folder = mkdtempSync(join(CACHE, 'cli-'))
    const outfile = join(folder, 'main.mjs')
    await build({
      entryPoints: [join(ROOT, 'src', 'cli', 'main.ts')],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      external: ['koffi', 'netlink', 'dtrace-provider', 'mv', 'safe-json-stringify'],
      banner: { js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);" }, // for packages that are CommonJS
      logLevel: 'error',
    })
    return new CliProgram(folder, outfile)
  }

  /** Runs it to its end, in an environment of its own. */
  run(
    args: readonly string[],
    { env = {}, input = '' }: { readonly env?: NodeJS.ProcessEnv; readonly input?: string } = {},
  ): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [this.#file, ...args], { env })
      let [stdout, stderr] = ['', '']
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        stdout += text
      })
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text
      })
      child.on('error', reject)
      child.on('close', (status) => resolve({ status, stdout, stderr }))
      child.stdin.on('error', () => {}) // a command that reads nothing may be gone already
      child.stdin.end(input)
    })
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
