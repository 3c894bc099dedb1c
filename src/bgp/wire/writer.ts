// Two growing outputs: `ByteWriter` collects whole messages in 64 KiB chunks that go to sockets as they are, `OctetWriter`
// builds one message or attribute list of unknown length.

const CHUNK_OCTETS = 65_536

/** Appends messages; `take` hands the filled octets over without copying. A message never spans two chunks. */
export class ByteWriter {
  #chunk = new Uint8Array(0)
  /** Where the octets not yet taken begin, and where the next go. */
  #start = 0
  #at = 0
  #full: Uint8Array[] = []
  #taken = 0

  /** Octets written since the last `take`. */
  get length(): number {
    return this.#taken + this.#at - this.#start
  }

  /**
   * The chunk to write the next `octets` (at most 65536) into, beginning at `offset`; `commit` afterwards. Any write to it
   * after the commit corrupts what was sent.
   */
  reserve(octets: number): Uint8Array {
    if (octets > CHUNK_OCTETS) throw new RangeError(`a message of ${octets} octets does not fit a chunk`)
    if (this.#at + octets > this.#chunk.length) {
      this.#seal()
      this.#chunk = new Uint8Array(CHUNK_OCTETS)
      this.#start = 0
      this.#at = 0
    }
    return this.#chunk
  }

  /** Where in the reserved chunk the next octet goes. */
  get offset(): number {
    return this.#at
  }

  commit(octets: number): void {
    this.#at += octets
  }

  append(bytes: Uint8Array): void {
    if (bytes.length > CHUNK_OCTETS) throw new RangeError(`a message of ${bytes.length} octets does not fit a chunk`)
    this.reserve(bytes.length).set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** Everything written since the last call, in order; the views stay valid and are not written to again. */
  take(): Uint8Array[] {
    this.#seal()
    const taken = this.#full
    this.#full = []
    this.#taken = 0
    return taken
  }

  #seal(): void {
    if (this.#at === this.#start) return
    this.#full.push(this.#chunk.subarray(this.#start, this.#at))
    this.#taken += this.#at - this.#start
    this.#start = this.#at
  }
}

/** Room of writers that are done, for the next ones: octets outside the heap cost the collector more than they cost us. */
const spares: Uint8Array[] = []
const MAX_SPARES = 4
const NOTHING = new Uint8Array(0)

/** One growing run of octets, for messages that are rare enough to be copied. */
export class OctetWriter {
  #bytes: Uint8Array = spares.pop() ?? new Uint8Array(1024)
  #length = 0

  get length(): number {
    return this.#length
  }

  u8(value: number): this {
    this.#grow(1)
    this.#bytes[this.#length++] = value
    return this
  }

  u16(value: number): this {
    return this.u8(value >>> 8).u8(value)
  }

  u32(value: number): this {
    this.#grow(4)
    const at = this.#length
    this.#bytes[at] = value >>> 24
    this.#bytes[at + 1] = value >>> 16
    this.#bytes[at + 2] = value >>> 8
    this.#bytes[at + 3] = value
    this.#length = at + 4
    return this
  }

  bytes(value: Uint8Array): this {
    this.#grow(value.length)
    this.#bytes.set(value, this.#length)
    this.#length += value.length
    return this
  }

  /** Overwrites two octets written before. */
  patchU16(at: number, value: number): this {
    this.#bytes[at] = value >>> 8
    this.#bytes[at + 1] = value
    return this
  }

  /** A copy of what was written; the writer is empty afterwards. */
  finish(): Uint8Array {
    const written = this.#bytes.slice(0, this.#length)
    if (spares.length < MAX_SPARES) spares.push(this.#bytes)
    this.#bytes = NOTHING
    this.#length = 0
    return written
  }

  #grow(by: number): void {
    const need = this.#length + by
    if (need <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(need, this.#bytes.length * 2))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}
