// Durations as users write them (`90s`, `1m30s`, `1h`), in milliseconds.

const PART = /(\d+)(ms|s|m|h|d)/gy
const MS_PER: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds of a duration string, or null if it is not one. */
export function parseDurationMs(text: string): number | null {
  if (text === '') return null
  PART.lastIndex = 0
  let total = 0
  let end = 0
  for (let match = PART.exec(text); match !== null; match = PART.exec(text)) {
    const perUnit = MS_PER[match[2] ?? '']
    if (perUnit === undefined) return null
    total += Number(match[1]) * perUnit
    end = PART.lastIndex
  }
  return end === text.length ? total : null
}
