// Child processes with a deadline, captured output and a typed failure.
import { spawn } from 'node:child_process'

export type ExecOptions = { readonly input?: string; readonly timeoutMs?: number; readonly env?: NodeJS.ProcessEnv; readonly cwd?: string }
export type ExecOutput = { readonly stdout: string; readonly stderr: string }

export class ExecError extends Error {
  readonly code: 'NOT_FOUND' | 'TIMEOUT' | 'FAILED'
  readonly exitCode: number | null
  readonly stderr: string
  readonly stdout: string
  constructor(code: ExecError['code'], message: string, exitCode: number | null, stderr: string, stdout = '') {
    super(message)
    this.name = 'ExecError'
    this.code = code
    this.exitCode = exitCode
    this.stderr = stderr
    this.stdout = stdout
  }
}

const MAX_OUTPUT_BYTES = 64 * 1024 * 1024

/** Runs a program to its end. Rejects with `ExecError` if it cannot start, exits non-zero or outlives `timeoutMs` (default 60 s). */
export function exec(command: string, args: readonly string[], options: ExecOptions = {}): Promise<ExecOutput> {
  const { input, timeoutMs = 60_000, env, cwd } = options
  const shown = [command, ...args].join(' ').slice(0, 300)
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...(env ? { env } : {}), ...(cwd ? { cwd } : {}) })
    let stdout = ''
    let stderr = ''
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      child.kill('SIGKILL')
    }, timeoutMs)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (stdout.length < MAX_OUTPUT_BYTES) stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (stderr.length < MAX_OUTPUT_BYTES) stderr += text
    })
    child.stdin.on('error', () => {}) // the program may end without reading its input; its exit status tells
    child.on('error', (cause: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      reject(new ExecError(cause.code === 'ENOENT' ? 'NOT_FOUND' : 'FAILED', `${shown}: ${cause.message}`, null, ''))
    })
    child.on('close', (exitCode) => {
      clearTimeout(timer)
      if (timedOut) reject(new ExecError('TIMEOUT', `${shown}: no end after ${timeoutMs} ms`, exitCode, stderr))
      else if (exitCode === 0) resolve({ stdout, stderr })
      else reject(new ExecError('FAILED', `${shown}: exit ${exitCode}: ${stderr.trim().slice(0, 2000)}`, exitCode, stderr, stdout))
    })
    child.stdin.end(input ?? '')
  })
}
