// When the paths of one peer and family were last announced, as epochs: marking a whole table stale, or beginning a refresh,
// is the beginning of a new epoch and costs nothing per path. A path carries the low bits of its epoch; an epoch is over and
// done with before its number comes round again.
import { EPOCH_MASK } from './path-table.ts'

const EPOCHS = EPOCH_MASK + 1

export class Arrivals {
  /** Paths by the low bits of their epoch. */
  readonly #paths = new Int32Array(EPOCHS)
  #epoch = 0
  /** Older than this: stale (RFC 4724 §4.2). */
  #staleBefore = 0
  /** Older than this: gone, as soon as the sweep comes by. */
  #condemnedBefore = 0
  /** The epoch that began with the last BoRR (RFC 7313 §4), or null outside a refresh. */
  #refresh: number | null = null
  /** Stale paths are long-lived stale (RFC 9494). */
  longLived = false
  /** Paths that import policy accepts. */
  accepted = 0

  /** The bits a path announced now carries. */
  get stamp(): number {
    return this.#epoch & EPOCH_MASK
  }

  get received(): number {
    return this.#countIn(this.#condemnedBefore, this.#epoch + 1)
  }

  get stale(): number {
    return this.#countIn(Math.max(this.#condemnedBefore, this.#epoch - EPOCH_MASK), this.#staleBefore)
  }

  get hasCondemned(): boolean {
    return this.#countIn(this.#epoch - EPOCH_MASK, this.#condemnedBefore) > 0
  }

  get isEmpty(): boolean {
    return this.#countIn(this.#epoch - EPOCH_MASK, this.#epoch + 1) === 0
  }

  get isRefreshing(): boolean {
    return this.#refresh !== null
  }

  added(): void {
    this.#change(this.stamp, 1)
  }

  removed(flags: number): void {
    this.#change(flags & EPOCH_MASK, -1)
  }

  /** A path with these flags was announced again; returns its new flags. */
  renewed(flags: number): number {
    const { stamp } = this
    const before = flags & EPOCH_MASK
    if (before === stamp) return flags
    this.#change(before, -1)
    this.#change(stamp, 1)
    return (flags & ~EPOCH_MASK) | stamp
  }

  isStale(flags: number): boolean {
    return this.#epochOf(flags) < this.#staleBefore
  }

  isCondemned(flags: number): boolean {
    return this.#epochOf(flags) < this.#condemnedBefore
  }

  /** What is there becomes stale, what was stale is condemned. */
  markStale(): void {
    this.#condemnedBefore = Math.max(this.#condemnedBefore, this.#staleBefore)
    this.#epoch++
    this.#staleBefore = this.#epoch
    this.#refresh = null
    this.longLived = false
  }

  /** What is still stale is condemned. */
  condemnStale(): void {
    this.#condemnedBefore = Math.max(this.#condemnedBefore, this.#staleBefore)
    this.longLived = false
  }

  condemnAll(): void {
    this.#epoch++
    this.#condemnedBefore = this.#epoch
    this.#refresh = null
    this.longLived = false
  }

  beginRefresh(): void {
    this.#epoch++
    this.#refresh = this.#epoch
  }

  /** What was not announced since `beginRefresh` is condemned. */
  endRefresh(): void {
    if (this.#refresh !== null) this.#condemnedBefore = Math.max(this.#condemnedBefore, this.#refresh)
    this.#refresh = null
  }

  /**
   * The bits of paths that have to be restamped before another epoch can begin, because their number comes round; null almost
   * always (a peer that sends BoRR over and over, never EoRR).
   */
  get expiringStamp(): number | null {
    const stamp = (this.#epoch + 1) & EPOCH_MASK
    return (this.#paths[stamp] ?? 0) > 0 ? stamp : null
  }

  /** New flags of a path with the expiring stamp: it joins the epoch that followed its own. */
  restamped(flags: number): number {
    const before = flags & EPOCH_MASK
    const after = (before + 1) & EPOCH_MASK
    this.#change(before, -1)
    this.#change(after, 1)
    return (flags & ~EPOCH_MASK) | after
  }

  #epochOf(flags: number): number {
    return this.#epoch - ((this.#epoch - flags) & EPOCH_MASK)
  }

  #change(stamp: number, by: number): void {
    this.#paths[stamp] = (this.#paths[stamp] ?? 0) + by
  }

  /** Paths of epochs in [from, before). */
  #countIn(from: number, before: number): number {
    let count = 0
    for (let epoch = Math.max(from, this.#epoch - EPOCH_MASK); epoch < before && epoch <= this.#epoch; epoch++)
      count += this.#paths[epoch & EPOCH_MASK] ?? 0
    return count
  }
}
