// `fibula lab demo` (`make lab`): what the lab's demo finds, for people as it happens and for programs at the end.
import { type CrashResult, type CutResult, type DemoEvent, type DemoReport, openLab, type RouteRow, runDemo } from '../lab/index.ts'
import { unreachable } from '../lib/result.ts'
import { formatSessions, guarded, howToLook, pathsOf, thisProgram, upOptions } from './lab-common.ts'
import { formatPings } from './lab-pings.ts'
import type { Cli, Environment } from './options.ts'
import { type Cell, CliError, type Column, formatTable, type OutputFormat, paint, print, type Screen, standardScreen } from './output.ts'
import { Progress } from './progress.ts'

export function addDemo(cli: Cli, environment: Environment): void {
  cli.command(
    'demo',
    'Sessions, routes, pings, cut cables and killed agents; exit status 1 if anything fails',
    (to) =>
      to
        .options(upOptions(environment))
        .option('keep', { type: 'boolean', default: false, describe: 'Leave the lab up at the end' })
        .example('$0 lab demo --router frr --keep', 'FRR in the racks, and time to look around afterwards'),
    (args) =>
      guarded(async () => {
        const stop = new AbortController()
        const interrupted = (): void => stop.abort(new Error('interrupted'))
        process.once('SIGINT', interrupted)
        process.once('SIGTERM', interrupted)
        try {
          const options = {
            paths: pathsOf(args),
            topologyFile: args.topology ?? null,
            routerKind: args.router,
            program: thisProgram(),
            command: 'demo',
            keep: args.keep,
          }
          await show(args.output, args.keep, options, stop.signal)
        } catch (cause) {
          if (!stop.signal.aborted) throw cause
          throw new CliError(`interrupted${args.keep ? '' : ': the lab has been removed'}`, 1, { cause })
        } finally {
          process.off('SIGINT', interrupted)
          process.off('SIGTERM', interrupted)
        }
      }),
  )
}

async function show(format: OutputFormat, keep: boolean, options: Parameters<typeof runDemo>[0], signal: AbortSignal): Promise<void> {
  const screen = standardScreen()
  const progress = new Progress()
  const observe = (event: DemoEvent): void => {
    if (event.kind === 'progress') {
      progress.step(event.text)
      return
    }
    progress.done()
    if (format === 'table') screen.write(`${formatEvent(event, screen)}\n`)
  }
  const report = await runDemo(options, observe, signal)
  progress.done()
  await print(
    format,
    report,
    (all) => `${formatVerdict(all, screen)}${keep ? `\n${howToLook(openLab(options.paths))}` : `\n${HOW_TO_KEEP}`}`,
    screen,
  )
  if (report.failures.length > 0) process.exitCode = 1
}

const HOW_TO_KEEP = `To look around yourself, leave it up (from the checkout, as root):
  bin/fibula lab up              # or: bin/fibula lab demo --keep
  bin/fibula lab status          # processes, sessions, links
  bin/fibula lab --help          # exec, link, probe, down; docs/lab.md has things to try
`

function formatEvent(event: Exclude<DemoEvent, { kind: 'progress' }>, screen: Screen): string {
  switch (event.kind) {
    case 'sessions':
      return `${heading(`BGP sessions, ${(event.afterMs / 1000).toFixed(1)} s after the start`, screen)}${formatSessions(event.sessions, screen)}`
    case 'routes':
      return `${heading('Where each speaker sends the traffic for a block of pod addresses', screen)}${formatRoutes(event.routes, event.speakers, screen)}`
    case 'pings':
      return `${heading('Ping between all pods: milliseconds over IPv4 / IPv6', screen)}${formatPings(event.pings, event.pods, screen)}`
    case 'cut':
      return `${heading(`Cable ${event.cut.link} between ${event.cut.between.join(' and ')} cut under traffic`, screen)}${formatCut(event.cut, screen)}`
    case 'crash':
      return `${heading(`Agent of ${event.crash.speaker} killed with SIGKILL under traffic`, screen)}${formatCrash(event.crash, screen)}`
    default:
      return unreachable(event)
  }
}

function heading(text: string, screen: Screen): string {
  return `${paint({ text, tone: 'heading' }, screen)}\n`
}

function formatRoutes(routes: readonly RouteRow[], speakers: readonly string[], screen: Screen): string {
  const columns: readonly Column<RouteRow>[] = [
    { title: 'block', cell: ({ prefix }) => prefix },
    { title: 'of', cell: ({ owner }) => owner },
    ...speakers.map((speaker): Column<RouteRow> => ({ title: speaker, cell: (row) => viaCell(row, speaker) })),
  ]
  return formatTable(columns, routes, screen)
}

function viaCell({ owner, via }: RouteRow, speaker: string): Cell {
  const devices = via[speaker] ?? []
  if (devices.length === 0) return { text: 'no route', tone: 'bad' }
  return speaker === owner ? { text: devices.join(' '), tone: 'quiet' } : devices.join(' ')
}

function formatCut(cut: CutResult, screen: Screen): string {
  const moved: Cell = cut.hasMoved
    ? { text: `traffic moved to ${cut.movedTo.join(', ')}`, tone: 'good' }
    : { text: 'traffic did not move', tone: 'bad' }
  const outage = Number.isFinite(cut.longestOutageMs) ? `${Math.round(cut.longestOutageMs)} ms` : 'as long as the cable was cut'
  const losses =
    cut.lost === 0
      ? `None of the ${cut.sent} pings on ${cut.flows} flows was lost.`
      : `${cut.affectedFlows} of ${cut.flows} flows lost ${cut.lost} of ${cut.sent} pings; the longest interruption took ${outage}.`
  return [
    `It carried ${cut.packetsBefore} packets a second before, ${cut.packetsAfter} after; ${paint(moved, screen)}.\n`,
    `${losses} ${cut.lostOnMend === 0 ? 'Mending it lost none' : `Mending it lost ${cut.lostOnMend}`}.\n`,
  ].join('')
}

type ProofRow = CrashResult['proof'][number]

function formatCrash(crash: CrashResult, screen: Screen): string {
  const columns: readonly Column<ProofRow>[] = [
    { title: 'seen by', cell: ({ speaker }) => speaker },
    { title: 'session', cell: ({ peer }) => peer },
    { title: 'before', cell: ({ before }) => before },
    { title: 'after', cell: ({ after }) => after },
  ]
  const loss: Cell = { text: `${crash.lost} of ${crash.sent} packets lost`, tone: crash.lost === 0 ? 'good' : 'bad' }
  const outage =
    crash.lost === 0
      ? ''
      : ` (the longest interruption: ${Number.isFinite(crash.longestOutageMs) ? `${Math.round(crash.longestOutageMs)} ms` : 'to the end'})`
  return [
    `Process ${crash.pidBefore} died, ${crash.pidAfter} took over; all sessions were back after ${(crash.sessionsBackAfterMs / 1000).toFixed(1)} s.\n`,
    formatTable(columns, crash.proof, screen),
    `${crash.flows} flows, 100 pings a second each: ${paint(loss, screen)}${outage}.\n`,
    ...crash.lossyFlows.map(({ from, to, family, lost }) => `  ${lost} from ${from} to ${to} over ${family}\n`),
  ].join('')
}

function formatVerdict({ failures }: DemoReport, screen: Screen): string {
  if (failures.length === 0) return `${paint({ text: 'Everything works.', tone: 'good' }, screen)}\n`
  return `${paint({ text: 'Not as it should be:', tone: 'bad' }, screen)}\n${failures.map((failure) => `  ${failure}\n`).join('')}`
}
