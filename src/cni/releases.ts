// Addresses of pods that are gone, on their way back to IPAM. DEL answers before the store knows; what is under way is in the
// journal as `released`, so that it is finished after a restart too.
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { Journal } from './journal.ts'
import { handleOf, keyText } from './names.ts'
import type { Attachment, AttachmentKey, PodAddresses } from './ports.ts'
import { untilDone } from './retry.ts'

export type ReleasesDeps = {
  readonly journal: Journal
  readonly addresses: PodAddresses
  readonly clock: Clock
  readonly log: Log
  /** A record has left the journal. */
  changed(): void
}

export class Releases implements AsyncDisposable {
  readonly #deps: ReleasesDeps
  readonly #pending = new Map<string, Promise<boolean>>()
  readonly #ending = new AbortController()

  constructor(deps: ReleasesDeps) {
    this.#deps = deps
  }

  /** The release of this attachment that is under way, if one is. Never rejects. */
  pending(key: AttachmentKey): Promise<boolean> | undefined {
    return this.#pending.get(keyText(key))
  }

  /** Gives back all addresses of the handle, then forgets the record. Resolves to true when that is done, to false when the agent ends first. */
  begin(attachment: Attachment): Promise<boolean> {
    const key = keyText(attachment.link)
    const known = this.#pending.get(key)
    if (known !== undefined) return known
    const released = this.#release(attachment).finally(() => this.#pending.delete(key))
    this.#pending.set(key, released)
    return released
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new Error('the agent is stopping'))
    await Promise.all(this.#pending.values())
  }

  async #release(attachment: Attachment): Promise<boolean> {
    const { journal, addresses, clock, log, changed } = this.#deps
    const { signal } = this.#ending
    const handle = handleOf(attachment)
    const failed = (event: string) => (error: unknown, attempt: number) => {
      if (attempt === 0) log.warn(event, { handle, err: error })
    }
    const isReleased = await untilDone(() => addresses.release(handle, signal), { clock, signal, failed: failed('cni.release.failed') })
    if (!isReleased) return false
    const isForgotten = await untilDone(() => journal.remove(attachment.link), { clock, signal, failed: failed('cni.record.stuck') })
    changed()
    return isForgotten
  }
}
