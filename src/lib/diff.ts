// Desired minus actual: the one generic diff every writer uses.

export type Diff<K, V> = { readonly upserts: ReadonlyMap<K, V>; readonly deletes: readonly K[] }

/** What to write and what to remove so that `actual` becomes `desired`. */
export function diff<K, V>(desired: ReadonlyMap<K, V>, actual: ReadonlyMap<K, V>, same: (a: V, b: V) => boolean): Diff<K, V> {
  const upserts = new Map<K, V>()
  for (const [key, want] of desired) {
    const have = actual.get(key)
    if (have === undefined || !same(want, have)) upserts.set(key, want)
  }
  return { upserts, deletes: [...actual.keys()].filter((key) => !desired.has(key)) }
}
