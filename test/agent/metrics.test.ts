import { expect, test } from '@jest/globals'
import { createMetrics, type MetricsSource } from '../../src/agent/metrics.ts'
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
  ownAsRejected: null,
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
    problems: () => 2,
    turns: () => ({ applied: 3, failed: 1, lastSeconds: 0.002 }),
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
    'fibula_routes{state="inKernel",node="n1"} 9',
    'fibula_loop_max_lag_seconds{loop="bgp",node="n1"} 0.012',
    'fibula_turns_total{outcome="failed",node="n1"} 1',
    'fibula_ready{node="n1"} 1',
    'fibula_problems{node="n1"} 2',
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
