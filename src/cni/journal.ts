// What the agent remembers of pods over its own end, in one file of the state directory. Nothing is synced to the disk: only a power cut
// could lose a record, and no container survives that; its addresses are found again by handle.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Log, quoteText } from '../lib/log.ts'
import { formatAttachment, parseAttachment } from './journal-record.ts'
import { keyText } from './names.ts'
import type { Attachment, AttachmentKey } from './ports.ts'
import { RecordFile } from './record-file.ts'

/** In the directory of the journal. */
const RECORDS = 'records'

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
 * Opens (makes) a journal in `directory` and reads all of it. A damaged record is reported, put aside as `damaged-PAGE` and otherwise as
 * if it were not there. Rejects with `JournalError` if the directory cannot be made or read.
 */
export async function openJournal(directory: string, log: Log): Promise<Journal> {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const file = new RecordFile(join(directory, RECORDS))
    const records: Entry[] = []
    const keys = new Set<string>()
    for (const { page, text } of file.read()) {
      const attachment = parseAttachment(text)
      const reason = typeof attachment === 'string' ? attachment : keys.has(keyText(attachment.link)) ? 'there is another of its key' : null
      if (typeof attachment !== 'string' && reason === null) {
        keys.add(keyText(attachment.link))
        records.push({ page, attachment })
        continue
      }
      const aside = join(directory, `damaged-${page}`)
      log.error('cni.record.damaged', { file: aside, reason })
      writeFileSync(aside, text, { mode: 0o600 })
      file.erase(page)
    }
    return new FileJournal(directory, file, records)
  } catch (cause) {
    throw unavailable('read', directory, cause)
  }
}

type Entry = { readonly page: number; readonly attachment: Attachment }

class FileJournal implements Journal {
  readonly #directory: string
  readonly #file: RecordFile
  readonly #byKey = new Map<string, Entry>()
  readonly #byHostInterface = new Map<string, Attachment>()

  constructor(directory: string, file: RecordFile, records: readonly Entry[]) {
    this.#directory = directory
    this.#file = file
    for (const entry of records) this.#keep(entry)
  }

  all(): readonly Attachment[] {
    return [...this.#byKey.values()].map(({ attachment }) => attachment)
  }

  get(key: AttachmentKey): Attachment | undefined {
    return this.#byKey.get(keyText(key))?.attachment
  }

  byHostInterface(name: string): Attachment | undefined {
    return this.#byHostInterface.get(name)
  }

  async put(attachment: Attachment): Promise<void> {
    const known = this.#byKey.get(keyText(attachment.link))
    this.#write(() => {
      const page = known?.page ?? this.#file.allocate()
      try {
        this.#file.write(page, formatAttachment(attachment))
      } catch (cause) {
        if (known === undefined) this.#file.giveBack(page)
        throw cause
      }
      this.#keep({ page, attachment })
    })
  }

  async remove(key: AttachmentKey): Promise<void> {
    const known = this.#byKey.get(keyText(key))
    if (known === undefined) return
    this.#write(() => this.#file.erase(known.page))
    this.#byKey.delete(keyText(key))
    this.#byHostInterface.delete(known.attachment.link.hostInterface)
  }

  /** Rejects with JournalError. A file that somebody has removed is made again, with all that is known. */
  #write(change: () => void): void {
    try {
      if (this.#file.isLost()) {
        mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
        this.#file.remake()
        for (const { page, attachment } of this.#byKey.values()) this.#file.write(page, formatAttachment(attachment))
      }
      change()
    } catch (cause) {
      throw unavailable('write', this.#directory, cause)
    }
  }

  #keep(entry: Entry): void {
    this.#byKey.set(keyText(entry.attachment.link), entry)
    this.#byHostInterface.set(entry.attachment.link.hostInterface, entry.attachment)
  }
}

function unavailable(what: 'read' | 'write', directory: string, cause: unknown): JournalError {
  const said = typeof cause === 'object' && cause !== null && 'message' in cause ? String(cause.message) : String(cause)
  return new JournalError(
    `cannot ${what} the state directory ${quoteText(directory)}: ${said}; make it writable, or free space on its file system`,
    cause,
  )
}
