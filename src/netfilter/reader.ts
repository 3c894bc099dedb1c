// Reads everything there is of iptables and ipset, giving way to the event loop meanwhile. Texts that say what they said the last time are
// not taken apart again.
import { createHash } from 'node:crypto'
import { sleep } from '../lib/clock.ts'
import type { IpFamily } from '../net/index.ts'
import { ToolError } from './failure.ts'
import type { Variant } from './port.ts'
import { emptyFamily, type FamilyState, lastingParts, SaveParser } from './save.ts'
import { SetParser, type SetState } from './set-text.ts'
import type { NetfilterTools } from './tools.ts'

export type VariantState = { readonly [F in IpFamily]: FamilyState }
export type Reading = {
  readonly families: readonly IpFamily[]
  /** Null: this variant is not there. */
  readonly variants: { readonly [V in Variant]: VariantState | null }
  readonly sets: Map<string, SetState>
  /** Why sets could not be read: fatal only to who wants some. */
  readonly setsFault: ToolError | null
}

/** By `familyKey` or `SETS_KEY`. */
export type Fingerprints = ReadonlyMap<string, string>
export type ReadOptions = {
  /** The variant whose absence would be news. */
  readonly inUse: Variant | null
  /** Of texts that say what the last reading has. */
  readonly known: Fingerprints
  /** Nft's rules are as the last reading has them. */
  readonly skipsNft: boolean
  /** Sets are as the last reading has them. */
  readonly skipsSets: boolean
  /** True once nobody waits for the reading any more: it ends soon, with whatever result. */
  readonly isAbandoned: () => boolean
}

export const SETS_KEY = 'sets'
const LINES_A_SLICE = 4_000
const CHARACTERS_A_SLICE = 1 << 20

export function familyKey(variant: Variant, family: IpFamily): string {
  return `${variant} ${family}`
}

export class KernelReader {
  readonly #tools: NetfilterTools

  constructor(tools: NetfilterTools) {
    this.#tools = tools
  }

  /** Rejects with ToolError. */
  async readAll(last: Reading, options: ReadOptions): Promise<{ readonly reading: Reading; readonly fingerprints: Fingerprints }> {
    const families = await this.#tools.families()
    const fingerprints = new Map<string, string>()
    const readVariant = (variant: Variant): Promise<VariantState | null> =>
      this.#readVariant(variant, families, options, fingerprints, last.variants[variant])
    const isAsBefore = options.skipsNft && String(families) === String(last.families)
    const [nft, legacy, sets] = await Promise.all([
      isAsBefore ? last.variants.nft : readVariant('nft'),
      readVariant('legacy'),
      (options.skipsSets ? Promise.resolve(last.sets) : this.#readSets(options, fingerprints, last.sets)).catch((cause: unknown) => {
        if (cause instanceof ToolError) return cause
        throw cause
      }),
    ])
    const setsFault = sets instanceof ToolError ? sets : null
    const reading = { families, variants: { nft, legacy }, sets: sets instanceof ToolError ? new Map() : sets, setsFault }
    return { reading, fingerprints }
  }

  async readFamily(variant: Variant, family: IpFamily): Promise<FamilyState> {
    const parser = new SaveParser()
    await feed(await this.#tools.saveRules(variant, family), parser)
    return parser.state
  }

  async readSets(): Promise<Map<string, SetState>> {
    const parser = new SetParser()
    await feed(await this.#tools.saveSets(), parser)
    return parser.sets
  }

  async #readVariant(
    variant: Variant,
    families: readonly IpFamily[],
    options: ReadOptions,
    fingerprints: Map<string, string>,
    last: VariantState | null,
  ): Promise<VariantState | null> {
    const read = async (family: IpFamily): Promise<FamilyState> => {
      const text = await this.#tools.saveRules(variant, family)
      const key = familyKey(variant, family)
      const print = await fingerprintOf(lastingParts(text), options.isAbandoned)
      fingerprints.set(key, print)
      if (last !== null && options.known.get(key) === print) return last[family]
      const parser = new SaveParser()
      await feed(text, parser, options.isAbandoned)
      return parser.state
    }
    try {
      const four = await read(4)
      return { 4: four, 6: families.includes(6) ? await read(6).catch(emptyWhereUnsupported) : emptyFamily() }
    } catch (cause) {
      if (isUnsupported(cause) && variant !== options.inUse) return null
      throw cause
    }
  }

  async #readSets(options: ReadOptions, fingerprints: Map<string, string>, last: Reading['sets']): Promise<Reading['sets']> {
    const text = await this.#tools.saveSets()
    const print = await fingerprintOf([text], options.isAbandoned)
    fingerprints.set(SETS_KEY, print)
    if (options.known.get(SETS_KEY) === print) return last
    const parser = new SetParser()
    await feed(text, parser, options.isAbandoned)
    return parser.sets
  }
}

/** Where IPv4 works and IPv6 does not, a write says so, and only to those who want rules for IPv6. */
function emptyWhereUnsupported(cause: unknown): FamilyState {
  if (isUnsupported(cause)) return emptyFamily()
  throw cause
}

function isUnsupported(cause: unknown): boolean {
  return cause instanceof ToolError && (cause.code === 'MISSING' || cause.code === 'UNSUPPORTED')
}

async function feed(text: string, parser: { line(line: string): void }, isAbandoned: () => boolean = () => false): Promise<void> {
  let count = 0
  for (let at = 0; at < text.length && !isAbandoned(); ) {
    const newline = text.indexOf('\n', at)
    const end = newline === -1 ? text.length : newline
    parser.line(text.slice(at, end))
    at = end + 1
    if (++count % LINES_A_SLICE === 0) await sleep(0)
  }
}

async function fingerprintOf(parts: Iterable<string>, isAbandoned: () => boolean): Promise<string> {
  const hash = createHash('sha1')
  let sum = 0
  for (const part of parts) {
    for (let at = 0; at < part.length && !isAbandoned(); at += CHARACTERS_A_SLICE) {
      const slice = part.slice(at, at + CHARACTERS_A_SLICE)
      hash.update(slice)
      sum += slice.length
      if (sum < CHARACTERS_A_SLICE) continue
      sum = 0
      await sleep(0)
    }
    hash.update('\0')
  }
  return hash.digest('base64')
}
