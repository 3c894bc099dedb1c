// A tool's side of the channel to the bench that started it.
import type { Command, ToolEvent } from './tool-protocol.ts'

export class Parent {
  readonly #waiting = new Map<Command['kind'], (command: Command) => void>()
  readonly #pending: Command[] = []

  constructor() {
    process.on('message', (message) => this.#received(message as Command)) // the parent is this program: tool-process.ts
    process.on('disconnect', () => process.exit(1)) // nobody left to work for
  }

  send(event: ToolEvent): void {
    process.send?.(event)
  }

  /** The run is spoilt; the bench ends it. */
  readonly fail = (reason: string): void => this.send({ kind: 'failed', reason })

  /** The next command of this kind. */
  async next<K extends Command['kind']>(kind: K): Promise<Extract<Command, { readonly kind: K }>> {
    const at = this.#pending.findIndex((command) => command.kind === kind)
    const pending = at < 0 ? undefined : this.#pending.splice(at, 1)[0]
    const command = pending ?? (await new Promise<Command>((resolve) => this.#waiting.set(kind, resolve)))
    return command as Extract<Command, { readonly kind: K }> // both branches select by kind
  }

  #received(command: Command): void {
    const waiter = this.#waiting.get(command.kind)
    if (waiter === undefined) this.#pending.push(command)
    else {
      this.#waiting.delete(command.kind)
      waiter(command)
    }
  }
}

/** CPU seconds of this process so far. */
export function ownCpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
