// The two plugins under test, built from this tree: the static C shim and the TypeScript program. Each is an executable named `fibula`
// in a folder of its own, as a runtime looks for it.
import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { buildSync } from 'esbuild'
import { exec } from '../../../../src/lib/exec.ts'

const ROOT = resolve(import.meta.dirname, '../../../..')

export const PLUGINS = ['shim', 'typescript'] as const
export type PluginName = (typeof PLUGINS)[number]

export type Plugins = Disposable & { readonly folder: (name: PluginName) => string }

/** Builds both into a temporary folder. */
export async function buildPlugins(): Promise<Plugins> {
  const directory = mkdtempSync(join(tmpdir(), 'fibula-plugins-'))
  for (const name of PLUGINS) mkdirSync(join(directory, name))
  await exec(join(ROOT, 'scripts/build-shim.sh'), [join(directory, 'shim', 'fibula')])
  const bundle = join(directory, 'plugin.mjs')
  buildSync({
    entryPoints: [join(ROOT, 'src/cni/plugin.ts')],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node22',
  })
  const launcher = join(directory, 'typescript', 'fibula')
  writeFileSync(launcher, `#!/bin/sh\nexec "${join(ROOT, 'scripts/node')}" "${bundle}"\n`)
  chmodSync(launcher, 0o755)
  return {
    folder: (name) => join(directory, name),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true }),
  }
}

/** What a runtime gets of one execution. */
export type Execution = {
  readonly exitStatus: number | null
  readonly stdout: string
  readonly stderr: string
  /** Standard output as the one JSON document it must be; null: nothing printed. */
  readonly json: Printed | null
}

/** A result, or an error. */
export type Printed = {
  readonly cniVersion: string
  readonly supportedVersions?: readonly string[]
  readonly code?: number
  readonly msg?: string
  readonly details?: string
  readonly interfaces?: readonly { readonly name: string; readonly mac?: string; readonly mtu?: number; readonly sandbox?: string }[]
  readonly ips?: readonly { readonly version?: string; readonly address: string; readonly interface?: number; readonly gateway?: string }[]
  readonly routes?: readonly { readonly dst: string; readonly gw?: string }[]
  readonly dns?: unknown
}

export type Environment = Readonly<Record<string, string>>

/** Executes a plugin in a network namespace as a runtime does; with `signal` it can be killed. Rejects if standard output is neither empty nor one JSON document. */
export function execPlugin(
  netns: string,
  path: string,
  environment: Environment,
  stdin: string | Uint8Array | 'closed',
  options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
): Promise<Execution> {
  const { signal, timeoutMs = 60_000 } = options
  return new Promise((resolve, reject) => {
    // A directory as standard input is readable for nobody.
    const program = stdin === 'closed' ? ['sh', '-c', `exec "${path}" </`] : [path]
    const child = spawn('nsenter', [`--net=${netns}`, ...program], {
      env: { PATH: process.env['PATH'], ...environment },
      stdio: 'pipe',
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      ...(signal === undefined ? {} : { signal }),
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.stdin.on('error', () => {}) // it may end without reading all
    child.on('error', (error) => {
      if (error.name === 'AbortError') resolve({ exitStatus: null, stdout, stderr, json: null })
      else reject(error)
    })
    child.on('close', (exitStatus) => {
      try {
        resolve({ exitStatus, stdout, stderr, json: stdout === '' ? null : (JSON.parse(stdout) as Printed) })
      } catch {
        reject(new Error(`standard output is not one JSON document: ${stdout}\n${stderr}`))
      }
    })
    child.stdin.end(stdin === 'closed' ? '' : stdin)
  })
}
