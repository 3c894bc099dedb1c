// `fibula lab pings`: who reaches whom, now; run it again after a change of links, routes or policies.
import { openLab, type PingCell, Prober, pingMatrix } from '../lab/index.ts'
import { guarded, labOptions, pathsOf } from './lab-common.ts'
import type { Cli, Environment } from './options.ts'
import { type Cell, type Column, formatTable, print, type Screen } from './output.ts'

export function addPings(cli: Cli, environment: Environment): void {
  cli.command(
    'pings',
    'Ping from every pod to every other, IPv4 and IPv6; exit status 1 if one was lost',
    (to) => to.options(labOptions(environment)),
    (args) =>
      guarded(async () => {
        const lab = openLab(pathsOf(args))
        await using prober = await Prober.open(lab.pods)
        const pings = await pingMatrix(lab, prober, new AbortController().signal)
        const pods = lab.pods.map(({ name }) => name)
        await print(args.output, pings, (all, screen) => formatPings(all, pods, screen))
        if (pings.some(({ lost }) => lost > 0)) process.exitCode = 1
      }),
  )
}

/** A row for each pod that pings, a column for each that is pinged: milliseconds over IPv4 / IPv6. */
export function formatPings(pings: readonly PingCell[], pods: readonly string[], screen: Screen): string {
  const cellOf = (from: string, to: string): Cell => {
    const both = (['ipv4', 'ipv6'] as const).map((family) =>
      pings.find((ping) => ping.from === from && ping.to === to && ping.family === family),
    )
    if (both.every((ping) => ping === undefined)) return { text: '-', tone: 'quiet' }
    const isGood = both.every((ping) => ping?.lost === 0)
    const text = both
      .map((ping) =>
        ping === undefined || ping.rttMs === null ? 'lost' : ping.lost > 0 ? `${ping.lost}/${ping.sent} lost` : ping.rttMs.toFixed(1),
      )
      .join(' / ')
    return { text, tone: isGood ? 'good' : 'bad' }
  }
  const columns: readonly Column<string>[] = [
    { title: 'from \\ to', cell: (from) => from },
    ...pods.map((to): Column<string> => ({ title: to, cell: (from) => cellOf(from, to) })),
  ]
  return formatTable(columns, pods, screen)
}
