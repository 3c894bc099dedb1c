// `make bench`: measures Fibula beside other daemons in throwaway namespaces, prints a table for each case, and writes
// everything to bench/results. Exit status: 0 all targets met, 1 one missed or something failed, 2 wrong usage.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { settleThreadPool } from '../src/sys/netns.ts'
import { type Case, casesOf, SCENARIOS, type Scenario } from './cases.ts'
import { type FibulaBuild, SHIM } from './cni-plugins.ts'
import { bird } from './dut/bird.ts'
import type { Dut } from './dut/dut.ts'
import { fibula, LAUNCHER } from './dut/fibula.ts'
import { frr } from './dut/frr.ts'
import { gobgp } from './dut/gobgp.ts'
import { type MachineFacts, machineFacts } from './machine.ts'
import { removeLeftovers } from './namespaces.ts'
import { type CaseResult, judge, type Run, ratiosOf, renderCase, SUBJECT, summarize } from './report.ts'

const OTHERS: readonly Dut[] = [bird, gobgp, frr]
const DEFAULT_DUTS = 'fibula,bird,gobgp'
const RESULTS = join(import.meta.dirname, 'results')
const USAGE = `Usage: bench/main.ts [SCENARIO…] [options]      (root)

Scenarios: ${SCENARIOS.join(', ')} (all of them by default)

  --dut LIST           who takes part: fibula, bird, gobgp, frr (${DEFAULT_DUTS})
  --runs N             runs of each, in alternating order (3)
  --prefixes N         size of the table instead of that of the targets
  --attribute-sets N   distinct attribute sets of a generated table (1000)
  --clients N          clients of reflect (100)
  --mrt FILE           forward and churn a real table, TABLE_DUMP_V2, plain or .gz
  --full               GoBGP at full size too: minutes and gigabytes
  --fibula COMMAND     another build of Fibula: what stands before 'agent'
  --cni-plugin FILE    another build of its CNI plugin
  --profile DIR        leave CPU profiles of Fibula's threads there; the figures are then worth little
`

class UsageError extends Error {}

type Settings = {
  readonly scenarios: readonly Scenario[]
  readonly duts: readonly Dut[]
  readonly runs: number
  readonly full: boolean
} & {
  readonly prefixes: number | null
  readonly clients: number | null
  readonly attributeSets: number
  readonly mrt: string | null
  readonly fibula: FibulaBuild
}

function parseSettings(args: readonly string[]): Settings {
  const string = { type: 'string' } as const
  const options = {
    dut: string,
    runs: string,
    prefixes: string,
    clients: string,
    mrt: string,
    'attribute-sets': string,
    fibula: string,
    'cni-plugin': string,
    profile: string,
    full: { type: 'boolean' },
  } as const
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true })
  const scenarios = positionals.map((name) => SCENARIOS.find((one) => one === name) ?? refuse(`no scenario '${name}'`))
  const launcher = values.fibula?.split(' ') ?? LAUNCHER
  const all = [fibula(launcher, values.profile ?? null), ...OTHERS]
  const duts = (values.dut ?? DEFAULT_DUTS).split(',').map((name) => all.find((dut) => dut.name === name) ?? refuse(`no daemon '${name}'`))
  return {
    scenarios: scenarios.length === 0 ? SCENARIOS : scenarios,
    duts,
    runs: positive('--runs', values.runs) ?? 3,
    full: values.full ?? false,
    prefixes: positive('--prefixes', values.prefixes),
    clients: positive('--clients', values.clients),
    attributeSets: positive('--attribute-sets', values['attribute-sets']) ?? 1000,
    mrt: values.mrt ?? null,
    fibula: { command: launcher, shim: values['cni-plugin'] ?? SHIM },
  }
}

function positive(option: string, text: string | undefined): number | null {
  if (text === undefined) return null
  const value = Number(text)
  return Number.isSafeInteger(value) && value > 0 ? value : refuse(`${option} takes a number, not '${text}'`)
}

function refuse(reason: string): never {
  throw new UsageError(reason)
}

/** Runs a case, turning the order round every other time, so that nobody always has the machine at its best. */
async function runCase(one: Case): Promise<CaseResult> {
  const runs: Run[] = []
  for (let run = 0; run < one.runs; run++) {
    const order = run % 2 === 0 ? one.participants : one.participants.toReversed()
    for (const { name, measure } of order) {
      progress(`${one.title}: ${name}, run ${run + 1} of ${one.runs}`)
      try {
        runs.push({ participant: name, run, ok: true, measurement: await measure() })
      } catch (error) {
        runs.push({ participant: name, run, ok: false, error: (error as Error).message })
      }
    }
  }
  progress('')
  const summaries = one.participants.map(({ name }) => summarize(name, runs))
  const { scenario, title, size, targets, shownDetails } = one
  return { scenario, title, size, shownDetails, summaries, ratios: ratiosOf(summaries), verdicts: judge(targets, summaries), runs }
}

function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text.slice(0, process.stderr.columns - 1)}`)
  else if (text !== '') process.stderr.write(`${text}\n`)
}

async function main(): Promise<number> {
  if (process.argv.includes('--help')) {
    console.log(USAGE)
    return 0
  }
  const settings = parseSettings(process.argv.slice(2))
  if (process.getuid?.() !== 0) throw new Error('bench needs root: it makes network namespaces')
  await settleThreadPool()
  const leftovers = await removeLeftovers()
  if (leftovers.length > 0) console.log(`removed what an earlier run left: ${leftovers.join(', ')}`)
  const machine = await machineFacts(settings.duts)
  const duts = settings.duts.filter(({ name }) => machine.versions[name] !== 'not installed')
  if (settings.duts.some(({ name }) => name === SUBJECT) && !duts.some(({ name }) => name === SUBJECT)) {
    throw new Error("Fibula does not start: 'make build' first, or look at what 'bin/fibula --version' says")
  }
  console.log(describe(machine))
  const results: CaseResult[] = []
  for (const scenario of settings.scenarios) {
    for (const one of casesOf(scenario, { ...settings, duts })) {
      const result = await runCase(one)
      console.log(renderCase(result))
      results.push(result)
    }
  }
  console.log(`written: ${writeResults(machine, results)}`)
  const bad = results.some(
    ({ verdicts, summaries }) => verdicts.some(({ met }) => met === false) || summaries.some(({ failures }) => failures.length > 0),
  )
  return bad ? 1 : 0
}

function describe({ cpus, cpuModel, memoryMiB, kernel, distribution, node, versions, loadAverage }: MachineFacts): string {
  const programs = Object.entries(versions).map(([name, version]) => `  ${name}: ${version}`)
  const machine = `${cpus} x ${cpuModel}, ${memoryMiB} MiB, kernel ${kernel}, ${distribution}, Node ${node}, load ${loadAverage.toFixed(2)}`
  return [machine, ...programs, ''].join('\n')
}

function writeResults(machine: MachineFacts, cases: readonly CaseResult[]): string {
  mkdirSync(RESULTS, { recursive: true })
  const startedAt = new Date().toISOString()
  const file = join(RESULTS, `${startedAt.replaceAll(':', '-').replace(/\..*/, '')}.json`)
  writeFileSync(file, `${JSON.stringify({ writtenAt: startedAt, machine, cases }, null, 2)}\n`)
  return file
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void removeLeftovers().finally(() => process.exit(1)))
}
try {
  process.exitCode = await main()
} catch (error) {
  const wrongUsage = error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true
  console.error(wrongUsage ? `${(error as Error).message}\n\n${USAGE}` : `bench: ${(error as Error).message}`)
  process.exitCode = wrongUsage ? 2 : 1
}
