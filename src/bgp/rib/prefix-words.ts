// Prefixes as four words, the form in which hot paths compare them. Words are signed 32-bit patterns; IPv4 uses the first.
import { ipToBytes, type Prefix, prefixFamily } from '../../net/index.ts'

export type PrefixWords = { readonly w0: number; readonly w1: number; readonly w2: number; readonly w3: number; readonly length: number }

export function wordsOf(value: Prefix): PrefixWords {
  const octets = ipToBytes(value.address)
  const word = (at: number): number =>
    ((octets[at] ?? 0) << 24) | ((octets[at + 1] ?? 0) << 16) | ((octets[at + 2] ?? 0) << 8) | (octets[at + 3] ?? 0)
  return { w0: word(0), w1: word(4), w2: word(8), w3: word(12), length: value.length }
}

/** The first `bits` (any number) of a word set. */
export function maskWord(bits: number): number {
  return bits <= 0 ? 0 : bits >= 32 ? -1 : -1 << (32 - bits)
}

/** Is a prefix inside one of a list? The list is reduced to prefixes that do not overlap, and searched by halves. */
export class PrefixSet {
  readonly #sorted: readonly PrefixWords[]

  /** Only the prefixes of `family` count. */
  constructor(prefixes: readonly Prefix[], family: 4 | 6) {
    const words = prefixes
      .filter((value) => prefixFamily(value) === family)
      .map(wordsOf)
      .sort((a, b) => compareWords(a, b.w0, b.w1, b.w2, b.w3) || a.length - b.length)
    const kept: PrefixWords[] = []
    for (const value of words) {
      const last = kept.at(-1)
      if (last === undefined || !coversWords(last, value.w0, value.w1, value.w2, value.w3, value.length)) kept.push(value)
    }
    this.#sorted = kept
  }

  get isEmpty(): boolean {
    return this.#sorted.length === 0
  }

  /** True if the prefix equals a member or is more specific than one. */
  covers(w0: number, w1: number, w2: number, w3: number, length: number): boolean {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const at = this.#sorted[middle]
      if (at !== undefined && compareWords(at, w0, w1, w2, w3) <= 0) low = middle + 1
      else high = middle
    }
    const candidate = this.#sorted[low - 1]
    return candidate !== undefined && coversWords(candidate, w0, w1, w2, w3, length)
  }

  /** True if some member (taken as an address) lies inside the prefix. */
  hasWithin(w0: number, w1: number, w2: number, w3: number, length: number): boolean {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const at = this.#sorted[middle]
      if (at !== undefined && compareWords(at, w0, w1, w2, w3) < 0) low = middle + 1
      else high = middle
    }
    const candidate = this.#sorted[low]
    return (
      candidate !== undefined &&
      coversWords({ w0, w1, w2, w3, length }, candidate.w0, candidate.w1, candidate.w2, candidate.w3, candidate.length)
    )
  }
}

/** True if the prefix equals `outer` or is more specific. */
export function coversWords(outer: PrefixWords, w0: number, w1: number, w2: number, w3: number, length: number): boolean {
  const bits = outer.length
  return (
    length >= bits &&
    ((w0 ^ outer.w0) & maskWord(bits)) === 0 &&
    (bits <= 32 || ((w1 ^ outer.w1) & maskWord(bits - 32)) === 0) &&
    (bits <= 64 || ((w2 ^ outer.w2) & maskWord(bits - 64)) === 0) &&
    (bits <= 96 || ((w3 ^ outer.w3) & maskWord(bits - 96)) === 0)
  )
}

function compareWords(a: PrefixWords, w0: number, w1: number, w2: number, w3: number): number {
  return (a.w0 >>> 0) - (w0 >>> 0) || (a.w1 >>> 0) - (w1 >>> 0) || (a.w2 >>> 0) - (w2 >>> 0) || (a.w3 >>> 0) - (w3 >>> 0)
}
