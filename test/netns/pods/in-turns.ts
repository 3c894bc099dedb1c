/** `Promise.all` of `work` on each item, `atOnce` at a time. */
export async function inTurns<T, U>(
  items: readonly T[],
  atOnce: number,
  work: (item: T, index: number) => Promise<U>,
): Promise<readonly U[]> {
  const results: U[] = []
  const rest = items.entries()
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const [index, item] of rest) results[index] = await work(item, index)
    }),
  )
  return results
}
