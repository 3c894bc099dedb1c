// What became of the probes of one flow: which were answered, and how long nothing came through. Pure.
export type FlowSummary = {
  readonly sent: number
  readonly lost: number
  /** From sending the first probe that was lost to sending the first one that came through again; Infinity if none did. */
  readonly outagesMs: readonly number[]
  readonly longestOutageMs: number
  readonly medianRttMs: number | null
  readonly longestRttMs: number | null
  /** The last probes, those sent within the final `settledWithinMs` of the record, all came through. */
  readonly isSettled: boolean
}

const LOST = -1

export class FlowRecord {
  readonly #sentMs: number[] = []
  readonly #rttMs: number[] = []

  /** Notes that a probe leaves now; returns its sequence number. */
  sending(nowMs: number): number {
    this.#sentMs.push(nowMs)
    this.#rttMs.push(LOST)
    return this.#sentMs.length - 1
  }

  /** Notes an answer. A second answer to one probe, or one to a probe never sent, changes nothing. */
  answered(sequence: number, nowMs: number): void {
    const sent = this.#sentMs[sequence]
    if (sent !== undefined && this.#rttMs[sequence] === LOST) this.#rttMs[sequence] = nowMs - sent
  }

  get sent(): number {
    return this.#sentMs.length
  }

  /** Probes answered so far among those sent since `sinceMs`. */
  answeredSince(sinceMs: number): number {
    let count = 0
    for (let at = this.#sentMs.length - 1; at >= 0 && (this.#sentMs[at] ?? 0) >= sinceMs; at--) if (this.#rttMs[at] !== LOST) count++
    return count
  }

  /** True if at least one probe was sent from `fromMs` to before `untilMs`, and all of them have been answered. */
  isFlowing(fromMs: number, untilMs: number): boolean {
    let seen = false
    for (let at = this.#sentMs.length - 1; at >= 0 && (this.#sentMs[at] ?? 0) >= fromMs; at--) {
      if ((this.#sentMs[at] ?? 0) >= untilMs) continue
      if (this.#rttMs[at] === LOST) return false
      seen = true
    }
    return seen
  }

  /** The verdict, once the last answers have had time to come. Only probes sent from `fromMs` to before `untilMs` count. */
  summary(settledWithinMs: number, fromMs = Number.NEGATIVE_INFINITY, untilMs = Number.POSITIVE_INFINITY): FlowSummary {
    const first = this.#sentMs.findIndex((sent) => sent >= fromMs)
    const behind = this.#sentMs.findIndex((sent) => sent >= untilMs)
    const part = <T>(values: readonly T[]): readonly T[] => (first < 0 ? [] : values.slice(first, behind < 0 ? undefined : behind))
    const sentMs = part(this.#sentMs)
    const rttMs = part(this.#rttMs)
    const outagesMs: number[] = []
    let lostSince: number | null = null
    for (const [at, rtt] of rttMs.entries()) {
      const sent = sentMs[at] ?? 0
      if (rtt === LOST) lostSince ??= sent
      else if (lostSince !== null) {
        outagesMs.push(sent - lostSince)
        lostSince = null
      }
    }
    if (lostSince !== null) outagesMs.push(Number.POSITIVE_INFINITY)
    const rtts = rttMs.filter((rtt) => rtt !== LOST).sort((a, b) => a - b)
    const settledFrom = (sentMs.at(-1) ?? 0) - settledWithinMs
    return {
      sent: sentMs.length,
      lost: sentMs.length - rtts.length,
      outagesMs,
      longestOutageMs: Math.max(0, ...outagesMs),
      medianRttMs: rtts[rtts.length >> 1] ?? null,
      longestRttMs: rtts.at(-1) ?? null,
      isSettled: rttMs.every((rtt, at) => rtt !== LOST || (sentMs[at] ?? 0) < settledFrom),
    }
  }
}

/** The sum over flows: losses add up, outages do not. */
export function total(
  summaries: readonly FlowSummary[],
): Pick<FlowSummary, 'sent' | 'lost' | 'longestOutageMs' | 'isSettled'> & { readonly affectedFlows: number } {
  return {
    sent: summaries.reduce((sum, { sent }) => sum + sent, 0),
    lost: summaries.reduce((sum, { lost }) => sum + lost, 0),
    longestOutageMs: Math.max(0, ...summaries.map(({ longestOutageMs }) => longestOutageMs)),
    isSettled: summaries.every(({ isSettled }) => isSettled),
    affectedFlows: summaries.filter(({ lost }) => lost > 0).length,
  }
}
