// What the control socket answers (control-api.ts), put together from the threads' answers.
import { FAMILIES, type RouteLookup, type RoutePage, type RouteStatus } from '../bgp/index.ts'
import { formatPrefix, hostPrefix, type Prefix, parseIp, parsePrefix } from '../net/index.ts'
import type { Agent } from './agent.ts'
import { type Handler, RequestError, type Routes } from './control.ts'
import type { PodPolicyStatus, StopRequest } from './control-api.ts'
import type { Pods } from './pods/index.ts'
import { ExplainError, type Explanation } from './policy/index.ts'

/** Prefixes a thread looks up in one go, so that it is never away for long. */
const PAGE = 2_000

type Table = { readonly table: 'locRib' } | { readonly table: 'adjRibIn' | 'adjRibOut'; readonly peer: string }

/** `onStop` is asked to end the process; it returns at once. */
export function controlRoutes(agent: Agent, onStop: (request: StopRequest) => void): Routes {
  return {
    'GET /v1/status': () => agent.status(),
    'GET /v1/bgp/peers': () => agent.bgp.ask('peers', null),
    'GET /v1/bgp/routes': ({ query }) => bgpRoutes(agent, query),
    'GET /v1/routes': async ({ query }) => agent.dataplane.ask('routes', { prefix: prefixText(query.get('prefix')) }),
    'GET /v1/ipam': () => podsOf(agent).ipam(),
    'GET /v1/pods': () => podsOf(agent).pods(),
    'GET /v1/policy/explain': ({ query }) => explain(agent, query),
    'GET /v1/policy/pods': ({ query }) => policyPods(agent, query.get('pod')),
    'POST /v1/bgp/reset': resetPeer(agent),
    'POST /v1/drain': async ({ body }) => {
      const { draining } = (body ?? {}) as { readonly draining?: unknown }
      if (typeof draining !== 'boolean') throw new RequestError(400, 'a drain needs { "draining": true or false }')
      await agent.drain(draining)
      return {}
    },
    'POST /v1/stop': ({ body }) => {
      onStop(stopRequest(body))
      return {}
    },
  }
}

async function explain(agent: Agent, query: URLSearchParams): Promise<Explanation> {
  const [from, to, port] = [query.get('from'), query.get('to'), query.get('port')]
  if (from === null || to === null || port === null) throw new RequestError(400, 'an explanation needs from, to and port')
  return agent.policy.explain({ from, to, port }).catch((error: unknown) => {
    if (error instanceof ExplainError) throw new RequestError(error.code === 'USAGE' ? 400 : 404, error.message)
    throw error
  })
}

async function policyPods(agent: Agent, pod: string | null): Promise<readonly PodPolicyStatus[]> {
  const all = await agent.policy.pods()
  if (all === null) throw new RequestError(404, 'this agent enforces no policy: it serves no pods, or was started with --policy off')
  const shown = pod === null ? all : all.filter(({ namespace, name }) => name === pod || `${namespace}/${name}` === pod)
  if (pod !== null && shown.length === 0) throw new RequestError(404, `this node has no pod ${pod}`)
  return shown
}

function podsOf(agent: Agent): Pods {
  const { pods } = agent
  if (pods === null) throw new RequestError(404, 'this agent serves no pods: it was started without --cni-socket')
  return pods
}

/** Longer than any peer needs; a slip of the keyboard must not keep a node half drained for days. */
const MAX_DRAIN_SECONDS = 3_600
const DEFAULT_DRAIN_SECONDS = 10

function stopRequest(body: unknown): StopRequest {
  const { how, drainSeconds = DEFAULT_DRAIN_SECONDS } = (body ?? {}) as { readonly how?: unknown; readonly drainSeconds?: unknown }
  if (how !== 'silent' && how !== 'cease') throw new RequestError(400, 'a stop needs { "how": "silent" or "cease" }')
  if (typeof drainSeconds !== 'number' || !(drainSeconds >= 0 && drainSeconds <= MAX_DRAIN_SECONDS))
    throw new RequestError(400, `drainSeconds must be a number from 0 to ${MAX_DRAIN_SECONDS}`)
  return { how, drainSeconds }
}

async function bgpRoutes(agent: Agent, query: URLSearchParams): Promise<readonly RouteStatus[]> {
  const table = tableOf(query)
  const prefix = parsePrefixQuery(query.get('prefix'))
  const wanted = query.get('family')
  if (wanted !== null && !FAMILIES.some((family) => family === wanted))
    throw new RequestError(400, `family must be ${FAMILIES.join(' or ')}`)
  if ('peer' in table) await requirePeer(agent, table.peer)
  const routes: RouteStatus[] = []
  for (const family of FAMILIES) {
    if (wanted !== null && wanted !== family) continue
    if (prefix !== null && (typeof prefix.address === 'number') !== (family === 'IPv4Unicast')) continue
    for (let after: number | null = 0; after !== null; ) {
      const lookup: RouteLookup = { ...table, family, prefix, after, limit: PAGE }
      const page: RoutePage = await agent.bgp.ask('routes', lookup)
      routes.push(...page.routes.map((route) => withSources(agent, route)))
      after = page.next
    }
  }
  if (query.get('best') !== '1') return routes
  return routes
    .map((route) => ({ ...route, paths: route.paths.filter(({ best, multipath }) => best || multipath) }))
    .filter(({ paths }) => paths.length > 0)
}

function withSources(agent: Agent, { prefix, paths }: RouteStatus): RouteStatus {
  const sources = agent.sourcesOf(prefix)
  return { prefix, paths: paths.map((path) => (path.peer === 'local' ? { ...path, sources } : path)) }
}

function tableOf(query: URLSearchParams): Table {
  const received = query.get('in')
  const sent = query.get('out')
  if (received !== null && sent !== null) throw new RequestError(400, 'in and out exclude each other: ask for one table at a time')
  if (received !== null) return { table: 'adjRibIn', peer: received }
  return sent === null ? { table: 'locRib' } : { table: 'adjRibOut', peer: sent }
}

async function requirePeer(agent: Agent, peer: string): Promise<void> {
  const peers = await agent.bgp.ask('peers', null)
  if (peers.some(({ name }) => name === peer)) return
  const known = peers.map(({ name }) => name).join(', ')
  throw new RequestError(404, `no peer named ${JSON.stringify(peer)}; ${known === '' ? 'none is configured' : `there are: ${known}`}`)
}

/** A prefix, or an address for its host prefix. */
function parsePrefixQuery(text: string | null): Prefix | null {
  if (text === null || text === '') return null
  const address = parseIp(text)
  const prefix = address === null ? parsePrefix(text) : hostPrefix(address)
  if (prefix === null) throw new RequestError(400, `${JSON.stringify(text)} is not a prefix; write it like 10.0.0.0/8 or fd00::/48`)
  return prefix
}

function prefixText(text: string | null): string | null {
  const prefix = parsePrefixQuery(text)
  return prefix === null ? null : formatPrefix(prefix)
}

function resetPeer(agent: Agent): Handler {
  return async ({ body }) => {
    const { peer, kind } = (body ?? {}) as { readonly peer?: unknown; readonly kind?: unknown }
    if (typeof peer !== 'string' || (kind !== 'soft' && kind !== 'hard')) {
      throw new RequestError(400, 'a reset needs { "peer": NAME, "kind": "soft" or "hard" }')
    }
    await requirePeer(agent, peer)
    await agent.bgp.ask('reset', { peer, soft: kind === 'soft' })
    return {}
  }
}
