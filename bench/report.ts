// From measurements to what people read: summaries by participant, ratios against the baseline, targets met or missed. Pure.
import Table from 'cli-table3'
import type { Measurement } from './scenarios/measurement.ts'
import { type Spread, spread } from './statistics.ts'

export type Run = { readonly participant: string; readonly run: number } & (
  | { readonly ok: true; readonly measurement: Measurement }
  | { readonly ok: false; readonly error: string }
)

/** A ratio that has to stay at or below `atMost`: the subject's figure over that of `against`; null: the figure itself. */
export type Target = { readonly metric: Metric; readonly against: string | null; readonly atMost: number }
export type Metric = 'seconds' | 'cpuSeconds' | 'peakRssMiB'
export const SUBJECT = 'fibula'

export type Summary = {
  readonly participant: string
  readonly runs: number
  readonly failures: readonly string[]
  readonly seconds: Spread | null
  readonly cpuSeconds: Spread | null
  readonly peakRssMiB: Spread | null
  /** Medians. */
  readonly details: Readonly<Record<string, number>>
}

export type Verdict = Target & {
  /** Of the medians; null: one of the two could not be measured. */
  readonly ratio: number | null
  /** Of the minima: what is left when the rest of the machine kept out of the way. */
  readonly ratioOfMinima: number | null
  readonly met: boolean | null
}

export type CaseResult = {
  readonly scenario: string
  readonly title: string
  readonly size: number
  /** Names of the details worth a column; the others are in the JSON. */
  readonly shownDetails: readonly string[]
  readonly summaries: readonly Summary[]
  /** SUBJECT over each other participant, medians. */
  readonly ratios: Readonly<Record<string, Readonly<Partial<Record<Metric, number>>>>>
  readonly verdicts: readonly Verdict[]
  readonly runs: readonly Run[]
}

export function summarize(participant: string, runs: readonly Run[]): Summary {
  const own = runs.filter((run) => run.participant === participant)
  const measured = own.flatMap((run) => (run.ok ? [run.measurement] : []))
  const of = (pick: (measurement: Measurement) => number | undefined): Spread | null => {
    const sample = measured.map(pick).filter((value): value is number => value !== undefined && Number.isFinite(value))
    return sample.length === 0 ? null : spread(sample)
  }
  const names = [...new Set(measured.flatMap(({ details }) => Object.keys(details)))]
  return {
    participant,
    runs: own.length,
    failures: own.flatMap((run) => (run.ok ? [] : [run.error])),
    seconds: of((one) => one.seconds),
    cpuSeconds: of((one) => one.cpuSeconds),
    peakRssMiB: of((one) => one.peakRssMiB),
    details: Object.fromEntries(names.map((name) => [name, of((one) => one.details[name])?.median ?? Number.NaN])),
  }
}

const ITSELF: Spread = { min: 1, median: 1, max: 1 }

/** A target whose participants did not all come through every run is not met, whatever the other runs say. */
export function judge(targets: readonly Target[], summaries: readonly Summary[]): readonly Verdict[] {
  const subject = summaries.find(({ participant }) => participant === SUBJECT)
  return targets.map((target) => {
    const other = summaries.find(({ participant }) => participant === target.against)
    const [own, base] = [subject?.[target.metric] ?? null, target.against === null ? ITSELF : (other?.[target.metric] ?? null)]
    const ratio = own === null || base === null ? null : own.median / base.median
    const ratioOfMinima = own === null || base === null ? null : own.min / base.min
    const failed = subject !== undefined && subject.failures.length > 0
    return { ...target, ratio, ratioOfMinima, met: failed ? false : ratio === null ? null : ratio <= target.atMost }
  })
}

export function ratiosOf(summaries: readonly Summary[]): CaseResult['ratios'] {
  const subject = summaries.find(({ participant }) => participant === SUBJECT)
  if (subject === undefined) return {}
  const metrics = ['seconds', 'cpuSeconds', 'peakRssMiB'] as const
  const against = (other: Summary): readonly (readonly [Metric, number])[] =>
    metrics.flatMap((metric) => {
      const [own, base] = [subject[metric], other[metric]]
      return own === null || base === null || base.median === 0 ? [] : [[metric, own.median / base.median] as const]
    })
  const others = summaries.filter(({ participant }) => participant !== SUBJECT)
  return Object.fromEntries(others.map((other) => [other.participant, Object.fromEntries(against(other))]))
}

/** One case as a table with a line for each participant, and a line for each target. */
export function renderCase(result: CaseResult): string {
  const detailNames = result.shownDetails
  const table = new Table({
    head: ['', 'seconds min / med / max', 'CPU s', 'peak MiB', 'time vs', 'CPU vs', 'memory vs', ...detailNames],
    style: { head: [], border: [], compact: true },
    colAligns: ['left', ...Array.from({ length: 6 + detailNames.length }, () => 'right' as const)],
  })
  for (const summary of result.summaries) {
    const ratio = result.ratios[summary.participant] ?? {}
    const times = (metric: Metric): string => (ratio[metric] === undefined ? '' : `${figure(ratio[metric])} x`)
    table.push([
      summary.participant,
      formatSpread(summary.seconds),
      formatSpread(summary.cpuSeconds),
      summary.peakRssMiB === null ? '-' : figure(summary.peakRssMiB.median),
      times('seconds'),
      times('cpuSeconds'),
      times('peakRssMiB'),
      ...detailNames.map((name) => figure(summary.details[name] ?? Number.NaN)),
    ])
  }
  const failures = result.summaries.flatMap(({ participant, failures: all, runs }) =>
    all.map((failure) => `  ${participant} failed (${all.length} of ${runs} runs): ${failure}`),
  )
  return [`${result.title}`, table.toString(), ...new Set(failures), ...result.verdicts.map(renderVerdict), ''].join('\n')
}

const UNITS = { seconds: 's', cpuSeconds: 's', peakRssMiB: 'MiB' } as const
const METRIC_NAMES = { seconds: 'time', cpuSeconds: 'CPU', peakRssMiB: 'peak memory' } as const

function renderVerdict({ metric, against, atMost, ratio, ratioOfMinima, met }: Verdict): string {
  const goal = `${METRIC_NAMES[metric]} at most ${atMost}${against === null ? ` ${UNITS[metric]}` : ` x ${against}'s`}`
  if (ratio === null || ratioOfMinima === null) return `  ${met === false ? 'MISSED' : 'not judged'}: ${goal} (no figures of both)`
  const unit = against === null ? UNITS[metric] : 'x'
  return `  ${met === true ? 'met' : 'MISSED'}: ${goal}: ${figure(ratio)} ${unit} (of the minima: ${figure(ratioOfMinima)} ${unit})`
}

function formatSpread(value: Spread | null): string {
  return value === null ? '-' : [value.min, value.median, value.max].map(figure).join(' / ')
}

/** Three significant digits, and no more decimals than mean anything. */
function figure(value: number): string {
  if (!Number.isFinite(value)) return '-'
  if (Number.isInteger(value)) return String(value)
  if (value < 0.1) return value.toPrecision(3) // milliseconds, in seconds
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value >= 1 ? value.toFixed(2) : value.toFixed(3)
}
