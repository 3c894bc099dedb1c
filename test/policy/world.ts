// A small cluster of two nodes made of manifests, for tests of single statements. Every question is asked of the reference evaluator and of
// the rules that both nodes would have, executed packet by packet; they must agree, in every family that both ends speak.
import { familyOf, formatIp, type IpAddress, type IpFamily, ip } from '../../src/net/index.ts'
import {
  clusterPolicyFromKubernetes,
  type Decision,
  type Flow,
  namespaceFromKubernetes,
  networkPolicyFromKubernetes,
  nodeFromKubernetes,
  type PolicyChange,
  PolicyEngine,
  PROTOCOL_NUMBER,
  podFromKubernetes,
  RulesetMirror,
  type StageVerdict,
} from '../../src/policy/index.ts'
import type { Resource } from '../../src/store/index.ts'
import { parseResource, salvageResource } from '../../src/store/validate.ts'
import { Interpreter } from './interpreter.ts'
import { wayOf } from './way.ts'

export type PodOptions = {
  readonly labels?: Readonly<Record<string, string>>
  readonly node?: 'n1' | 'n2'
  /** Its own of both families when left out. */
  readonly ips?: readonly string[]
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: string }[]
  readonly sidecarPorts?: readonly { readonly name?: string; readonly containerPort: number }[]
  readonly initPorts?: readonly { readonly name?: string; readonly containerPort: number }[]
  readonly hostNetwork?: boolean
  readonly phase?: string
  readonly uid?: string
  readonly createdAt?: string
  readonly isTerminating?: boolean
  /** False: the object is there, its interface is not. */
  readonly hasEndpoint?: boolean
}

export type Ask = Partial<Pick<Flow, 'state' | 'isTranslated' | 'icmpType'>>

const NODE_IPS = { n1: ['172.18.0.2', 'fd12::2'], n2: ['172.18.0.3', 'fd12::3'] } as const
const NODES = ['n1', 'n2'] as const

/** `TCP:80`, `UDP`, `ICMP`, `47`. */
function parsePort(text: string, family: IpFamily): Pick<Flow, 'protocol' | 'destinationPort' | 'icmpType'> {
  const [name = '', port] = text.split(':')
  if (name === 'ICMP') {
    return {
      protocol: family === 4 ? PROTOCOL_NUMBER.ICMP : PROTOCOL_NUMBER.ICMPv6,
      destinationPort: null,
      icmpType: family === 4 ? 8 : 128,
    }
  }
  if (name !== 'TCP' && name !== 'UDP' && name !== 'SCTP') return { protocol: Number(name), destinationPort: null }
  return { protocol: PROTOCOL_NUMBER[name], destinationPort: port === undefined ? null : Number(port) }
}

export class World {
  readonly #engines: ReadonlyMap<string, PolicyEngine>
  readonly #mirrors = new Map(NODES.map((node) => [node, new RulesetMirror()]))
  readonly #addresses = new Map<string, readonly IpAddress[]>(NODES.map((node) => [`node:${node}`, NODE_IPS[node].map(ip)]))
  #count = 0

  constructor(ownNodeEgress: 'allow' | 'police' = 'allow') {
    this.#engines = new Map(NODES.map((node) => [node, new PolicyEngine({ node, families: [4, 6], ownNodeEgress, missingPods: 'deny' })]))
    for (const node of NODES) this.node(node, {})
  }

  engine(node: 'n1' | 'n2' = 'n1'): PolicyEngine {
    const engine = this.#engines.get(node)
    if (engine === undefined) throw new Error(node)
    return engine
  }

  ruleset(node: 'n1' | 'n2' = 'n1') {
    const mirror = this.#mirrors.get(node)
    if (mirror === undefined) throw new Error(node)
    return mirror.ruleset()
  }

  change(change: PolicyChange, only: readonly ('n1' | 'n2')[] = NODES) {
    for (const node of only) this.#mirrors.get(node)?.apply(this.engine(node).update([change]).ruleset)
  }

  node(name: 'n1' | 'n2', labels: Readonly<Record<string, string>>, others: readonly string[] = []): this {
    const addresses = NODE_IPS[name].map((address) => ({ type: 'InternalIP', address }))
    const status = { addresses: [...addresses, { type: 'Hostname', address: name }] }
    const node = parse({ apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, status })
    if (node.kind !== 'Node') throw new Error('no Node')
    this.change({ kind: 'node', key: name, value: nodeFromKubernetes(node, others.map(ip)) })
    return this
  }

  namespace(name: string, labels: Readonly<Record<string, string>> = {}): this {
    const object = parse({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } })
    if (object.kind !== 'Namespace') throw new Error('no Namespace')
    this.change({ kind: 'namespace', key: name, value: namespaceFromKubernetes(object) })
    return this
  }

  /** `key` is `namespace/name`. */
  pod(key: string, options: PodOptions = {}): this {
    const [namespace = '', name = ''] = key.split('/')
    const {
      labels = {},
      node = 'n1',
      ports = [],
      sidecarPorts = [],
      initPorts = [],
      hostNetwork = false,
      phase = 'Running',
      uid = '',
    } = options
    const number = this.#addresses.has(key) ? 0 : ++this.#count
    const own = this.#addresses.get(key)?.map(formatIp) ?? [`10.0.0.${number}`, `fd00::${number.toString(16)}`]
    const ips = options.ips ?? (hostNetwork ? NODE_IPS[node] : own)
    const object = parse({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        namespace,
        name,
        labels,
        ...(uid === '' ? {} : { uid }),
        ...(options.createdAt === undefined ? {} : { creationTimestamp: options.createdAt }),
        ...(options.isTerminating === true ? { deletionTimestamp: '2001-01-01T00:00:00Z' } : {}),
      },
      spec: {
        nodeName: node,
        hostNetwork,
        containers: [{ name: 'main', ports }],
        initContainers: [
          { name: 'sidecar', restartPolicy: 'Always', ports: sidecarPorts },
          { name: 'init', ports: initPorts },
        ],
      },
      status: { phase, podIP: ips[0] ?? '', podIPs: ips.map((address) => ({ ip: address })) },
    })
    if (object.kind !== 'Pod') throw new Error('no Pod')
    this.#addresses.set(key, ips.map(ip))
    this.change({ kind: 'pod', key, value: podFromKubernetes(object) })
    if (!hostNetwork && options.hasEndpoint !== false && ips.length > 0) this.endpoint(key, node, uid === '' ? null : uid)
    return this
  }

  endpoint(key: string, node: 'n1' | 'n2' = 'n1', uid: string | null = null): this {
    const [namespace = '', name = ''] = key.split('/')
    const addresses = this.#addresses.get(key) ?? []
    const value = { interface: interfaceOf(key), pod: { namespace, name, uid }, addresses }
    this.change({ kind: 'endpoint', key: value.interface, value }, [node])
    return this
  }

  noEndpoint(key: string): this {
    this.change({ kind: 'endpoint', key: interfaceOf(key), value: null })
    return this
  }

  noPod(key: string): this {
    this.change({ kind: 'pod', key, value: null })
    return this.noEndpoint(key)
  }

  noNamespace(name: string): this {
    this.change({ kind: 'namespace', key: name, value: null })
    return this
  }

  /** `key` is `namespace/name`; the spec is as in a manifest. What does not parse is salvaged, as the store does. */
  policy(key: string, spec: unknown): this {
    const [namespace = '', name = ''] = key.split('/')
    const object = parse({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { namespace, name }, spec })
    if (object.kind !== 'NetworkPolicy') throw new Error('no NetworkPolicy')
    this.change({ kind: 'networkPolicy', key, value: networkPolicyFromKubernetes(object) })
    return this
  }

  noPolicy(key: string): this {
    this.change({ kind: 'networkPolicy', key, value: null })
    return this
  }

  clusterPolicy(name: string, spec: unknown): this {
    const object = parse({ apiVersion: 'policy.networking.k8s.io/v1alpha2', kind: 'ClusterNetworkPolicy', metadata: { name }, spec })
    if (object.kind !== 'ClusterNetworkPolicy') throw new Error('no ClusterNetworkPolicy')
    this.change({ kind: 'clusterPolicy', key: name, value: clusterPolicyFromKubernetes(object) })
    return this
  }

  noClusterPolicy(name: string): this {
    this.change({ kind: 'clusterPolicy', key: name, value: null })
    return this
  }

  /** Ends are `namespace/name`, `node:n1`, or an address; `port` is like `TCP:80`. */
  allows(from: string, to: string, port = 'TCP:80', ask: Ask = {}): boolean {
    const answers = this.#flows(from, to, port, ask).map((flow) => this.#isAllowed(flow))
    const [answer] = answers
    if (answer === undefined) throw new Error(`${from} and ${to} have no family in common`)
    if (answers.includes(!answer)) throw new Error(`the families differ: ${from} to ${to}, ${port}`)
    return answer
  }

  /** Of the first family that both ends speak. */
  why(from: string, to: string, port = 'TCP:80', ask: Ask = {}): { readonly [D in 'egress' | 'ingress']: Decision | null } {
    const stages = this.stages(from, to, port, ask)
    const of = (wanted: 'egress' | 'ingress') => stages.find(({ direction }) => direction === wanted)?.decision ?? null
    return { egress: of('egress'), ingress: of('ingress') }
  }

  stages(from: string, to: string, port = 'TCP:80', ask: Ask = {}): readonly StageVerdict[] {
    const [flow] = this.#flows(from, to, port, ask)
    if (flow === undefined) throw new Error(`${from} and ${to} have no family in common`)
    return this.engine().explain(flow).stages
  }

  #flows(from: string, to: string, port: string, ask: Ask): readonly Flow[] {
    return this.#resolve(from).flatMap((source) => {
      const destination = this.#resolve(to).find((address) => familyOf(address) === familyOf(source))
      return destination === undefined ? [] : [{ source, destination, ...parsePort(port, familyOf(source)), ...ask }]
    })
  }

  #resolve(end: string): readonly IpAddress[] {
    return this.#addresses.get(end) ?? [ip(end)]
  }

  #isAllowed(flow: Flow): boolean {
    const { allowed } = this.engine().explain(flow)
    const verdicts = NODES.map((node) => {
      const way = wayOf(flow, this.engine(node).state, node)
      const isSelf = flow.source === flow.destination && flow.isTranslated !== true
      if (isSelf) return null // no node sees it
      return way === null || new Interpreter(this.ruleset(node)).run(way.hook, way.packet).verdict === 'pass'
    })
    for (const [at, node] of NODES.entries()) {
      if (verdicts[at] !== null && this.engine(node).isAllowedHere(flow) !== verdicts[at])
        throw new Error(`rules of ${node} and evaluator differ: ${show(flow)}`)
    }
    if (allowed === verdicts.includes(false)) throw new Error(`rules and evaluator differ: ${show(flow)}`)
    return allowed
  }
}

export function interfaceOf(key: string): string {
  let hash = 5381
  for (const letter of key) hash = (hash * 33 + letter.charCodeAt(0)) % 0xfffffffff
  return `fib${hash.toString(16).padStart(11, '0')}`
}

/** As the store reads an object of a cluster. */
export function parse(value: unknown): Resource {
  const parsed = parseResource(value)
  const object = parsed.ok ? parsed.value : salvageResource(value)
  if (object === null) throw new Error(parsed.ok ? '' : parsed.error.map(({ message }) => message).join('; '))
  return object
}

function show(flow: Flow): string {
  return JSON.stringify({ ...flow, source: formatIp(flow.source), destination: formatIp(flow.destination) })
}
