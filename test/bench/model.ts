// A second receiver, made of the product's codec and plain maps: what the bench endpoints count is held against it.
import { HEADER_BYTES } from '../../bench/messages.ts'
import type { Family } from '../../src/bgp/family.ts'
import { createDecodeContext, type DecodeContext, decodeMessage, decodePrefixes, type UpdateMessage } from '../../src/bgp/wire/index.ts'
import { formatPrefix } from '../../src/net/index.ts'

export function contextOf(family: Family, peerAsn: number | null): DecodeContext {
  return createDecodeContext({
    peerType: peerAsn === null ? 'iBGP' : 'eBGP',
    localAsn: 65_000,
    peerAsn: peerAsn ?? 65_000,
    enforceFirstAs: true,
    fourOctetAs: true,
    extendedMessage: false,
    families: new Set([family]),
    addPathReceive: new Set<Family>(),
    extendedNextHop: false,
  })
}

/** Every UPDATE of a stream; throws if one is not clean. */
export function updatesOf(stream: Uint8Array, context: DecodeContext): readonly UpdateMessage[] {
  const updates: UpdateMessage[] = []
  for (let at = 0; at < stream.length; ) {
    const end = at + (stream[at + 16] ?? 0) * 256 + (stream[at + 17] ?? 0)
    if (end < at + HEADER_BYTES) throw new Error(`no message at ${at}`)
    const decoded = decodeMessage(stream.slice(at, end), context)
    if (!decoded.ok || decoded.value.kind !== 'update' || decoded.value.malformations.length > 0)
      throw new Error(`not a clean UPDATE: ${JSON.stringify(decoded)}`)
    updates.push(decoded.value)
    at = end
  }
  return updates
}

/** Prefix to origin AS. */
export class ModelReceiver {
  readonly held = new Map<string, number>()
  readonly #context: DecodeContext

  constructor(context: DecodeContext) {
    this.#context = context
  }

  /** Returns the prefixes changed, with repetitions. */
  take(stream: Uint8Array): readonly string[] {
    const changed: string[] = []
    for (const { withdrawn, announced } of updatesOf(stream, this.#context)) {
      for (const prefix of withdrawn.flatMap((run) => decodePrefixes(run).map((entry) => formatPrefix(entry.prefix)))) {
        changed.push(prefix)
        this.held.delete(prefix)
      }
      for (const { run, attributes } of announced) {
        const origin = attributes.asPath.at(-1)?.asns.at(-1) ?? 0
        for (const { prefix } of decodePrefixes(run)) {
          changed.push(formatPrefix(prefix))
          this.held.set(formatPrefix(prefix), origin)
        }
      }
    }
    return changed
  }
}
