// Prometheus metrics, declared here and nowhere else. Values are read when a scrape asks, from the same answers the command
// line shows, so the two cannot disagree.
import { readdirSync } from 'node:fs'
import type { PeerStatus } from '../bgp/index.ts'
import { systemClock } from '../lib/clock.ts'
import { Counter, Gauge, Registry } from '../lib/prometheus.ts'
import type { NetfilterStatus } from '../netfilter/index.ts'
import type { RouteCounts } from '../routes/index.ts'
import type { Problem } from './control-api.ts'
import { inputMetrics, type WriteFigures } from './input-metrics.ts'
import { type PodFigures, podMetrics } from './pod-metrics.ts'
import { type PolicySample, policyMetrics } from './policy/metrics.ts'
import { serviceMetrics } from './services/metrics.ts'
import type { ServiceFigures } from './services/service-watch.ts'

export type MetricsSource = {
  readonly peers: () => Promise<readonly PeerStatus[]>
  readonly routes: () => Promise<RouteCounts>
  readonly loops: () => readonly {
    readonly loop: string
    readonly maxLagMs: number
    readonly heapUsedBytes: number
    readonly ageMs: number
  }[]
  readonly ready: () => boolean
  readonly problems: () => readonly Problem[]
  readonly turns: () => TurnFigures
  /** null: no rules were ever needed. */
  readonly netfilter: () => Promise<NetfilterStatus | null>
  /** null: no CNI is served, or its pods are not known yet. */
  readonly pods: () => PodFigures | null
  readonly writes: () => WriteFigures
  /** null: this agent enforces no policy. */
  readonly policy?: () => Promise<PolicySample | null>
  /** null: no range of services is set. */
  readonly services?: () => ServiceFigures | null
  readonly version: string
  readonly node: string
}

/** Turns of deriving configuration from the store. */
export type TurnFigures = { readonly applied: number; readonly failed: number; readonly lastSeconds: number }

export type AgentMetrics = {
  /** The exposition of this moment. Rejects when a thread does not answer. */
  readonly render: () => Promise<{ readonly contentType: string; readonly text: string }>
}

/** Counters live in the speaker; a scrape copies their present values. */
function copyCounter(counter: Counter, labels: Readonly<Record<string, string>>, value: number): void {
  if (value > 0) counter.inc({ ...labels }, value)
}

/** `IPPool` of `IPPool/pods`; what is no kind but a name, such as that of a file, is not made a label. */
function kindOf(subject: string): string {
  return /^[A-Za-z][A-Za-z ]{0,30}(?=\/|$)/.exec(subject)?.[0] ?? 'other'
}

export function createMetrics(source: MetricsSource): AgentMetrics {
  const registry = new Registry()
  registry.setDefaultLabels({ node: source.node })
  const registers = [registry]

  const gauge = (name: string, help: string, labelNames: string[] = []) => new Gauge({ name, help, labelNames, registers })
  const counter = (name: string, help: string, labelNames: string[] = []) => new Counter({ name, help, labelNames, registers })

  gauge('fibula_build_info', 'Always 1; the version is a label.', ['version']).set({ version: source.version }, 1)
  const ready = gauge('fibula_ready', '1 when inputs are listed, the dataplane is synced and the sessions of before are back.')
  const problems = gauge('fibula_problems', 'Problems shown by `fibula status`.')
  const problemKinds = gauge(
    'fibula_problems_by_kind',
    'The same by what they are about (IPPool, tunnel, sysctl, …) and severity; none of a kind: no sample.',
    ['kind', 'severity'],
  )
  const turns = counter('fibula_turns_total', 'Turns of deriving configuration from the store.', ['outcome'])
  const turnSeconds = gauge('fibula_turn_seconds', 'Duration of the last turn.')

  const peerUp = gauge('fibula_bgp_peer_up', '1 while the session is Established.', ['peer', 'type', 'peer_asn'])
  const peerState = gauge('fibula_bgp_peer_state', '1 for the state the session is in (RFC 4271 §8.2.2).', ['peer', 'state'])
  const peerUptime = gauge('fibula_bgp_peer_uptime_seconds', 'Seconds since the session was established; absent while it is down.', [
    'peer',
  ])
  const established = counter('fibula_bgp_peer_established_total', 'Times the session was established.', ['peer'])
  const flaps = counter('fibula_bgp_peer_flaps_total', 'Times an established session was lost.', ['peer'])
  const lastError = gauge(
    'fibula_bgp_peer_last_error_timestamp_seconds',
    'When the last error happened; the text is in `fibula bgp peers`.',
    ['peer'],
  )
  const messages = counter('fibula_bgp_messages_total', 'BGP messages by kind and direction.', ['peer', 'direction', 'kind'])
  const prefixes = gauge('fibula_bgp_prefixes', 'Prefixes of a peer: received, accepted by import, advertised to it, stale.', [
    'peer',
    'family',
    'kind',
  ])
  const malformed = counter('fibula_bgp_malformed_updates_total', 'UPDATE messages in which RFC 7606 had something to mend.', ['peer'])

  const ownAs = gauge(
    'fibula_bgp_own_as_rejected',
    'Routes of a peer dropped only for our own AS number, where nothing else carries the prefix plain.',
    ['peer'],
  )

  const processCpu = counter('process_cpu_seconds_total', 'CPU time of all threads, in seconds.')
  const processMemory = gauge('process_resident_memory_bytes', 'Resident memory.')
  gauge('process_start_time_seconds', 'When the process started, since the Unix epoch.').set(systemClock.wallMs() / 1000 - process.uptime())
  const processFiles = gauge('process_open_fds', 'Open file descriptors.')

  const routes = gauge(
    'fibula_routes',
    'Kernel routes: desired, inKernel, failed, shadowed by a foreign route, stale (awaiting their sweep).',
    ['state'],
  )
  const rules = gauge('fibula_netfilter_objects', 'Chains, rules, sets and set members that are ours.', ['kind'])
  const ruleEvents = counter('fibula_netfilter_events_total', 'Transactions that changed something, drifts put right, and failures.', [
    'event',
  ])
  const pods = podMetrics(registry, source.node)
  const writes = inputMetrics(registry)
  const services = serviceMetrics(registry)
  const policy = policyMetrics(registry)

  const lag = gauge('fibula_loop_max_lag_seconds', 'Longest delay of a thread’s event loop in its last second.', ['loop'])
  const age = gauge('fibula_loop_beat_age_seconds', 'Seconds since a thread last said that its loop turns.', ['loop'])
  const heap = gauge('fibula_loop_heap_used_bytes', 'JavaScript heap in use by a thread.', ['loop'])

  const readPeers = async (): Promise<void> => {
    const peers = await source.peers()
    for (const metric of [peerUp, peerState, peerUptime, established, flaps, lastError, messages, prefixes, malformed, ownAs])
      metric.reset()
    for (const peer of peers) {
      const { name } = peer
      peerUp.set({ peer: name, type: peer.type, peer_asn: String(peer.asn) }, peer.state === 'Established' ? 1 : 0)
      peerState.set({ peer: name, state: peer.state }, 1)
      if (peer.uptimeSeconds !== null) peerUptime.set({ peer: name }, peer.uptimeSeconds)
      copyCounter(established, { peer: name }, peer.established)
      copyCounter(flaps, { peer: name }, peer.flaps)
      copyCounter(malformed, { peer: name }, peer.malformedUpdates)
      ownAs.set({ peer: name }, peer.ownAsRejected?.count ?? 0)
      if (peer.lastErrorAt !== null) lastError.set({ peer: name }, Date.parse(peer.lastErrorAt) / 1000)
      for (const direction of ['sent', 'received'] as const) {
        for (const [kind, count] of Object.entries(peer.messages[direction])) copyCounter(messages, { peer: name, direction, kind }, count)
      }
      for (const [family, counts] of Object.entries(peer.prefixes)) {
        for (const [kind, count] of Object.entries(counts ?? {})) prefixes.set({ peer: name, family, kind }, count)
      }
    }
  }
  const readRest = async (): Promise<void> => {
    const { desired, inKernel, failed, shadowed, stale } = await source.routes()
    for (const [state, count] of Object.entries({ desired, inKernel, failed, shadowed, stale })) routes.set({ state }, count)
    for (const loop of source.loops()) {
      lag.set({ loop: loop.loop }, loop.maxLagMs / 1000)
      age.set({ loop: loop.loop }, loop.ageMs / 1000)
      heap.set({ loop: loop.loop }, loop.heapUsedBytes)
    }
    const { applied, failed: failures, lastSeconds } = source.turns()
    turns.reset()
    turns.inc({ outcome: 'applied' }, applied)
    turns.inc({ outcome: 'failed' }, failures)
    turnSeconds.set(lastSeconds)
    ready.set(source.ready() ? 1 : 0)
    const shown = source.problems()
    problems.set(shown.length)
    problemKinds.reset()
    for (const { subject, severity } of shown) problemKinds.inc({ kind: kindOf(subject), severity })
  }
  const readRules = async (): Promise<void> => {
    const status = await source.netfilter()
    rules.reset()
    ruleEvents.reset()
    if (status === null) return
    const { chains, rules: count, sets, members, transactions, drifts, failures } = status
    for (const [kind, value] of Object.entries({ chains, rules: count, sets, members })) rules.set({ kind }, value)
    for (const [event, value] of Object.entries({ transaction: transactions, drift: drifts, failure: failures })) {
      ruleEvents.inc({ event }, value)
    }
  }
  const readProcess = (): void => {
    const { user, system } = process.cpuUsage()
    processCpu.reset()
    processCpu.inc((user + system) / 1e6)
    processMemory.set(process.memoryUsage.rss())
    processFiles.set(readdirSync('/proc/self/fd').length)
  }
  return {
    async render() {
      await Promise.all([readPeers(), readRest(), readRules()])
      pods.read(source.pods())
      writes.read(source.writes())
      services.read(source.services?.() ?? null)
      policy.read((await source.policy?.()) ?? null)
      readProcess()
      return { contentType: registry.contentType, text: `${await registry.metrics()}${pods.histograms()}` }
    },
  }
}
