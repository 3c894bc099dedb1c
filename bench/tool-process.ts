// A bench tool as its parent sees it: a child process in a network namespace, events in, commands out, all with a deadline.
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Command, ToolEvent, ToolReport, ToolSettings } from './tool-protocol.ts'

type Kind = ToolEvent['kind']
type EventOf<K extends Kind> = Extract<ToolEvent, { readonly kind: K }>

const ENTRY = fileURLToPath(new URL('./tool.ts', import.meta.url))

export class ToolProcess implements AsyncDisposable {
  readonly #name: string
  readonly #child: ChildProcess
  readonly #events: ToolEvent[] = []
  #failure: string | null = null
  #wake: () => void = () => {}

  constructor(namespace: string, settings: ToolSettings) {
    this.#name = settings.role
    this.#child = spawn('ip', ['netns', 'exec', namespace, process.execPath, ENTRY, JSON.stringify(settings)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child.on('message', (message) => this.#happened(message as ToolEvent)) // the child is this program: tool-parent.ts
    this.#child.on('error', (error) => this.#happened({ kind: 'failed', reason: error.message }))
    this.#child.on('exit', (code) => this.#happened({ kind: 'failed', reason: `ended with exit status ${code}` }))
  }

  command(command: Command): void {
    this.#child.send(command)
  }

  /** The next event of this kind. Rejects when the tool fails or `timeoutMs` have passed. */
  async next<K extends Kind>(kind: K, timeoutMs: number): Promise<EventOf<K>> {
    const deadlineMs = performance.now() + timeoutMs
    for (;;) {
      const at = this.#events.findIndex((event) => event.kind === kind)
      if (at >= 0) return this.#events.splice(at, 1)[0] as EventOf<K> // selected by kind
      if (this.#failure !== null) throw new Error(`bench ${this.#name}: ${this.#failure}`)
      const leftMs = deadlineMs - performance.now()
      if (leftMs <= 0) throw new Error(`bench ${this.#name}: no '${kind}' within ${Math.round(timeoutMs / 1000)} s`)
      await this.#happening(leftMs)
    }
  }

  async report(): Promise<ToolReport> {
    this.command({ kind: 'report' })
    return this.next('reported', 30_000)
  }

  #happened(event: ToolEvent): void {
    if (event.kind === 'failed') this.#failure ??= event.reason
    else this.#events.push(event)
    this.#wake()
  }

  #happening(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.removeAllListeners('exit')
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    await new Promise<void>((resolve) => {
      this.#child.once('exit', () => resolve())
      this.#child.kill('SIGKILL')
    })
  }
}
