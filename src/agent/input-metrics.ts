// Metrics of what the agent goes by and what it tells the store.

import { Counter, Gauge, type Registry } from '../lib/prometheus.ts'
import type { CacheFigures } from './inputs/cache.ts'
import type { ReportFigures } from './reporting/reporter.ts'

export type WriteFigures = {
  /** Of the NodeNetwork. */
  readonly report: ReportFigures
  /** Of the own Node: its condition and its annotations. */
  readonly nodeWrites: number
  readonly cache: CacheFigures
  /** The agent goes by what was last known. */
  readonly isFromCache: boolean
}

/** `read` takes over the figures of this moment. */
export function inputMetrics(registry: Registry): { readonly read: (figures: WriteFigures) => void } {
  const registers = [registry]
  const fromCache = new Gauge({
    name: 'fibula_inputs_from_cache',
    help: '1 while the store has not been heard since the start, so that the agent goes by what was last known.',
    registers,
  })
  const writes = new Counter({
    name: 'fibula_status_writes_total',
    help: 'Writes of the NodeNetwork and of the own Node (its condition, its annotations), by outcome.',
    labelNames: ['kind', 'outcome'],
    registers,
  })
  const cacheWrites = new Counter({
    name: 'fibula_input_cache_writes_total',
    help: 'Writes of the file of what is last known, by outcome.',
    labelNames: ['outcome'],
    registers,
  })
  const cacheBytes = new Gauge({ name: 'fibula_input_cache_bytes', help: 'Size of that file, as last written.', registers })
  return {
    read({ report, nodeWrites, cache, isFromCache }) {
      fromCache.set(isFromCache ? 1 : 0)
      writes.reset()
      writes.inc({ kind: 'NodeNetwork', outcome: 'written' }, report.written)
      writes.inc({ kind: 'NodeNetwork', outcome: 'failed' }, report.failed)
      writes.inc({ kind: 'Node', outcome: 'written' }, nodeWrites)
      cacheWrites.reset()
      cacheWrites.inc({ outcome: 'written' }, cache.written)
      cacheWrites.inc({ outcome: 'failed' }, cache.failed)
      cacheBytes.set(cache.octets)
    },
  }
}
