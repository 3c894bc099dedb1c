// Malformed UPDATEs of one peer: all counted, some logged (RFC 7606 §6 wants them noted, a flood must not fill the disk).
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { formatPrefix } from '../net/index.ts'
import { decodePrefixes, type UpdateMessage } from './wire/index.ts'

const WINDOW_MS = 60_000
const LINES_PER_WINDOW = 10
const SHOWN_PREFIXES = 5

export class MalformedLog {
  readonly #clock: Clock
  readonly #log: Log
  #count = 0
  #windowEndsMs = Number.NEGATIVE_INFINITY
  #lines = 0
  #suppressed = 0

  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
  }

  /** UPDATEs with something wrong, over the life of the peer. */
  get count(): number {
    return this.#count
  }

  add(update: UpdateMessage): void {
    this.#count++
    const nowMs = this.#clock.nowMs()
    if (nowMs >= this.#windowEndsMs) {
      this.#windowEndsMs = nowMs + WINDOW_MS
      this.#lines = 0
    }
    if (this.#lines >= LINES_PER_WINDOW) {
      this.#suppressed++
      return
    }
    this.#lines++
    this.#log.warn('bgp.update.malformed', {
      malformations: update.malformations,
      prefixes: shownPrefixes(update),
      ...(this.#suppressed > 0 ? { suppressed: this.#suppressed } : {}),
    })
    this.#suppressed = 0
  }
}

function shownPrefixes({ withdrawn, announced }: UpdateMessage): readonly string[] {
  const runs = [...withdrawn, ...announced.map(({ run }) => run)]
  const shown: string[] = []
  for (const run of runs) {
    for (const { prefix } of decodePrefixes(run)) {
      if (shown.length === SHOWN_PREFIXES) return [...shown, '…']
      shown.push(formatPrefix(prefix))
    }
  }
  return shown
}
