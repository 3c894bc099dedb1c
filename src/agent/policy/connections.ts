// Which established connections a change of policy forbids (decision 15): those of the pods concerned are listed, each is judged as if its
// first packet came now, and only what is denied is cut. A connection that is permitted still goes on, translated as it was.
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { IpAddress } from '../../net/index.ts'
import type { Flow } from '../../policy/index.ts'
import type { Connection } from '../threads.ts'

export type ConnectionsDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly list: (addresses: readonly IpAddress[]) => Promise<readonly Connection[]>
  /** By `Connection.id`; how many there still were. */
  readonly cut: (ids: readonly number[]) => Promise<number>
  readonly isAllowed: (flow: Flow) => boolean
}

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
      const denied = await this.#denied(connections)
      if (denied.length === 0) return
      this.#cutSoFar += await cut(denied)
      log.info('agent.policy.connectionsCut', { judged: connections.length, cut: denied.length })
    } catch (error) {
      log.error('agent.policy.connectionsFailed', { err: error })
    }
  }

  async #denied(connections: readonly Connection[]): Promise<readonly number[]> {
    const { clock, isAllowed } = this.#deps
    const denied: number[] = []
    const verdicts = new Map<string, boolean>() // many connections differ in nothing but the source port
    let sliceMs = clock.nowMs()
    for (const { id, flow } of connections) {
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
      if (!allowed) denied.push(id)
    }
    return denied
  }
}
