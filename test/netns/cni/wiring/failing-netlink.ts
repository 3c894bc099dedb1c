// An rtnetlink socket whose requests can be refused before they reach the kernel, to see what is left of what went before.
import { NetlinkError } from '../../../../src/sys/netlink-socket.ts'
import { type NetlinkRequest, Rtnetlink } from '../../../../src/sys/rtnetlink/index.ts'

const EIO = 5

/** Counts requests over all sockets it makes, and refuses one. */
export class Saboteur {
  /** Names of all requests since the last `arm`, refused ones too. */
  readonly seen: string[] = []
  #refuseAt = -1

  /** Refuses the request with this number from now on; null: none. */
  arm(at: number | null): void {
    this.#refuseAt = at ?? -1
    this.seen.length = 0
  }

  open = (): Rtnetlink => new FailingRtnetlink((name) => this.#admits(name))

  #admits(name: string): boolean {
    this.seen.push(name)
    return this.seen.length - 1 !== this.#refuseAt
  }
}

class FailingRtnetlink extends Rtnetlink {
  readonly #admits: (name: string) => boolean

  constructor(admits: (name: string) => boolean) {
    super()
    this.#admits = admits
  }

  override batch(messages: readonly NetlinkRequest[]): readonly (NetlinkError | null)[] {
    return messages.map((message) => (this.#admits(message.name) ? (super.batch([message])[0] ?? null) : refusal(message)))
  }

  override ask(message: NetlinkRequest, visit: Parameters<Rtnetlink['ask']>[1]): 'consistent' | 'interrupted' {
    if (!this.#admits(message.name)) throw refusal(message)
    return super.ask(message, visit)
  }
}

function refusal({ name }: NetlinkRequest): NetlinkError {
  return new NetlinkError(name, { errno: EIO, text: 'sabotage' })
}
