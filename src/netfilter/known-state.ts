// What the kernel holds as far as we know: from the last read-back and our own writes since. A read-back that finds the generation of rules
// or the text that the last one found keeps what is known, and costs next to nothing.
import type { IpFamily } from '../net/index.ts'
import type { Variant } from './port.ts'
import { familyKey, KernelReader, type Reading, type ReadOptions, SETS_KEY } from './reader.ts'
import { emptyFamily, type FamilyState } from './save.ts'
import type { SetState } from './set-text.ts'
import type { NetfilterTools } from './tools.ts'

/** A hash of more would keep the event loop waiting. */
const MOST_MEMBERS_AT_ONCE = 200_000

export class KnownState {
  readonly #tools: NetfilterTools
  readonly #reader: KernelReader
  #reading: Reading = { families: [], variants: { nft: null, legacy: null }, sets: new Map(), setsFault: null }
  /** Of texts that say what is known: read, and not written to since. */
  readonly #fingerprints = new Map<string, string>()
  /** Of nft's rules when they were read; null: not known. Our own writes are changes too, and are read back once. */
  #generation: number | null = null
  /** Of sets when they were read, and not written to since. */
  #setsPrint: string | null = null
  isInDoubt = true

  constructor(tools: NetfilterTools) {
    this.#tools = tools
    this.#reader = new KernelReader(tools)
  }

  get reading(): Reading {
    return this.#reading
  }

  stateOf(variant: Variant, family: IpFamily): FamilyState {
    return this.#reading.variants[variant]?.[family] ?? emptyFamily()
  }

  /** `isWritten` false: the same, in other objects. */
  setState(variant: Variant, family: IpFamily, state: FamilyState, isWritten: boolean): void {
    const { variants } = this.#reading
    const states = { 4: this.stateOf(variant, 4), 6: this.stateOf(variant, 6), [family]: state }
    this.#reading = { ...this.#reading, variants: { ...variants, [variant]: states } }
    if (isWritten) this.#fingerprints.delete(familyKey(variant, family))
  }

  setSets(sets: Map<string, SetState>, isWritten: boolean): void {
    this.#reading = { ...this.#reading, sets }
    if (!isWritten) return
    this.#fingerprints.delete(SETS_KEY)
    this.#setsPrint = null
  }

  /**
   * Reads everything; rejects with ToolError, and then what is known may not be true. Gives a function that takes what was read for known, to be
   * called before anything is written: of a reading that was abandoned meanwhile it must not be.
   */
  async read(inUse: Variant | null, isAbandoned: () => boolean = () => false): Promise<() => void> {
    // Asked before: what changes while it is read makes the next read-back read again.
    const generation = this.#tools.generation()
    const setsPrint = this.#hasFewMembers() ? this.#tools.setsPrint() : null
    const isSure = !this.isInDoubt
    const options: ReadOptions = {
      inUse,
      known: isSure ? this.#fingerprints : new Map(),
      skipsNft: isSure && this.#reading.variants.nft !== null && generation !== null && generation === this.#generation,
      skipsSets: isSure && setsPrint !== null && setsPrint === this.#setsPrint,
      isAbandoned,
    }
    try {
      const fresh = await this.#reader.readAll(this.#reading, options)
      return () => {
        this.#reading = fresh.reading
        for (const [key, fingerprint] of fresh.fingerprints) this.#fingerprints.set(key, fingerprint)
        this.#generation = generation
        this.#setsPrint = fresh.reading.setsFault === null ? setsPrint : null
        this.isInDoubt = false
      }
    } catch (cause) {
      if (!isAbandoned()) this.isInDoubt = true
      throw cause
    }
  }

  #hasFewMembers(): boolean {
    let members = 0
    for (const set of this.#reading.sets.values()) members += set.members.size
    return members <= MOST_MEMBERS_AT_ONCE
  }

  async readFamily(variant: Variant, family: IpFamily): Promise<void> {
    this.setState(variant, family, await this.#reader.readFamily(variant, family), true)
  }

  async readSets(): Promise<void> {
    this.setSets(await this.#reader.readSets(), true)
  }
}
