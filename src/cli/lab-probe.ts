// `fibula lab probe [FROM TO]`: pings all the time and counts what is lost, while a person breaks things in another terminal.
import { type Flow, type FlowProbe, type FlowSummary, fabricFlows, flowsBetween, type Lab, openLab, Prober, total } from '../lab/index.ts'
import { sleep } from '../lib/clock.ts'
import { guarded, labOptions, pathsOf } from './lab-common.ts'
import type { Cli, Environment } from './options.ts'
import { CliError, type Column, formatTable, print } from './output.ts'

export function addProbe(cli: Cli, environment: Environment): void {
  cli.command(
    'probe [from] [to]',
    'Ping between pods until interrupted and count losses; exit status 1 if there were any',
    (to) =>
      to
        .options(labOptions(environment))
        .positional('from', { type: 'string', describe: 'Only from this pod (and back)' })
        .positional('to', { type: 'string', describe: 'Only to this pod (and back)' })
        .option('rate', { type: 'number', default: 100, requiresArg: true, describe: 'Pings a second on every flow' })
        .option('seconds', { type: 'number', requiresArg: true, describe: 'End after this time' })
        .example('$0 lab probe', 'then, elsewhere: fibula lab link spine-1 down'),
    (args) =>
      guarded(async () => {
        if (!(args.rate >= 1 && args.rate <= 1000)) throw new CliError('--rate is 1 to 1000 pings a second', 2)
        const lab = openLab(pathsOf(args))
        const flows = chooseFlows(lab, args.from, args.to)
        await using prober = await Prober.open(lab.pods)
        const probes = await watch(prober, flows, args.rate, args.seconds ?? Number.POSITIVE_INFINITY)
        const rows = probes.map(({ flow, record }) => ({
          from: flow.from.name,
          to: flow.to.name,
          family: flow.family,
          ...record.summary(0),
        }))
        const { sent, lost } = total(rows)
        await print(args.output, rows, (all, screen) => `${formatTable(COLUMNS, all, screen)}${lost} of ${sent} pings were lost\n`)
        if (lost > 0) process.exitCode = 1
      }),
  )
}

function chooseFlows(lab: Lab, from: string | undefined, to: string | undefined): readonly Flow[] {
  const { pods } = lab
  const names = pods.map(({ name }) => name)
  for (const name of [from, to])
    if (name !== undefined && !names.includes(name)) throw new CliError(`there is no pod ${name}: there are ${names.join(', ')}`, 2)
  if (from === undefined) return fabricFlows(lab)
  const isWanted = (a: string, b: string): boolean => a === from && (to === undefined || b === to)
  return flowsBetween(pods, (a, b) => isWanted(a.name, b.name) || isWanted(b.name, a.name))
}

/** Streams until interrupted, with a line on standard error for every second in which something was lost. */
async function watch(prober: Prober, flows: readonly Flow[], rate: number, seconds: number): Promise<readonly FlowProbe[]> {
  const stop = new AbortController()
  const interrupted = (): void => stop.abort()
  process.once('SIGINT', interrupted)
  process.once('SIGTERM', interrupted)
  process.stderr.write(`${flows.length} flows, ${rate} pings a second each; Ctrl-C ends it\n`)
  const stream = prober.stream(flows, rate)
  try {
    let reported = 0
    for (let second = 1; second <= seconds && !stop.signal.aborted; second++) {
      await sleep(1000, stop.signal).catch(() => {}) // aborted: the loop ends
      const untilMs = performance.now() - 1000 // answers to later probes may still come
      const { lost, affectedFlows } = total(stream.probes.map(({ record }) => record.summary(0, Number.NEGATIVE_INFINITY, untilMs)))
      if (lost > reported)
        process.stderr.write(
          `${new Date().toISOString().slice(11, 19)}  ${lost - reported} more lost, ${affectedFlows} flows affected so far\n`,
        )
      reported = lost
    }
    return await stream.stop()
  } finally {
    process.off('SIGINT', interrupted)
    process.off('SIGTERM', interrupted)
  }
}

type Row = FlowSummary & { readonly from: string; readonly to: string; readonly family: string }

const COLUMNS: readonly Column<Row>[] = [
  { title: 'from', cell: ({ from }) => from },
  { title: 'to', cell: ({ to }) => to },
  { title: 'family', cell: ({ family }) => family },
  { title: 'sent', cell: ({ sent }) => String(sent), align: 'right' },
  { title: 'lost', cell: ({ lost }) => ({ text: String(lost), tone: lost === 0 ? 'good' : 'bad' }), align: 'right' },
  {
    title: 'outage ms',
    cell: ({ longestOutageMs }) => (Number.isFinite(longestOutageMs) ? longestOutageMs.toFixed(0) : 'to the end'),
    align: 'right',
  },
  { title: 'rtt ms', cell: ({ medianRttMs }) => medianRttMs?.toFixed(2) ?? '-', align: 'right' },
  { title: 'max ms', cell: ({ longestRttMs }) => longestRttMs?.toFixed(2) ?? '-', align: 'right' },
]
