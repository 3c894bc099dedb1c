// The file of the objects last known (decision 18): written whole, synced to the disk and renamed, readable by root alone, because
// passwords are in it. A file that is missing, damaged, of another node, another store or another format is as good as none.
import { readFileSync } from 'node:fs'
import { mkdir, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import type { Clock } from '../../lib/clock.ts'
import { Coalescer } from '../../lib/coalesce.ts'
import type { Log } from '../../lib/log.ts'
import type { Resource } from '../../store/index.ts'
import { usable } from './content.ts'

export const CACHE_FILE = 'inputs.json'
/** Changes with the meaning of the file. Objects themselves are parsed like any others. */
const FORMAT = 1
/** Between two writes; a file of megabytes is written less often. */
const WRITE_EVERY_MS = 5_000
const WRITE_EVERY_MS_PER_MEGABYTE = 20_000

const schema = z.object({
  format: z.literal(FORMAT),
  node: z.string(),
  namespace: z.string(),
  store: z.string(),
  writtenAt: z.string(),
  objects: z.array(z.unknown()),
})

export type CacheIdentity = {
  readonly node: string
  readonly namespace: string
  /** As `--store` has it. */
  readonly store: string
}

export type CachedInputs = {
  readonly objects: readonly Resource[]
  /** ISO 8601. */
  readonly writtenAt: string
}

export type CacheFigures = { readonly written: number; readonly failed: number; readonly octets: number }

export class InputCache implements AsyncDisposable {
  readonly #path: string
  readonly #identity: CacheIdentity
  readonly #clock: Clock
  readonly #log: Log
  readonly #writing = new Coalescer(() => this.#write())
  #content: (() => readonly Resource[]) | null = null
  #timer: Disposable | null = null
  #writtenAtMs = Number.NEGATIVE_INFINITY
  #lastText = ''
  #fault: string | null = null
  #figures: CacheFigures = { written: 0, failed: 0, octets: 0 }

  constructor(path: string, identity: CacheIdentity, { clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#path = path
    this.#identity = identity
    this.#clock = clock
    this.#log = log
  }

  get figures(): CacheFigures {
    return this.#figures
  }

  /** Why the file could not be written, in words; null: it could. */
  get fault(): string | null {
    return this.#fault
  }

  /** null: there is nothing to start from. */
  read(): CachedInputs | null {
    let text: string
    try {
      text = readFileSync(this.#path, 'utf8')
    } catch (error) {
      if (!isMissing(error)) this.#ignore('it cannot be read', error)
      return null
    }
    const kept = parse(text)
    if (kept === null) return this.#ignore('it is damaged, or of another version')
    const { node, namespace, store, writtenAt, objects } = kept
    const own = this.#identity
    if (node !== own.node || namespace !== own.namespace || store !== own.store)
      return this.#ignore(`it is of node ${node}, namespace ${namespace} and store ${store}`)
    const refused = (reason: string): void => this.#log.warn('agent.cache.objectIgnored', { path: this.#path, reason })
    return { objects: usable(objects, refused), writtenAt }
  }

  /** `content` is asked for when it is time to write; what equals the last is not written. */
  changed(content: () => readonly Resource[]): void {
    this.#content = content
    if (this.#timer !== null) return
    const every = WRITE_EVERY_MS + (this.#figures.octets / 1e6) * WRITE_EVERY_MS_PER_MEGABYTE
    const delayMs = Math.max(0, this.#writtenAtMs + every - this.#clock.nowMs())
    this.#timer = this.#clock.after(delayMs, () => {
      this.#timer = null
      void this.#writing.request()
    })
  }

  /** What is waiting is written now. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.[Symbol.dispose]()
    this.#timer = null
    await this.#writing.request()
  }

  async #write(): Promise<void> {
    const content = this.#content
    this.#content = null
    if (content === null) return
    this.#writtenAtMs = this.#clock.nowMs()
    const objects = JSON.stringify(content())
    if (objects === this.#lastText) return
    const head = JSON.stringify({ format: FORMAT, ...this.#identity, writtenAt: new Date(this.#clock.wallMs()).toISOString() })
    try {
      const text = `${head.slice(0, -1)},"objects":${objects}}`
      await replaceFile(this.#path, text)
      this.#lastText = objects
      this.#fault = null
      this.#figures = { ...this.#figures, written: this.#figures.written + 1, octets: Buffer.byteLength(text) }
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      if (this.#fault === null) this.#log.warn('agent.cache.writeFailed', { path: this.#path, err: error })
      this.#fault = message
      this.#figures = { ...this.#figures, failed: this.#figures.failed + 1 }
    }
  }

  #ignore(reason: string, error?: unknown): null {
    this.#log.warn('agent.cache.ignored', { path: this.#path, reason, ...(error === undefined ? {} : { err: error }) })
    return null
  }
}

function parse(text: string): z.output<typeof schema> | null {
  try {
    const parsed = schema.safeParse(JSON.parse(text))
    return parsed.success ? parsed.data : null
  } catch {
    return null
  }
}

function isMissing(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT'
}

/** The old file or the new, whenever the power goes. */
async function replaceFile(path: string, text: string): Promise<void> {
  const folder = dirname(path)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const temporary = `${path}.new`
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.chmod(0o600) // a file that was there keeps its mode
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  const entry = await open(folder, 'r')
  try {
    await entry.sync()
  } finally {
    await entry.close()
  }
}
