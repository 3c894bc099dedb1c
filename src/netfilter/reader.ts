// Reads everything there is of iptables and ipset, giving way to the event loop meanwhile.
import { sleep } from '../lib/clock.ts'
import type { IpFamily } from '../net/index.ts'
import { ToolError } from './failure.ts'
import type { Variant } from './port.ts'
import { emptyFamily, type FamilyState, SaveParser } from './save.ts'
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

const LINES_A_SLICE = 4_000

export class KernelReader {
  readonly #tools: NetfilterTools

  constructor(tools: NetfilterTools) {
    this.#tools = tools
  }

  /** `inUse`: the variant whose absence would be news. Rejects with ToolError. */
  async readAll(inUse: Variant | null): Promise<Reading> {
    const families = await this.#tools.families()
    const [nft, legacy, sets] = await Promise.all([
      this.#readVariant('nft', families, inUse),
      this.#readVariant('legacy', families, inUse),
      this.readSets().catch((cause: unknown) => {
        if (cause instanceof ToolError) return cause
        throw cause
      }),
    ])
    const setsFault = sets instanceof ToolError ? sets : null
    return { families, variants: { nft, legacy }, sets: sets instanceof ToolError ? new Map() : sets, setsFault }
  }

  async readFamily(variant: Variant, family: IpFamily): Promise<FamilyState> {
    const parser = new SaveParser()
    await this.#feed(await this.#tools.saveRules(variant, family), parser)
    return parser.state
  }

  async readSets(): Promise<Map<string, SetState>> {
    const parser = new SetParser()
    await this.#feed(await this.#tools.saveSets(), parser)
    return parser.sets
  }

  async #readVariant(variant: Variant, families: readonly IpFamily[], inUse: Variant | null): Promise<VariantState | null> {
    try {
      const four = await this.readFamily(variant, 4)
      return { 4: four, 6: families.includes(6) ? await this.#readSix(variant) : emptyFamily() }
    } catch (cause) {
      if (cause instanceof ToolError && (cause.code === 'MISSING' || cause.code === 'UNSUPPORTED') && variant !== inUse) return null
      throw cause
    }
  }

  /** Where IPv4 works and IPv6 does not, a write says so, and only to those who want rules for IPv6. */
  async #readSix(variant: Variant): Promise<FamilyState> {
    try {
      return await this.readFamily(variant, 6)
    } catch (cause) {
      if (cause instanceof ToolError && (cause.code === 'MISSING' || cause.code === 'UNSUPPORTED')) return emptyFamily()
      throw cause
    }
  }

  async #feed(text: string, parser: { line(line: string): void }): Promise<void> {
    let count = 0
    for (let at = 0; at < text.length; ) {
      const newline = text.indexOf('\n', at)
      const end = newline === -1 ? text.length : newline
      parser.line(text.slice(at, end))
      at = end + 1
      if (++count % LINES_A_SLICE === 0) await sleep(0)
    }
  }
}
