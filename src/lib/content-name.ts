// Names made of content: the same content has the same name everywhere and for ever, and other content has another. SHA-256 (FIPS
// 180-4) without `node:crypto`, so that pure code may use it.

/** The first 32 bits of the fractional parts of cube roots (K) and square roots (H) of primes: FIPS 180-4 §4.2.2, §5.3.3. */
const [K, H] = constants()
const BLOCK = 64
/** Where the length stands in the last block. */
const LENGTH_AT = 56
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const NAME_LENGTH = 22
const encoder = new TextEncoder()

/** 22 letters, digits, `-` and `_`: 132 bits of the SHA-256 of the text in UTF-8, as base64url (RFC 4648 §5). */
export function contentName(text: string): string {
  const words = sha256(encoder.encode(text))
  let name = ''
  let bits = 0
  let held = 0
  for (let at = 0; name.length < NAME_LENGTH; ) {
    if (held < 6) {
      bits = ((bits << 8) | (((words[at >> 2] ?? 0) >>> (24 - (at & 3) * 8)) & 255)) & 0xffff
      held += 8
      at++
    }
    held -= 6
    name += ALPHABET[(bits >>> held) & 63]
  }
  return name
}

/** The digest as eight words. */
export function sha256(bytes: Uint8Array): Uint32Array {
  const padded = new Uint8Array((Math.floor((bytes.length + 8) / BLOCK) + 1) * BLOCK)
  padded.set(bytes)
  padded[bytes.length] = 0x80
  const view = new DataView(padded.buffer)
  view.setUint32(padded.length - BLOCK + LENGTH_AT, Math.floor(bytes.length / 0x2000_0000))
  view.setUint32(padded.length - BLOCK + LENGTH_AT + 4, (bytes.length << 3) >>> 0)
  const hash = H.slice()
  const schedule = new Uint32Array(64)
  for (let offset = 0; offset < padded.length; offset += BLOCK) compress(hash, schedule, view, offset)
  return hash
}

/** One block: FIPS 180-4 §6.2.2. */
function compress(hash: Uint32Array, w: Uint32Array, view: DataView, offset: number): void {
  for (let t = 0; t < 16; t++) w[t] = view.getUint32(offset + t * 4)
  for (let t = 16; t < 64; t++) {
    const [early, late] = [w[t - 15] ?? 0, w[t - 2] ?? 0]
    const s0 = rotate(early, 7) ^ rotate(early, 18) ^ (early >>> 3)
    const s1 = rotate(late, 17) ^ rotate(late, 19) ^ (late >>> 10)
    w[t] = ((w[t - 16] ?? 0) + s0 + (w[t - 7] ?? 0) + s1) >>> 0
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = hash
  for (let t = 0; t < 64; t++) {
    const t1 = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + (K[t] ?? 0) + (w[t] ?? 0)
    const t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))
    ;[h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) >>> 0, c, b, a, (t1 + t2) >>> 0]
  }
  for (const [at, word] of [a, b, c, d, e, f, g, h].entries()) hash[at] = ((hash[at] ?? 0) + word) >>> 0
}

function rotate(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits))
}

function constants(): readonly [Uint32Array, Uint32Array] {
  const primes: number[] = []
  for (let candidate = 2; primes.length < 64; candidate++) if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate)
  const fraction = (root: number): number => Math.floor((root % 1) * 2 ** 32)
  return [
    Uint32Array.from(primes, (prime) => fraction(Math.cbrt(prime))),
    Uint32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime))),
  ]
}
