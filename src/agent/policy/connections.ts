// Which established connections a change of policy forbids (decision 15): those of the pods concerned are listed, each is judged as if its
// first packet came now, and only what is denied is cut. A connection that is permitted still goes on, translated as it was; one that was
// cut goes on if it is permitted again.
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { IpAddress } from '../../net/index.ts'
import type { Flow } from '../../policy/index.ts'
import type { Connection } from '../threads.ts'

export type ConnectionsDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly list: (addresses: readonly IpAddress[]) => Promise<readonly Connection[]>
  /** By `Connection.id`; how many of those to cut there still were. */
  readonly cut: (wanted: Wanted) => Promise<number>
  readonly isAllowed: (flow: Flow) => boolean
}

type Wanted = { readonly cut: readonly number[]; readonly restored: readonly number[] }

/** Judging goes on for so long before others get their turn. */
const SLICE_MS = 5

export class ConnectionCutter {
  readonly #deps: ConnectionsDeps
  #cutSoFar = 0

  constructor(deps: ConnectionsDeps) {
    this.#deps = deps
  }

  /** Connections cut since the start. */
  get figure(): number {
    return this.#cutSoFar
  }

  /** Never rejects: what could not be cut is logged, and ends by itself. */
  async review(addresses: readonly IpAddress[]): Promise<void> {
    const { log, list, cut } = this.#deps
    if (addresses.length === 0) return
    try {
      const connections = await list(addresses)
      const wanted = await this.#judge(connections)
      if (wanted.cut.length + wanted.restored.length === 0) return
      this.#cutSoFar += await cut(wanted)
      const counts = { judged: connections.length, cut: wanted.cut.length, restored: wanted.restored.length }
      log.info('agent.policy.connectionsCut', counts)
    } catch (error) {
      log.error('agent.policy.connectionsFailed', { err: error })
    }
  }

  async #judge(connections: readonly Connection[]): Promise<Wanted> {
    const { clock, isAllowed } = this.#deps
    const [cut, restored]: [number[], number[]] = [[], []]
    const verdicts = new Map<string, boolean>() // many connections differ in nothing but the source port
    let sliceMs = clock.nowMs()
    for (const { id, flow, isCut } of connections) {
      const key = `${flow.source} ${flow.destination} ${flow.protocol} ${flow.destinationPort} ${flow.icmpType} ${flow.isTranslated}`
      let allowed = verdicts.get(key)
      if (allowed === undefined) {
        allowed = isAllowed(flow)
        verdicts.set(key, allowed)
        if (clock.nowMs() - sliceMs > SLICE_MS) {
          await new Promise<void>((resolve) => clock.soon(resolve))
          sliceMs = clock.nowMs()
        }
      }
      if (allowed === isCut) (isCut ? restored : cut).push(id)
    }
    return { cut, restored }
  }
}
