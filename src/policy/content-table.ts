// Values named after their content, with how many use them. What nobody uses stays until the flush, so that within one update the order
// of letting go and taking up makes no difference.
type Entry<T> = { readonly value: T; uses: number; isNew: boolean }

export class ContentTable<T extends { readonly id: string }> {
  readonly #entries = new Map<string, Entry<T>>()
  readonly #touched = new Set<string>()

  /** The value that is kept under this id: one that is known stays. `onEnter` is called if it was not there. */
  retain(value: T, onEnter: (value: T) => void): T {
    const entry = this.#entries.get(value.id)
    if (entry !== undefined) {
      entry.uses++
      return entry.value
    }
    this.#entries.set(value.id, { value, uses: 1, isNew: true })
    this.#touched.add(value.id)
    onEnter(value)
    return value
  }

  release({ id }: T): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    entry.uses--
    if (entry.uses === 0) this.#touched.add(id)
  }

  /** Forgets what nobody uses; `onLeave` is called for each. Gives what came and went since the last flush. */
  flush(onLeave: (value: T) => void): { readonly added: readonly T[]; readonly removed: readonly T[] } {
    const added: T[] = []
    const removed: T[] = []
    for (const id of this.#touched) {
      const entry = this.#entries.get(id)
      if (entry === undefined) continue
      if (entry.uses > 0) {
        if (entry.isNew) added.push(entry.value)
        entry.isNew = false
        continue
      }
      this.#entries.delete(id)
      onLeave(entry.value)
      if (!entry.isNew) removed.push(entry.value)
    }
    this.#touched.clear()
    return { added, removed }
  }
}
