// Small samples: min, median, max and their ratios. Pure.
export type Spread = { readonly min: number; readonly median: number; readonly max: number }

/** Throws RangeError on an empty sample. */
export function spread(sample: readonly number[]): Spread {
  const sorted = [...sample].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const [min, max, high] = [sorted[0], sorted.at(-1), sorted[middle]]
  if (min === undefined || max === undefined || high === undefined) throw new RangeError('a spread needs at least one figure')
  const median = sorted.length % 2 === 1 ? high : (high + (sorted[middle - 1] ?? high)) / 2
  return { min, median, max }
}
