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

/** The smallest figure that at least `share` of the sample do not exceed (nearest rank). Throws RangeError on an empty sample. */
export function quantile(sample: readonly number[], share: number): number {
  const sorted = [...sample].sort((a, b) => a - b)
  const figure = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]
  if (figure === undefined) throw new RangeError('a quantile needs at least one figure')
  return figure
}
