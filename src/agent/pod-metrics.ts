// Metrics of pods: IPAM, and what the container runtime asked.

import { Counter, Gauge, type Registry } from '../lib/prometheus.ts'
import type { IpamStatus, PodStatus } from './control-api.ts'
import { DURATION_BUCKETS } from './pods/figures.ts'
import type { CniFigures } from './pods/index.ts'

export type PodFigures = {
  readonly pods: readonly Pick<PodStatus, 'state'>[]
  readonly ipam: Pick<IpamStatus, 'ready' | 'pools' | 'blocks' | 'borrowed' | 'unwritten'>
  readonly cni: CniFigures
}

export type PodMetrics = {
  /** Takes over the figures of this moment; null: no pods are served. */
  readonly read: (figures: PodFigures | null) => void
  /** Text to stand behind that of the registry: the library can only count observations itself. */
  readonly histograms: () => string
}

const DURATION = 'fibula_cni_request_duration_seconds'

export function podMetrics(registry: Registry, node: string): PodMetrics {
  const registers = [registry]
  const gauge = (name: string, help: string, labelNames: string[] = []) => new Gauge({ name, help, labelNames, registers })
  const pods = gauge('fibula_pods', 'Interfaces of pods by state: assigned (ADD at work), attached, released (DEL answered).', ['state'])
  const ready = gauge('fibula_ipam_ready', '1 while a pod can be given an address of every family at once.')
  const blocks = gauge('fibula_ipam_blocks', 'Blocks of this node.', ['pool', 'state'])
  const addresses = gauge('fibula_ipam_addresses', 'Addresses in blocks of this node: size, allocated, reserved, lent, cooling, free.', [
    'pool',
    'kind',
  ])
  const reserve = gauge('fibula_ipam_reserve', 'Addresses that a pod can have without waiting for the store.', ['pool'])
  const borrowed = gauge('fibula_ipam_borrowed_addresses', 'Addresses of this node in blocks of others.')
  const unwritten = gauge('fibula_ipam_unwritten', 'Allocations and releases that the store does not show yet.')
  const requests = new Counter({
    name: 'fibula_cni_requests_total',
    help: 'CNI requests by command and outcome: ok, or the code of the error.',
    labelNames: ['command', 'outcome'],
    registers,
  })
  let durations: CniFigures['durations'] = []
  return {
    read(figures) {
      for (const metric of [pods, ready, blocks, addresses, reserve, borrowed, unwritten, requests]) metric.reset()
      durations = figures?.cni.durations ?? []
      if (figures === null) return
      const { ipam, cni } = figures
      for (const { state } of figures.pods) pods.inc({ state })
      ready.set(ipam.ready ? 1 : 0)
      for (const { pool, state, size, allocated, reserved, lent, cooling, free } of ipam.blocks) {
        blocks.inc({ pool: pool ?? '', state })
        for (const [kind, count] of Object.entries({ size, allocated, reserved, lent, cooling, free })) {
          addresses.inc({ pool: pool ?? '', kind }, count)
        }
      }
      for (const pool of ipam.pools) reserve.set({ pool: pool.name }, pool.reserve)
      borrowed.set(ipam.borrowed.length)
      unwritten.set(ipam.unwritten)
      for (const { command, code, count } of cni.requests) requests.inc({ command, outcome: code === null ? 'ok' : String(code) }, count)
    },
    histograms: () => durationText(durations, node),
  }
}

/** In the text format of Prometheus; commands are words of the CNI specification, so nothing needs quoting but the node. */
function durationText(durations: CniFigures['durations'], node: string): string {
  if (durations.length === 0) return ''
  const lines = durations.flatMap(({ command, counts, sumSeconds, count }) => {
    const labels = `command="${command}",node=${JSON.stringify(node)}`
    const buckets = DURATION_BUCKETS.map((bound, at) => `${DURATION}_bucket{le="${bound}",${labels}} ${counts[at] ?? 0}`)
    return [
      ...buckets,
      `${DURATION}_bucket{le="+Inf",${labels}} ${count}`,
      `${DURATION}_sum{${labels}} ${sumSeconds}`,
      `${DURATION}_count{${labels}} ${count}`,
    ]
  })
  const head = [`# HELP ${DURATION} Duration of CNI requests, waiting included.`, `# TYPE ${DURATION} histogram`]
  return `${['', ...head, ...lines].join('\n')}\n`
}
