// Durations as users write them (`90s`, `1m30s`, `1h`) and as code uses them (seconds).

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

/** The shortest exact form: 90 -> `1m30s`. */
export function formatDurationSeconds(seconds: number): string {
  const whole = Math.floor(seconds)
  const days = Math.floor(whole / 86_400)
  const hours = Math.floor((whole % 86_400) / 3_600)
  const minutes = Math.floor((whole % 3_600) / 60)
  const rest = whole % 60
  const text = `${days > 0 ? `${days}d` : ''}${hours > 0 ? `${hours}h` : ''}${minutes > 0 ? `${minutes}m` : ''}${rest > 0 ? `${rest}s` : ''}`
  return text === '' ? '0s' : text
}
