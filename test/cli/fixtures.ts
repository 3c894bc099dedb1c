// Answers of an agent as the tests of the command line need them, and a control server that gives them.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AgentStatus, KernelRouteStatus } from '../../src/agent/index.ts'
import type { PathStatus, PeerStatus } from '../../src/bgp/index.ts'

const NO_MESSAGES = { open: 1, update: 2, notification: 0, keepalive: 3, routeRefresh: 0 }

export function peerStatus(over: Partial<PeerStatus> = {}): PeerStatus {
  return {
    name: 'tor-rack-a',
    description: '',
    address: '10.0.0.1',
    interface: null,
    port: 179,
    localAddress: '10.0.0.11',
    type: 'eBGP',
    asn: 65001,
    localAsn: 64512,
    state: 'Established',
    adminShutdown: false,
    since: '2030-01-01T00:00:00.000Z',
    uptimeSeconds: 90,
    established: 1,
    flaps: 0,
    lastError: null,
    lastErrorAt: null,
    remoteRouterId: '10.0.0.1',
    holdTimeSeconds: 9,
    keepaliveTimeSeconds: 3,
    malformedUpdates: 0,
    ownAsRejected: null,
    gracefulRestart: 'none',
    endOfRib: { received: ['IPv4Unicast'], sent: [] },
    capabilities: {
      offered: ['multiprotocol IPv4Unicast', 'graceful restart 120 s'],
      received: ['multiprotocol IPv4Unicast', 'route refresh'],
      negotiated: ['multiprotocol IPv4Unicast'],
    },
    prefixes: { IPv4Unicast: { received: 5, accepted: 4, advertised: 1, stale: 0 } },
    messages: { sent: NO_MESSAGES, received: NO_MESSAGES },
    ...over,
  }
}

export function pathStatus(over: Partial<PathStatus> = {}): PathStatus {
  return {
    peer: 'tor-rack-a',
    pathId: null,
    best: true,
    multipath: true,
    reason: 'only path',
    usable: true,
    encapsulated: false,
    stale: false,
    origin: 'IGP',
    asPath: '65001 65002',
    nextHop: '10.0.0.1',
    med: null,
    localPref: null,
    communities: [],
    largeCommunities: [],
    extendedCommunities: [],
    originatorId: null,
    clusterList: [],
    onlyToCustomer: null,
    atomicAggregate: false,
    aggregator: null,
    unknownAttributes: [],
    ...over,
  }
}

export function agentStatus(over: Partial<AgentStatus> = {}): AgentStatus {
  return {
    node: 'node-1',
    version: '0.1.0',
    pid: 1,
    startedAt: '2030-01-01T00:00:00.000Z',
    live: true,
    ready: true,
    notReadyBecause: [],
    mode: 'Host',
    asn: 64512,
    routerId: '10.0.0.11',
    addresses: ['10.0.0.11'],
    sessions: { configured: 1, established: 1 },
    originated: ['10.244.1.0/26'],
    routes: { desired: 3, inKernel: 3, failed: 0, installRoutes: true },
    pods: null,
    draining: false,
    problems: [],
    ...over,
  }
}

export function kernelRoute(over: Partial<KernelRouteStatus> = {}): KernelRouteStatus {
  return {
    prefix: '10.244.2.0/26',
    state: 'inSync',
    kind: 'unicast',
    detail: null,
    nextHops: [{ gateway: '10.0.0.1', interface: 'eth0', onlink: false }],
    ...over,
  }
}

export type Answer = { readonly status?: number; readonly body: unknown; readonly raw?: string }

/** A control server in a run directory of its own. `asked` collects `METHOD path body`. */
export async function fakeAgent(answers: Readonly<Record<string, Answer>>) {
  const runDir = mkdtempSync(join(tmpdir(), 'fibula-cli-'))
  const asked: string[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk
    })
    request.on('end', () => {
      asked.push(`${request.method} ${request.url}${body === '' ? '' : ` ${body}`}`)
      const answer = answers[new URL(request.url ?? '/', 'http://agent').pathname] ?? { status: 404, body: { error: 'no such request' } }
      response.writeHead(answer.status ?? 200, { 'content-type': 'application/json' }).end(answer.raw ?? JSON.stringify(answer.body))
    })
  })
  await new Promise<void>((resolve) => server.listen(join(runDir, 'agent.sock'), resolve))
  return {
    runDir,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      rmSync(runDir, { recursive: true, force: true })
    },
  }
}
