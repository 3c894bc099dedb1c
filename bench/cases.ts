// What `make bench` measures: the cases of each scenario, who takes part, and the targets. Sizes are those of the targets;
// GoBGP, which needs minutes where others need a second, takes part at a tenth of them unless asked for in full.
import type { Family } from '../src/bgp/family.ts'
import { bridge, type CniPlugin, type FibulaBuild, fibulaCni } from './cni-plugins.ts'
import type { Dut } from './dut/dut.ts'
import { policyCases } from './policy/cases.ts'
import { SUBJECT, type Target } from './report.ts'
import { measureCni } from './scenarios/cni.ts'
import { measureChurn, measureForward } from './scenarios/forward.ts'
import { measureIdle } from './scenarios/idle.ts'
import { measureIpam, PAIRS } from './scenarios/ipam.ts'
import { measureIpBatch, measureKernel, measureKernelFloor } from './scenarios/kernel.ts'
import type { Measurement } from './scenarios/measurement.ts'
import { measureReflect } from './scenarios/reflect.ts'
import { scaleOf } from './scenarios/scale.ts'
import type { TableSource } from './tool-protocol.ts'

export type Participant = { readonly name: string; readonly measure: () => Promise<Measurement> }
export type Case = {
  readonly scenario: Scenario
  readonly title: string
  readonly size: number
  readonly runs: number
  readonly participants: readonly Participant[]
  readonly targets: readonly Target[]
  readonly shownDetails: readonly string[]
}
export const SCENARIOS = ['idle', 'forward-ipv4', 'forward-ipv6', 'churn', 'reflect', 'kernel', 'cni', 'ipam', 'scale', 'policy'] as const
export type Scenario = (typeof SCENARIOS)[number]

export type CaseOptions = {
  readonly duts: readonly Dut[]
  readonly runs: number
  readonly full: boolean
  /** null: the sizes of the targets. */
  readonly prefixes: number | null
  readonly clients: number | null
  readonly attributeSets: number
  readonly mrt: string | null
  readonly fibula: FibulaBuild
}

const SLOW = new Set(['gobgp'])
const MILLION = 1_000_000
const TENTH = 10
const TIMEOUT_MS = 120_000
const SLOW_TIMEOUT_MS = 1_200_000
const IDLE_OBSERVED_MS = 10_000
const CHURN = { turns: 30, intervalMs: 1000, fraction: 0.1 } as const
const CLIENT_PREFIXES = 1000

export function casesOf(scenario: Scenario, options: CaseOptions): readonly Case[] {
  switch (scenario) {
    case 'idle':
      return [idleCase(options)]
    case 'forward-ipv4':
      return forwardCases('IPv4Unicast', scenario, options)
    case 'forward-ipv6':
      return forwardCases('IPv6Unicast', scenario, options)
    case 'churn':
      return [churnCase(options)]
    case 'reflect':
      return reflectCases(options)
    case 'kernel':
      return [kernelCase(options)]
    case 'cni':
      return cniCases(options)
    case 'ipam':
      return [ipamCase(options)]
    case 'scale':
      return scaleCases(options)
    case 'policy':
      return policyCases(options.runs)
  }
}

const TIME_AND_MEMORY: readonly Target[] = [
  { metric: 'seconds', against: 'bird', atMost: 1 },
  { metric: 'peakRssMiB', against: 'bird', atMost: 2.5 },
]

function forwardCases(family: Family, scenario: Scenario, options: CaseOptions): readonly Case[] {
  const make = (prefixes: number, duts: readonly Dut[], targets: readonly Target[]): Case => {
    const table = tableSource(options, prefixes)
    const what = table.kind === 'mrt' ? `the table of ${table.file}` : `${prefixes} prefixes`
    return {
      scenario,
      title: `${scenario}: eBGP in, eBGP out, ${what}`,
      size: prefixes,
      runs: options.runs,
      participants: duts.map((dut) => ({
        name: dut.name,
        measure: () => measureForward(dut, { family, table, timeoutMs: timeoutOf(duts) }),
      })),
      targets,
      shownDetails: ['updatesOut', 'toolCpuSeconds'],
    }
  }
  const { fast, slow, size } = split(options, MILLION)
  const large = make(size, fast, TIME_AND_MEMORY)
  return slow.length === 0 || options.mrt !== null ? [large] : [large, make(size / TENTH, [...fast, ...slow], [])]
}

function churnCase(options: CaseOptions): Case {
  const { fast, size } = split(options, MILLION)
  const table = tableSource(options, size)
  return {
    scenario: 'churn',
    title: `churn: ${CHURN.fraction * 100} % of ${size} prefixes each second for ${CHURN.turns} s, seconds are the mean lag of a turn`,
    size,
    runs: options.runs,
    participants: fast.map((dut) => ({
      name: dut.name,
      measure: () => measureChurn(dut, { family: 'IPv4Unicast', table, timeoutMs: timeoutOf(fast) }, CHURN),
    })),
    targets: TIME_AND_MEMORY,
    shownDetails: ['worstLagSeconds', 'tableSeconds'],
  }
}

function reflectCases(options: CaseOptions): readonly Case[] {
  const make = (clients: number, duts: readonly Dut[], targets: readonly Target[]): Case => ({
    scenario: 'reflect',
    title: `reflect: ${clients} iBGP clients x ${CLIENT_PREFIXES} prefixes, all to all`,
    size: clients,
    runs: options.runs,
    participants: duts.map((dut) => ({
      name: dut.name,
      measure: () => measureReflect(dut, { clients, prefixesEach: CLIENT_PREFIXES, timeoutMs: timeoutOf(duts) }),
    })),
    targets,
    shownDetails: ['updatesOut', 'toolCpuSeconds'],
  })
  const { fast, slow } = split(options, MILLION)
  const clients = options.clients ?? 100
  const large = make(clients, fast, [{ metric: 'seconds', against: 'bird', atMost: 0.25 }])
  return slow.length === 0 ? [large] : [large, make(clients / TENTH, [...fast, ...slow], [])]
}

function kernelCase({ duts, runs, prefixes }: CaseOptions): Case {
  const options = { prefixes: prefixes ?? MILLION / TENTH, timeoutMs: TIMEOUT_MS }
  const daemons = duts.filter(({ name }) => !SLOW.has(name)) // GoBGP writes no routes by itself
  return {
    scenario: 'kernel',
    title: `kernel: BGP feed to ${options.prefixes} kernel routes, against writers of the same routes`,
    size: options.prefixes,
    runs,
    participants: [
      ...daemons.map((dut) => ({ name: dut.name, measure: () => measureKernel(dut, options) })),
      { name: 'ip -batch', measure: () => measureIpBatch(options) },
      { name: 'bare netlink', measure: () => measureKernelFloor(options) },
    ],
    targets: [{ metric: 'seconds', against: 'ip -batch', atMost: 0.5 }],
    shownDetails: [],
  }
}

const CNI_TIMEOUT_MS = 60_000

function cniCases({ runs, fibula }: CaseOptions): readonly Case[] {
  const plugins: readonly CniPlugin[] = [fibulaCni(fibula, 'IPv4'), fibulaCni(fibula, 'dual stack'), bridge]
  const make = (title: string, pods: number, atOnce: number, rounds: number, atMost: number): Case => ({
    scenario: 'cni',
    title: `cni: ${title}`,
    size: pods * rounds,
    runs,
    participants: plugins.map((plugin) => ({
      name: plugin.name,
      measure: () => measureCni(plugin, { pods, atOnce, rounds, timeoutMs: CNI_TIMEOUT_MS }),
    })),
    targets: [{ metric: 'seconds', against: bridge.name, atMost }],
    shownDetails: ['median', 'p99', 'fastest', 'removal'],
  })
  return [
    make('100 ADDs one after another, seconds are the median, CPU is that of one', 100, 1, 1, 0.25),
    make('50 ADDs at once, four times, seconds are the 99th percentile, CPU is that of one', 50, 50, 4, 0.5),
  ]
}

const BLOCK_SIZE = 26 // the default of a pool
const PAIRS_PER_SECOND = MILLION

function ipamCase({ runs }: CaseOptions): Case {
  return {
    scenario: 'ipam',
    title: `ipam: ${PAIRS} pairs of assign and release in memory, 65536 addresses in blocks of 64`,
    size: PAIRS,
    runs,
    participants: [
      { name: SUBJECT, measure: () => measureIpam(BLOCK_SIZE) },
      { name: 'in one block', measure: () => measureIpam(16) },
    ],
    targets: [{ metric: 'seconds', against: null, atMost: PAIRS / PAIRS_PER_SECOND }],
    shownDetails: ['pairsPerSecond'],
  }
}

const SCALE_OBSERVED_MS = 30_000
const MEMORY_LIMIT_MIB = 250

function scaleCases({ runs, fibula }: CaseOptions): readonly Case[] {
  const common = { observeMs: SCALE_OBSERVED_MS, command: fibula.command }
  const idle = `CPU is that of ${SCALE_OBSERVED_MS / 1000} s in which only kubelets report`
  const cluster = scaleOf({ ...common, pods: 10_000, services: 1_000, nodes: 500, namespaces: 40, policies: 0, runs, rawWatchers: 0 })
  const policed = scaleOf({
    ...common,
    pods: 10_000,
    services: 1_000,
    nodes: 500,
    namespaces: 40,
    policies: 1_000,
    runs: 1,
    rawWatchers: 0,
  })
  const large = scaleOf({ ...common, pods: 0, services: 0, nodes: 5_000, namespaces: 1, policies: 0, runs: 1, rawWatchers: 200 })
  const participants = (of: typeof cluster, names: readonly string[]) => names.map((name) => ({ name, measure: of(name) }))
  return [
    {
      scenario: 'scale',
      title: `scale: 10000 pods, 1000 services, 500 nodes; start to converged, ${idle}`,
      size: 10_000,
      runs,
      participants: participants(cluster, ['paged list', 'watcher', SUBJECT]),
      targets: [
        { metric: 'seconds', against: 'paged list', atMost: 2 },
        { metric: 'peakRssMiB', against: null, atMost: MEMORY_LIMIT_MIB },
        { metric: 'cpuSeconds', against: null, atMost: (SCALE_OBSERVED_MS / 1000) * 0.01 },
      ],
      shownDetails: ['rssMiB', 'startCpuSeconds', 'idleCpuPercent', 'watches'],
    },
    {
      scenario: 'scale',
      title: `scale: the same with 1000 NetworkPolicies, so that the pods of all nodes are followed; ${idle}`,
      size: 10_000,
      runs: 1,
      participants: participants(policed, ['paged list', SUBJECT]),
      targets: [{ metric: 'peakRssMiB', against: null, atMost: MEMORY_LIMIT_MIB }],
      shownDetails: ['rssMiB', 'startCpuSeconds', 'idleCpuPercent', 'watches'],
    },
    {
      scenario: 'scale',
      title: `scale: 5000 nodes, two of them route reflectors; start to converged, ${idle}`,
      size: 5_000,
      runs: 1,
      participants: participants(large, ['paged list', SUBJECT, 'API server']),
      targets: [{ metric: 'peakRssMiB', against: null, atMost: MEMORY_LIMIT_MIB }],
      shownDetails: [
        'rssMiB',
        'idleCpuPercent',
        'watches',
        'beatsPerSecond',
        'eventOctets',
        'microsecondsPerDelivery',
        'kibibytesPerWatch',
      ],
    },
  ]
}

function idleCase({ duts }: CaseOptions): Case {
  return {
    scenario: 'idle',
    title: `idle: start to established, then ${IDLE_OBSERVED_MS / 1000} s of nothing`,
    size: 0,
    runs: 1,
    participants: duts.map((dut) => ({ name: dut.name, measure: () => measureIdle(dut, IDLE_OBSERVED_MS) })),
    targets: [],
    shownDetails: ['rssAtRestMiB', 'idleCpuPercent', 'threads'],
  }
}

function split(
  { duts, full, prefixes }: CaseOptions,
  defaultSize: number,
): { readonly fast: readonly Dut[]; readonly slow: readonly Dut[]; readonly size: number } {
  const fast = duts.filter(({ name }) => full || !SLOW.has(name))
  return { fast, slow: full ? [] : duts.filter(({ name }) => SLOW.has(name)), size: prefixes ?? defaultSize }
}

function tableSource({ mrt, prefixes, attributeSets }: CaseOptions, size: number): TableSource {
  if (mrt !== null) return { kind: 'mrt', file: mrt, limit: prefixes }
  return { kind: 'generated', prefixes: size, attributeSets, seed: 1 }
}

function timeoutOf(duts: readonly Dut[]): number {
  return duts.some(({ name }) => SLOW.has(name)) ? SLOW_TIMEOUT_MS : TIMEOUT_MS
}
