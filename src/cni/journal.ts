// What the agent remembers of pods over its own end: one file per attachment in a directory, which appears by rename and changes by a
// single write of a whole page, so that a kill at any line leaves the old record or the new. Nothing is synced to the disk: only a power cut could lose a record then, and
// no container survives that; its addresses are found again by handle.
import { closeSync, fstatSync, openSync, renameSync, rmSync, unlinkSync, writeFileSync, writeSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type Log, quoteText } from '../lib/log.ts'
import { formatAttachment, parseAttachment } from './journal-record.ts'
import { journalFileOf, keyText } from './names.ts'
import type { Attachment, AttachmentKey } from './ports.ts'

const RECORD = /^[0-9a-f]{32}\.json$/
const LEFTOVER = /^[0-9a-f]{32}\.json\.\d+\.new$/
const MAX_RECORD_BYTES = 64 * 1024
const PAGE_BYTES = 4096

/** The state directory cannot be read or written; `message` names path, cause and remedy. */
export class JournalError extends Error {
  readonly code = 'JOURNAL_UNAVAILABLE'
  constructor(message: string, cause: unknown) {
    super(message, { cause })
    this.name = 'JournalError'
  }
}

/** Records of attachments. One caller at a time for one key; any number for different keys. */
export interface Journal {
  /** All that is recorded now, in no particular order. */
  all(): readonly Attachment[]
  get(key: AttachmentKey): Attachment | undefined
  /** The record of the attachment whose host end has this name. */
  byHostInterface(name: string): Attachment | undefined
  /** Resolves when the record is in the directory; `all` and `get` know it from then on. Rejects with `JournalError`. */
  put(attachment: Attachment): Promise<void>
  /** Absent already: success. Rejects with `JournalError`. */
  remove(key: AttachmentKey): Promise<void>
}

/**
 * Opens (makes) a journal in `directory` and reads all of it. A damaged record is reported, renamed to `NAME.damaged` and otherwise as if
 * it were not there. Rejects with `JournalError` if the directory cannot be made or read.
 */
export async function openJournal(directory: string, log: Log): Promise<Journal> {
  const records: Attachment[] = []
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    for (const name of await readdir(directory)) {
      if (LEFTOVER.test(name)) await unlink(join(directory, name))
      if (!RECORD.test(name)) continue
      const record = await readRecord(join(directory, name))
      if (typeof record !== 'string' && journalFileOf(record.link) === name) {
        records.push(record)
        continue
      }
      log.error('cni.record.damaged', {
        file: join(directory, name),
        reason: typeof record === 'string' ? record : 'of another attachment',
      })
      await rename(join(directory, name), join(directory, `${name}.damaged`))
    }
  } catch (cause) {
    throw unavailable('read', directory, cause)
  }
  return new DirectoryJournal(directory, records)
}

/** The record, or what is wrong with it. */
async function readRecord(path: string): Promise<Attachment | string> {
  const octets = await readFile(path)
  if (octets.length > MAX_RECORD_BYTES) return `larger than ${MAX_RECORD_BYTES} octets`
  return parseAttachment(octets.toString())
}

class DirectoryJournal implements Journal {
  readonly #directory: string
  readonly #byKey = new Map<string, Attachment>()
  readonly #byHostInterface = new Map<string, Attachment>()
  #writes = 0

  constructor(directory: string, records: readonly Attachment[]) {
    this.#directory = directory
    for (const record of records) this.#keep(record)
  }

  all(): readonly Attachment[] {
    return [...this.#byKey.values()]
  }

  get(key: AttachmentKey): Attachment | undefined {
    return this.#byKey.get(keyText(key))
  }

  byHostInterface(name: string): Attachment | undefined {
    return this.#byHostInterface.get(name)
  }

  async put(attachment: Attachment): Promise<void> {
    const path = join(this.#directory, journalFileOf(attachment.link))
    const record = padded(formatAttachment(attachment))
    // A page or so into the page cache: done before a pool thread would have been woken, and an ADD waits for it.
    if (!overwrite(path, record)) {
      const temporary = `${path}.${this.#writes++}.new`
      try {
        writeFileSync(temporary, record, { mode: 0o600 })
        renameSync(temporary, path)
      } catch (cause) {
        removeQuietly(temporary)
        throw unavailable('write', this.#directory, cause)
      }
    }
    this.#keep(attachment)
  }

  async remove(key: AttachmentKey): Promise<void> {
    try {
      unlinkSync(join(this.#directory, journalFileOf(key)))
    } catch (cause) {
      if (!isAbsent(cause)) throw unavailable('write', this.#directory, cause)
    }
    const known = this.#byKey.get(keyText(key))
    this.#byKey.delete(keyText(key))
    if (known !== undefined) this.#byHostInterface.delete(known.link.hostInterface)
  }

  #keep(attachment: Attachment): void {
    this.#byKey.set(keyText(attachment.link), attachment)
    this.#byHostInterface.set(attachment.link.hostInterface, attachment)
  }
}

/** Records of one attachment have the same length, so that one can be written over the other. */
function padded(text: string): Buffer {
  const octets = Buffer.from(text)
  return Buffer.concat([octets, Buffer.alloc((PAGE_BYTES - (octets.length % PAGE_BYTES)) % PAGE_BYTES, '\n')])
}

/**
 * Replaces a record of one page by another in one write, which the kernel ends even if we are killed in it: it looks for signals
 * between pages only. False: nothing was changed, because there is no record, or one of another length.
 */
function overwrite(path: string, record: Buffer): boolean {
  if (record.length !== PAGE_BYTES) return false
  let fd: number
  try {
    fd = openSync(path, 'r+')
  } catch {
    return false // mostly there is none yet; else writing a new one tells why not
  }
  try {
    return fstatSync(fd).size === PAGE_BYTES && writeSync(fd, record, 0, PAGE_BYTES, 0) === PAGE_BYTES
  } catch {
    return false
  } finally {
    closeSync(fd)
  }
}

/** What could not be written whole is worth nothing; it may never have been made. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {
    // the reason why it could not be written is told, not why it could not be removed
  }
}

function isAbsent(cause: unknown): boolean {
  return typeof cause === 'object' && cause !== null && 'code' in cause && cause.code === 'ENOENT'
}

function unavailable(what: 'read' | 'write', directory: string, cause: unknown): JournalError {
  const said = typeof cause === 'object' && cause !== null && 'message' in cause ? String(cause.message) : String(cause)
  return new JournalError(
    `cannot ${what} the state directory ${quoteText(directory)}: ${said}; make it writable, or free space on its file system`,
    cause,
  )
}
