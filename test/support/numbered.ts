// Numbered datagrams at a steady rate, and what of them did not arrive: what prober and flows have in common, at both ends.

/** What a sender has sent since it was told to count. */
export type Sent = {
  /** Numbers from `first` up to and without `next`. */
  readonly first: number
  readonly next: number
  /** Wall-clock milliseconds when each of them was sent. */
  readonly sentAtMs: readonly number[]
  /** The longest time in which nothing was sent: a loss that short could hide in it. */
  readonly longestPauseMs: number
}

/** A run of consecutive numbers that did not arrive, and when (wall-clock milliseconds) the first of them was sent. */
export type Gap = { readonly lost: number; readonly atMs: number }

export type Comparison = {
  readonly sent: number
  readonly received: number
  readonly lost: number
  readonly duplicated: number
  readonly gaps: readonly Gap[]
}

const DATAGRAM_BYTES = 64

export function datagramOf(number: number): Buffer {
  const datagram = Buffer.alloc(DATAGRAM_BYTES)
  datagram.writeUInt32BE(number)
  return datagram
}

export function numberOf(datagram: Buffer): number {
  return datagram.readUInt32BE(0)
}

/** Counts up from 0 at a steady rate; when the event loop was late it makes up for the missed numbers. */
export class SteadySender {
  readonly #sentAtMs: number[] = []
  #next = 0
  #first = 0
  #longestPauseMs = 0
  #timer: NodeJS.Timeout | undefined

  /** Calls `send` with number after number until `end`. */
  start(everyMs: number, send: (number: number) => void): void {
    const startedMs = performance.now()
    let lastMs = startedMs
    this.#timer = setInterval(() => {
      const nowMs = performance.now()
      this.#longestPauseMs = Math.max(this.#longestPauseMs, nowMs - lastMs)
      lastMs = nowMs
      for (const due = Math.floor((nowMs - startedMs) / everyMs); this.#next < due; ) {
        this.#sentAtMs.push(Date.now())
        send(this.#next++)
      }
    }, everyMs)
  }

  get isSending(): boolean {
    return this.#timer !== undefined
  }

  /** Counts from the next number on. */
  begin(): void {
    this.#first = this.#next
    this.#longestPauseMs = 0
  }

  end(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  sent(): Sent {
    const [first, next] = [this.#first, this.#next]
    return { first, next, sentAtMs: this.#sentAtMs.slice(first), longestPauseMs: Math.round(this.#longestPauseMs) }
  }
}

/** Compares the numbers one end sent with those the other received, in whatever order; numbers of before the count do not matter. */
export function compare({ first, next, sentAtMs }: Omit<Sent, 'longestPauseMs'>, received: readonly number[]): Comparison {
  const arrived = new Set<number>()
  let duplicated = 0
  for (const number of received) {
    if (number < first || number >= next) continue
    if (arrived.has(number)) duplicated++
    arrived.add(number)
  }
  const gaps: { lost: number; atMs: number }[] = []
  let previousLost = false
  for (let number = first; number < next; number++) {
    const lost = !arrived.has(number)
    const last = gaps.at(-1)
    if (lost && previousLost && last !== undefined) last.lost++
    else if (lost) gaps.push({ lost: 1, atMs: sentAtMs[number - first] ?? 0 })
    previousLost = lost
  }
  return { sent: next - first, received: arrived.size, lost: next - first - arrived.size, duplicated, gaps }
}
