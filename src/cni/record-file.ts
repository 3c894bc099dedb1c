// Records in one file, each in a page of its own: what a record costs is one write into the page cache, a hundredth of what making and
// renaming a file costs. The kernel ends the write of a page even if we are killed in it (it looks for signals between pages only), so a
// kill at any line leaves the old record or the new. Nothing is synced to the disk.
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs'

const PAGE_BYTES = 4096
const OPEN_OR_MAKE = constants.O_RDWR | constants.O_CREAT
/** Longest record, in octets. */
const MAX_RECORD_BYTES = PAGE_BYTES

export class RecordFile implements Disposable {
  readonly #path: string
  #fd: number
  /** Pages that hold nothing, and how many there are in all. */
  readonly #free: number[] = []
  #pages = 0

  /** Opens (makes) the file. Throws what `fs` throws. */
  constructor(path: string) {
    this.#path = path
    this.#fd = openSync(path, OPEN_OR_MAKE, 0o600)
  }

  /** Every page that holds something, by number. For the start, before anything is written. */
  read(): readonly { readonly page: number; readonly text: string }[] {
    const records: { readonly page: number; readonly text: string }[] = []
    const octets = Buffer.alloc(PAGE_BYTES)
    for (let page = 0; ; page++) {
      const length = readSync(this.#fd, octets, 0, PAGE_BYTES, page * PAGE_BYTES)
      if (length === 0) break
      this.#pages = page + 1
      const text = octets.toString('utf8', 0, length).replace(/[\0\n]+$/, '')
      if (text === '') this.#free.push(page)
      else records.push({ page, text })
    }
    return records
  }

  /** A page for a new record. */
  allocate(): number {
    return this.#free.pop() ?? this.#pages++
  }

  /** An allocated page that was not written after all. */
  giveBack(page: number): void {
    this.#free.push(page)
  }

  /** Puts the record into the page, in the place of what was there. Throws RangeError if it is too long, else what `fs` throws. */
  write(page: number, text: string): void {
    const octets = Buffer.from(text)
    if (octets.length > MAX_RECORD_BYTES) throw new RangeError(`a record of ${octets.length} octets; the most is ${MAX_RECORD_BYTES}`)
    this.#put(page, Buffer.concat([octets, Buffer.alloc(PAGE_BYTES - octets.length, '\n')]))
  }

  /** Empties the page; it may be allocated again. Throws what `fs` throws. */
  erase(page: number): void {
    this.#put(page, Buffer.alloc(PAGE_BYTES))
    this.#free.push(page)
  }

  /** True if the file was removed behind our back: what is written goes nowhere. */
  isLost(): boolean {
    return fstatSync(this.#fd).nlink === 0
  }

  /** Makes the file anew, empty. Throws what `fs` throws. */
  remake(): void {
    const fd = openSync(this.#path, OPEN_OR_MAKE, 0o600)
    closeSync(this.#fd)
    this.#fd = fd
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }

  #put(page: number, octets: Buffer): void {
    const written = writeSync(this.#fd, octets, 0, PAGE_BYTES, page * PAGE_BYTES)
    if (written !== PAGE_BYTES) throw Object.assign(new Error(`only ${written} of ${PAGE_BYTES} octets were written`), { code: 'ENOSPC' })
  }
}
