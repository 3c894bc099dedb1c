import { expect, test } from '@jest/globals'
import { createMetrics, type MetricsSource } from '../../src/agent/metrics.ts'
import { RequestFigures } from '../../src/agent/pods/figures.ts'
import type { PeerStatus } from '../../src/bgp/index.ts'

const COUNTS = { open: 1, update: 7, notification: 0, keepalive: 3, routeRefresh: 0 }
const PEER: PeerStatus = {
  name: 'tor-a',
  description: '',
  address: '10.0.0.1',
  interface: null,
  port: 179,
  localAddress: '10.0.0.2',
  type: 'eBGP',
  asn: 65001,
  localAsn: 64512,
  state: 'Established',
  adminShutdown: false,
  since: '2026-01-01T00:00:00.000Z',
  uptimeSeconds: 5,
  established: 2,
  flaps: 1,
  lastError: 'hold timer expired',
  lastErrorAt: '2026-01-01T00:00:10.000Z',
  remoteRouterId: '10.0.0.1',
  holdTimeSeconds: 90,
  keepaliveTimeSeconds: 30,
  capabilities: { offered: [], received: [], negotiated: [] },
  prefixes: { IPv4Unicast: { received: 4, accepted: 3, advertised: 2, stale: 1 } },
  messages: { sent: COUNTS, received: { ...COUNTS, update: 9 } },
  malformedUpdates: 0,
  ownAsRejected: { count: 2, example: '10.244.1.0/26' },
  gracefulRestart: 'none',
  endOfRib: { received: [], sent: [] },
}

function source(changes: Partial<MetricsSource> = {}): MetricsSource {
  return {
    version: '1.2.3',
    node: 'n1',
    peers: () => Promise.resolve([PEER]),
    routes: () => Promise.resolve({ desired: 10, inKernel: 9, failed: 1, shadowed: 0, stale: 0, installRoutes: true }),
    loops: () => [{ loop: 'bgp', maxLagMs: 12, heapUsedBytes: 1000, ageMs: 400 }],
    ready: () => true,
    problems: () => [
      { severity: 'error', subject: 'tunnel/fibipip', message: 'cannot be made' },
      { severity: 'warning', subject: '/etc/fibula/a.yaml', message: 'not valid' },
    ],
    turns: () => ({ applied: 3, failed: 1, lastSeconds: 0.002 }),
    netfilter: () => Promise.resolve(null),
    pods: () => null,
    writes: () => ({
      report: { written: 4, failed: 1 },
      nodeWrites: 2,
      cache: { written: 3, failed: 0, octets: 1_234 },
      isFromCache: false,
    }),
    ...changes,
  }
}

test('what the speaker and the kernel say is what a scrape shows, and a second scrape does not add it up again', async () => {
  const metrics = createMetrics(source())
  await metrics.render()
  const { text, contentType } = await metrics.render()
  expect(contentType).toContain('text/plain')
  for (const line of [
    'fibula_build_info{version="1.2.3",node="n1"} 1',
    'fibula_bgp_peer_up{peer="tor-a",type="eBGP",peer_asn="65001",node="n1"} 1',
    'fibula_bgp_peer_state{peer="tor-a",state="Established",node="n1"} 1',
    'fibula_bgp_peer_flaps_total{peer="tor-a",node="n1"} 1',
    'fibula_bgp_messages_total{peer="tor-a",direction="received",kind="update",node="n1"} 9',
    'fibula_bgp_prefixes{peer="tor-a",family="IPv4Unicast",kind="stale",node="n1"} 1',
    'fibula_bgp_peer_last_error_timestamp_seconds{peer="tor-a",node="n1"} 1767225610',
    'fibula_bgp_own_as_rejected{peer="tor-a",node="n1"} 2',
    'fibula_routes{state="inKernel",node="n1"} 9',
    'fibula_loop_max_lag_seconds{loop="bgp",node="n1"} 0.012',
    'fibula_turns_total{outcome="failed",node="n1"} 1',
    'fibula_ready{node="n1"} 1',
    'fibula_problems{node="n1"} 2',
    'fibula_problems_by_kind{kind="tunnel",severity="error",node="n1"} 1',
    'fibula_problems_by_kind{kind="other",severity="warning",node="n1"} 1',
    'fibula_inputs_from_cache{node="n1"} 0',
    'fibula_status_writes_total{kind="NodeNetwork",outcome="failed",node="n1"} 1',
    'fibula_status_writes_total{kind="Node",outcome="written",node="n1"} 2',
    'fibula_input_cache_writes_total{outcome="written",node="n1"} 3',
    'fibula_input_cache_bytes{node="n1"} 1234',
  ]) {
    expect(text.split('\n')).toContain(line)
  }
})

test('a peer that is gone leaves no metric behind', async () => {
  let peers: readonly PeerStatus[] = [PEER]
  const metrics = createMetrics(source({ peers: () => Promise.resolve(peers) }))
  expect((await metrics.render()).text).toContain('peer="tor-a"')
  peers = []
  expect((await metrics.render()).text).not.toContain('peer="tor-a"')
})

test('the process itself is measured, and its CPU time is not added up by scrapes', async () => {
  const metrics = createMetrics(source())
  const sample = (text: string, name: string): number => Number(new RegExp(`^${name}{node="n1"} (.*)$`, 'm').exec(text)?.[1])
  await metrics.render()
  const { text } = await metrics.render()
  const { user, system } = process.cpuUsage()
  expect(sample(text, 'process_cpu_seconds_total')).toBeGreaterThan(0)
  expect(sample(text, 'process_cpu_seconds_total')).toBeLessThanOrEqual((user + system) / 1e6)
  expect(sample(text, 'process_resident_memory_bytes')).toBeGreaterThan(10e6)
  expect(sample(text, 'process_open_fds')).toBeGreaterThan(2)
  expect(sample(text, 'process_start_time_seconds')).toBeGreaterThan(1e9)
})

test('pods, addresses and requests of the runtime are counted; nothing of them is shown where none are served', async () => {
  let pods: ReturnType<MetricsSource['pods']> = null
  const metrics = createMetrics(source({ pods: () => pods }))
  expect((await metrics.render()).text).not.toMatch(/^fibula_(cni|ipam_blocks).*\d$/m)
  const requests = new RequestFigures()
  requests.record({ command: 'ADD', code: null, durationMs: 4 })
  requests.record({ command: 'ADD', code: null, durationMs: 90_000 })
  requests.record({ command: 'ADD', code: 11, durationMs: 3 })
  const pool = { cidr: '10.244.0.0/16', blockSize: 26, selectsNode: true, disabled: false, forWorkloads: true } as const
  const block = {
    cidr: '10.244.0.0/26',
    pool: 'pods',
    state: 'Confirmed',
    size: 64,
    allocated: 2,
    reserved: 8,
    lent: 1,
    cooling: 3,
  } as const
  pods = {
    pods: [{ state: 'attached' }, { state: 'attached' }, { state: 'released' }],
    ipam: {
      ready: true,
      pools: [{ ...pool, name: 'pods', assignmentMode: 'Automatic', reserve: 8 }],
      blocks: [{ ...block, free: 51 }],
      borrowed: [{ address: '10.244.1.7', block: '10.244.1.0/26', owner: 'n2', handle: 'h' }],
      unwritten: 1,
    },
    cni: requests.figures,
  }
  await metrics.render()
  const { text } = await metrics.render()
  for (const line of [
    'fibula_pods{state="attached",node="n1"} 2',
    'fibula_ipam_ready{node="n1"} 1',
    'fibula_ipam_blocks{pool="pods",state="Confirmed",node="n1"} 1',
    'fibula_ipam_addresses{pool="pods",kind="allocated",node="n1"} 2',
    'fibula_ipam_addresses{pool="pods",kind="free",node="n1"} 51',
    'fibula_ipam_reserve{pool="pods",node="n1"} 8',
    'fibula_ipam_borrowed_addresses{node="n1"} 1',
    'fibula_cni_requests_total{command="ADD",outcome="ok",node="n1"} 2',
    'fibula_cni_requests_total{command="ADD",outcome="11",node="n1"} 1',
    '# TYPE fibula_cni_request_duration_seconds histogram',
    'fibula_cni_request_duration_seconds_bucket{le="0.002",command="ADD",node="n1"} 0',
    'fibula_cni_request_duration_seconds_bucket{le="0.005",command="ADD",node="n1"} 2',
    'fibula_cni_request_duration_seconds_bucket{le="+Inf",command="ADD",node="n1"} 3',
    'fibula_cni_request_duration_seconds_count{command="ADD",node="n1"} 3',
  ]) {
    expect(text.split('\n')).toContain(line)
  }
})

test('what netfilter holds and had to put right is shown', async () => {
  const status = {
    variant: 'nft',
    hasSynced: true,
    chains: 4,
    rules: 9,
    sets: 2,
    members: 30,
    transactions: 5,
    drifts: 1,
    failures: 0,
  } as const
  const { text } = await createMetrics(source({ netfilter: () => Promise.resolve(status) })).render()
  expect(text).toContain('fibula_netfilter_objects{kind="members",node="n1"} 30')
  expect(text).toContain('fibula_netfilter_events_total{event="drift",node="n1"} 1')
})
