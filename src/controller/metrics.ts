// Metrics of a replica of the controller, declared here and nowhere else; read when a scrape asks.
import { Counter, Gauge, Registry } from '../lib/prometheus.ts'
import type { ControllerView } from './controller.ts'

export type ControllerMetricsSource = { readonly version: string; readonly identity: string; readonly view: () => ControllerView }

export type ControllerMetrics = { readonly render: () => Promise<{ readonly contentType: string; readonly text: string }> }

export function createControllerMetrics({ version, view }: ControllerMetricsSource): ControllerMetrics {
  const registry = new Registry()
  const registers = [registry]
  const gauge = (name: string, help: string, labelNames: string[] = []) => new Gauge({ name, help, labelNames, registers })
  const counter = (name: string, help: string, labelNames: string[] = []) => new Counter({ name, help, labelNames, registers })

  gauge('fibula_build_info', 'Always 1; the version is a label.', ['version']).set({ version }, 1)
  const leads = gauge('fibula_controller_leader', '1 while this replica leads; the sum over all replicas should be 1.')
  const synced = gauge('fibula_controller_synced', '1 while this replica leads and has listed the objects of the cluster.')
  const findings = gauge('fibula_controller_findings', 'What is wrong in the cluster, as `fibula status` lists it.', ['severity', 'reason'])
  const suspected = gauge('fibula_controller_leaks_suspected', 'What the last look found leaked; collected after a second look.')
  const collected = counter(
    'fibula_controller_leaks_collected_total',
    'Addresses, claims ahead, empty blocks and reports of gone nodes that were collected by this replica in this term.',
    ['kind'],
  )
  const statuses = counter('fibula_controller_status_writes_total', 'Statuses written by this replica in this term.', ['outcome'])
  const surveySeconds = gauge('fibula_controller_survey_seconds', 'Duration of the last look at the whole cluster.')
  const memory = gauge('process_resident_memory_bytes', 'Resident memory.')
  const cpu = counter('process_cpu_seconds_total', 'CPU time, user and system.')

  const read = (): void => {
    const { election, leader } = view()
    leads.set(election.isLeading ? 1 : 0)
    synced.set(leader?.hasSynced === true ? 1 : 0)
    for (const metric of [findings, collected, statuses, cpu]) metric.reset()
    for (const { severity, reason } of leader?.findings ?? []) findings.inc({ severity, reason })
    suspected.set(leader?.leaks.suspected ?? 0)
    surveySeconds.set(leader?.lastSurveySeconds ?? 0)
    if (leader !== null) {
      const { addresses, reserves, blocks, networks, failed } = leader.leaks
      for (const [kind, value] of Object.entries({ address: addresses, reserve: reserves, block: blocks, report: networks, failed }))
        collected.inc({ kind }, value)
      statuses.inc({ outcome: 'written' }, leader.statuses.written)
      statuses.inc({ outcome: 'failed' }, leader.statuses.failed)
    }
    memory.set(process.memoryUsage.rss())
    const { user, system } = process.cpuUsage()
    cpu.inc((user + system) / 1e6)
  }
  return {
    async render() {
      read()
      return { contentType: registry.contentType, text: await registry.metrics() }
    },
  }
}
