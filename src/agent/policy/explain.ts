// `policy explain`: who and where by name, the flows that means, and the verdict on each with the rule that decided. Reads what a store
// has now; sends no packet.
import { formatIp, type IpAddress, isIpv4, parseIp } from '../../net/index.ts'
import {
  clusterPolicyFromKubernetes,
  type Endpoint,
  evaluate,
  type Flow,
  namespaceFromKubernetes,
  networkPolicyFromKubernetes,
  nodeFromKubernetes,
  type PolicyPod,
  type PolicySettings,
  type PolicyState,
  PROTOCOL_NUMBER,
  podFromKubernetes,
  podKey,
  type Verdict,
  viewOf,
} from '../../policy/index.ts'
import { type ResourceOf, SERVICE_NAME_LABEL, type Store } from '../../store/index.ts'
import { ExplainError } from './explain-error.ts'
import { annotatedAddresses } from './inputs.ts'
import { passedInWords, reasonOf } from './words.ts'

export type ExplainQuery = {
  /** `[NAMESPACE/]POD`, `node/NAME` or an address. */
  readonly from: string
  /** The same, or `service/[NAMESPACE/]NAME`. */
  readonly to: string
  /** `80/TCP`, `53/UDP`, `http/TCP` (a container port of the destination, or a port of the service), `ICMP`. Without protocol: TCP. */
  readonly port: string
}

export type ExplainedStage = Verdict['stages'][number] & {
  /** The decision in words. */
  readonly reason: string
  /** Rules that passed it on to the next tier, in words. */
  readonly passedBy: readonly string[]
}

export type ExplainedFlow = {
  readonly source: string
  readonly destination: string
  readonly protocol: string
  readonly port: number | null
  readonly allowed: boolean
  /** `egress` of the source, then `ingress` of the destination, where these are pods. */
  readonly stages: readonly ExplainedStage[]
}

export type Explanation = ExplainQuery & {
  /** True if every flow is. */
  readonly allowed: boolean
  /** One for each pair of addresses of one family. */
  readonly flows: readonly ExplainedFlow[]
}

/** Whose eyes it is seen with: an agent knows its own pods' addresses better than their status does. */
export type Standpoint = Pick<PolicySettings, 'node' | 'missingPods' | 'ownNodeEgress'> & { readonly endpoints: readonly Endpoint[] }

export const OUTSIDE: Standpoint = { node: '', missingPods: 'unlabelled', ownNodeEgress: 'allow', endpoints: [] }

/** Throws ExplainError, and StoreError as the store does. */
export async function explainPolicy(store: Store, query: ExplainQuery, standpoint: Standpoint = OUTSIDE): Promise<Explanation> {
  const port = parsePort(query.port)
  const state = await readState(store, standpoint)
  const sources = partyOf(query.from, state)
  const targets = await targetsOf(query.to, port, state, store)
  const view = viewOf(state, standpoint)
  const flows = sources.flatMap((source) =>
    targets
      .filter(({ address }) => isIpv4(address) === isIpv4(source))
      .map((target): ExplainedFlow => {
        const protocol = port.protocol === 'ICMP' && !isIpv4(source) ? 'ICMPv6' : port.protocol
        const flow: Flow = {
          source,
          destination: target.address,
          protocol: PROTOCOL_NUMBER[protocol],
          destinationPort: target.port,
          ...(protocol === 'ICMP' ? { icmpType: 8 } : protocol === 'ICMPv6' ? { icmpType: 128 } : {}), // echo request
          isTranslated: target.isTranslated,
        }
        const { allowed, stages } = evaluate(view, flow)
        return {
          source: formatIp(source),
          destination: formatIp(target.address),
          protocol,
          port: target.port,
          allowed,
          stages: stages.map((stage) => ({ ...stage, reason: reasonOf(stage), passedBy: stage.passed.map(passedInWords) })),
        }
      }),
  )
  if (flows.length === 0) throw new ExplainError('NOT_FOUND', `${query.from} and ${query.to} have no addresses of one IP family`)
  return { ...query, allowed: flows.every(({ allowed }) => allowed), flows }
}

type PortQuery = { readonly protocol: 'TCP' | 'UDP' | 'SCTP' | 'ICMP'; readonly number: number | null; readonly name: string | null }

const PORT_FORMS = '80/TCP, 53/UDP, http/TCP or ICMP'

function parsePort(text: string): PortQuery {
  const [port = '', protocolText = 'TCP', ...rest] = text.split('/')
  if (/^icmp(v6)?$/i.test(port) && !text.includes('/')) return { protocol: 'ICMP', number: null, name: null }
  const protocol = (['TCP', 'UDP', 'SCTP'] as const).find((each) => each === protocolText.toUpperCase())
  if (protocol === undefined || rest.length > 0) throw new ExplainError('USAGE', `--port ${text} is not understood; write ${PORT_FORMS}`)
  if (/^[0-9]+$/.test(port)) {
    const number = Number(port)
    if (number < 1 || number > 65_535) throw new ExplainError('USAGE', `--port ${text}: ports are 1 to 65535`)
    return { protocol, number, name: null }
  }
  if (!/^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$/.test(port))
    throw new ExplainError('USAGE', `--port ${text} is not understood; write ${PORT_FORMS}`)
  return { protocol, number: null, name: port }
}

async function readState(store: Store, { endpoints }: Standpoint): Promise<PolicyState> {
  const [pods, namespaces, nodes, policies, clusterPolicies] = await Promise.all([
    store.list({ kind: 'Pod' }),
    store.list({ kind: 'Namespace' }),
    store.list({ kind: 'Node' }),
    store.list({ kind: 'NetworkPolicy' }),
    store.list({ kind: 'ClusterNetworkPolicy' }).catch((error: unknown) => {
      if (isNotServed(error)) return [] // its CRD is not installed: there are none
      throw error
    }),
  ])
  return {
    pods: byKey(pods.map(podFromKubernetes), podKey),
    namespaces: byKey(namespaces.map(namespaceFromKubernetes), ({ name }) => name),
    nodes: byKey(
      nodes.map((node) => nodeFromKubernetes(node, annotatedAddresses(node))),
      ({ name }) => name,
    ),
    networkPolicies: byKey(policies.map(networkPolicyFromKubernetes), podKey),
    clusterPolicies: byKey(clusterPolicies.map(clusterPolicyFromKubernetes), ({ name }) => name),
    endpoints: byKey(endpoints, (endpoint) => endpoint.interface),
  }
}

function byKey<T>(values: readonly T[], keyOf: (value: T) => string): ReadonlyMap<string, T> {
  return new Map(values.map((value) => [keyOf(value), value]))
}

function isNotServed(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'NOT_FOUND'
}

/** Addresses of a pod, a node, or the one that is written. */
function partyOf(text: string, state: PolicyState): readonly IpAddress[] {
  const address = parseIp(text)
  if (address !== null) return [address]
  const node = /^node\/(.+)$/.exec(text)?.[1]
  if (node !== undefined) {
    const known = state.nodes.get(node)
    if (known === undefined) throw new ExplainError('NOT_FOUND', `there is no Node ${JSON.stringify(node)}`)
    return withAddresses(`node ${node}`, known.addresses)
  }
  return withAddresses(`pod ${text}`, addressesOf(podNamed(text, state), state))
}

function podNamed(text: string, { pods }: PolicyState): PolicyPod {
  const parts = text.replace(/^pod\//, '').split('/')
  const [namespace = '', name = ''] = parts.length === 1 ? ['default', ...parts] : parts
  const pod = parts.length > 2 ? undefined : pods.get(`${namespace}/${name}`)
  if (pod !== undefined) return pod
  const [elsewhere] = [...pods.values()].filter((each) => each.name === name)
  const hint = elsewhere === undefined ? 'write NAMESPACE/POD, node/NAME or an address' : `is ${podKey(elsewhere)} meant?`
  throw new ExplainError('NOT_FOUND', `there is no pod ${JSON.stringify(`${namespace}/${name}`)}: ${hint}`)
}

/** What the agent gave it, if it is one of its own. */
function addressesOf(pod: PolicyPod, { endpoints }: PolicyState): readonly IpAddress[] {
  const own = [...endpoints.values()].find((each) => each.pod?.namespace === pod.namespace && each.pod.name === pod.name)
  return own?.addresses ?? pod.addresses
}

function withAddresses(who: string, addresses: readonly IpAddress[]): readonly IpAddress[] {
  if (addresses.length === 0) throw new ExplainError('NOT_FOUND', `${who} has no address yet`)
  return addresses
}

type Target = { readonly address: IpAddress; readonly port: number | null; readonly isTranslated: boolean }

async function targetsOf(text: string, port: PortQuery, state: PolicyState, store: Store): Promise<readonly Target[]> {
  const service = /^(?:service|svc)\/(.+)$/.exec(text)?.[1]
  if (service !== undefined) return backendsOf(service, port, store)
  if (port.name === null) return partyOf(text, state).map((address) => ({ address, port: port.number, isTranslated: false }))
  const holder = parseIp(text) === null && !text.startsWith('node/') ? podNamed(text, state) : null
  const named = holder?.ports.find(({ name, protocol }) => name === port.name && protocol === port.protocol)
  if (named === undefined)
    throw new ExplainError('NOT_FOUND', `${text} has no container port named ${port.name}/${port.protocol}; write its number`)
  return partyOf(text, state).map((address) => ({ address, port: named.port, isTranslated: false }))
}

/** The addresses and ports that a service's address is translated to. */
async function backendsOf(text: string, port: PortQuery, store: Store): Promise<readonly Target[]> {
  const parts = text.split('/')
  const [namespace = '', name = ''] = parts.length === 1 ? ['default', ...parts] : parts
  const service = await store.get('Service', { namespace, name })
  if (service === null) throw new ExplainError('NOT_FOUND', `there is no Service ${JSON.stringify(`${namespace}/${name}`)}`)
  const wanted = servicePort(service, port)
  const slices = await store.list({ kind: 'EndpointSlice', namespace, labels: { [SERVICE_NAME_LABEL]: name } })
  const targets = slices.flatMap(({ endpoints, ports }) => {
    const target = ports.find((each) => (each.name ?? '') === (wanted.name ?? '') && each.protocol === port.protocol)?.port
    if (target === undefined) return []
    return endpoints
      .filter(({ conditions }) => conditions.ready !== false)
      .flatMap(({ addresses }) => addresses.flatMap((each) => parseIp(each) ?? []))
      .map((address): Target => ({ address, port: target, isTranslated: true }))
  })
  if (targets.length === 0)
    throw new ExplainError('NOT_FOUND', `Service ${namespace}/${name} has no ready endpoint for port ${wanted.port}/${port.protocol}`)
  return targets
}

function servicePort(
  { metadata, spec }: ResourceOf<'Service'>,
  { number, name, protocol }: PortQuery,
): ResourceOf<'Service'>['spec']['ports'][number] {
  const found = spec.ports.find((each) => each.protocol === protocol && (name === null ? each.port === number : each.name === name))
  if (found !== undefined) return found
  const known = spec.ports.map((each) => `${each.port}/${each.protocol}`).join(', ')
  throw new ExplainError(
    'NOT_FOUND',
    `Service ${metadata.namespace}/${metadata.name} has no port ${name ?? number}/${protocol}; it has ${known}`,
  )
}
