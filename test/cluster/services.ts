// Routes of services, with whatever kube-proxy translates: a client behind the router reaches a cluster IP over every node, and an
// address with externalTrafficPolicy: Local over the nodes that have an endpoint, as itself; and what nobody translates is dropped by the
// first node instead of coming back to the router.
import { type Cluster, KUBECTL_PATIENCE, type Node, OUTSIDE, PATIENCE_FLAG, PATIENCE_MS, SERVICE_RANGE } from '../support/cluster/index.ts'
import { holds, until, untilEqual } from '../support/poll.ts'
import { CheckFailed } from './report.ts'

const NAMESPACE = 'services'
const VIP = '203.0.113.10'
const RANGES = {
  serviceClusterIPs: [{ cidr: SERVICE_RANGE.ipv4 }, { cidr: SERVICE_RANGE.ipv6 }],
  serviceLoadBalancerIPs: [{ cidr: '203.0.113.0/24' }],
}
/** Nodes with an endpoint of the service `local`. */
const LOCAL = ['node-2', 'node-3']
/** No service has them: the first two as addresses, the third because of the port. */
const UNTRANSLATED = ['10.96.200.200', 'fd00:10:96::c8c8', VIP] as const
const UNUSED_PORT = 9_999
const DATAGRAMS = 20
/** Every node is entered by one of so many connections, but for one run in many millions. */
const CONNECTIONS = 60

type Service = { readonly spec: { readonly clusterIPs: readonly string[] } }
type Pods = { readonly items: readonly { readonly metadata: { readonly name: string }; readonly spec: { readonly nodeName: string } }[] }
type KernelRoute = { readonly gateway?: string; readonly nexthops?: readonly { readonly gateway: string }[] }

/** Runs the whole in a namespace of its own and takes it away again. Returns figures. */
export async function serviceRoutes(cluster: Cluster): Promise<string> {
  await setRanges(cluster, RANGES)
  await startServices(cluster)
  try {
    const { clusterIPs } = (await cluster.get<Service>(['service', 'everywhere', '--namespace', NAMESPACE])).spec
    const all = cluster.nodes.map(({ name }) => name)
    for (const range of [SERVICE_RANGE.ipv4, SERVICE_RANGE.ipv6]) await routedOver(cluster, range, all)
    await routedOver(cluster, VIP, LOCAL)
    for (const address of clusterIPs) await reached(cluster, address, all)
    await reached(cluster, VIP, LOCAL)
    await seesTheClient(cluster)
    const guarded: string[] = []
    for (const address of UNTRANSLATED) guarded.push(`${address}: ${await dropped(cluster, address)} by our guard`)
    return `${clusterIPs.length} cluster IPs over ${all.length} nodes, one address over ${LOCAL.length}, ${CONNECTIONS} connections each; dropped of ${DATAGRAMS}: ${guarded.join(', ')}`
  } finally {
    await cluster.kubectl(['delete', 'namespace', NAMESPACE, PATIENCE_FLAG], KUBECTL_PATIENCE)
    await setRanges(cluster, { serviceClusterIPs: null, serviceLoadBalancerIPs: null })
    for (const range of [SERVICE_RANGE.ipv4, SERVICE_RANGE.ipv6, VIP]) await routedOver(cluster, range, [])
  }
}

async function setRanges(cluster: Cluster, spec: Readonly<Record<string, unknown>>): Promise<void> {
  await cluster.kubectl(['patch', 'bgpconfiguration', 'default', '--type', 'merge', '--patch', JSON.stringify({ spec })])
}

/** `everywhere`, with an endpoint on each node, and `local`, with endpoints on some and an address that load balancers would give. */
async function startServices(cluster: Cluster): Promise<void> {
  const server = (name: string, affinity: object): object => {
    const labels = { app: name }
    const container = {
      name: 'server',
      image: cluster.upstream.agnhost,
      imagePullPolicy: 'Never',
      args: ['netexec', '--http-port=8080'],
      readinessProbe: { httpGet: { path: '/hostname', port: 8080 }, periodSeconds: 1, timeoutSeconds: 5 },
    }
    return {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name, namespace: NAMESPACE },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { affinity, terminationGracePeriodSeconds: 1, containers: [container] } },
      },
    }
  }
  const service = (name: string, spec: object): object => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: NAMESPACE },
    spec: { selector: { app: name }, ports: [{ port: 80, targetPort: 8080 }], ...spec },
  })
  const onlyLocal = [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: LOCAL }] }]
  await cluster.apply([
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } },
    server('everywhere', {}),
    server('local', { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: onlyLocal } } }),
    service('everywhere', { ipFamilyPolicy: 'RequireDualStack' }),
    service('local', { type: 'LoadBalancer', externalTrafficPolicy: 'Local', allocateLoadBalancerNodePorts: false }),
  ])
  const status = JSON.stringify({ status: { loadBalancer: { ingress: [{ ip: VIP }] } } })
  const patch = ['patch', 'service', 'local', '--namespace', NAMESPACE, '--subresource=status', '--type=merge', '--patch', status]
  await cluster.kubectl(patch)
  for (const name of ['everywhere', 'local'])
    await cluster.kubectl(['rollout', 'status', `daemonset/${name}`, '--namespace', NAMESPACE, PATIENCE_FLAG], KUBECTL_PATIENCE)
}

/** Waits until the router's kernel has exactly these nodes as next hops of an address or a range. */
async function routedOver(cluster: Cluster, destination: string, nodes: readonly string[]): Promise<void> {
  const family = familyOf(destination)
  const wanted = nodes.map((name) => cluster.node(name).spec.address[family]).sort()
  await untilEqual(
    `the router leads to ${destination} over ${nodes.join(', ') || 'nobody'}`,
    wanted,
    async () => {
      const shown = await cluster.fabric.net.ip('tor', `-json ${family === 'ipv6' ? '-6' : '-4'} route show exact ${destination}`)
      const routes = JSON.parse(shown === '' ? '[]' : shown) as readonly KernelRoute[]
      return routes
        .flatMap(({ gateway, nexthops = [] }) => [...(gateway === undefined ? [] : [gateway]), ...nexthops.map((each) => each.gateway)])
        .sort()
    },
    { deadlineMs: PATIENCE_MS, everyMs: 250 },
  )
}

/** Connects again and again from behind the router: each connection is answered, and each of these nodes (and no other) took some in. */
async function reached(cluster: Cluster, address: string, nodes: readonly string[]): Promise<void> {
  const family = familyOf(address)
  const entries = ['-f', family, '-p', 'tcp', '--orig-src', OUTSIDE[family], '--orig-dst', address]
  // kube-proxy may still be about to write its rules on some of the nodes: so many in a row meet every node.
  await until(`${address} answers by every way`, () => connect(cluster, address, CONNECTIONS), { deadlineMs: PATIENCE_MS, everyMs: 250 })
  for (const node of cluster.nodes) await node.exec(['conntrack', '-D', ...entries]).catch(() => {}) // it fails if there is none
  await connect(cluster, address, CONNECTIONS)
  const entered: string[] = []
  for (const node of cluster.nodes) if ((await node.exec(['conntrack', '-L', ...entries])).stdout.trim() !== '') entered.push(node.name)
  if (entered.join() !== nodes.join()) throw new CheckFailed(`${address} was reached over ${entered.join(', ')}, not ${nodes.join(', ')}`)
}

/** Rejects if one of the connections, one after the other, gets no answer. Resolves to the answers. */
async function connect(cluster: Cluster, address: string, times: number, what = 'hostname'): Promise<readonly string[]> {
  const url = `http://${address.includes(':') ? `[${address}]` : address}/${what}`
  const loop = `for each in $(seq ${times}); do curl --globoff --silent --show-error --fail --max-time 20 '${url}'; echo; done`
  const { stdout } = await cluster.fabric.net.exec('outside', 'sh', ['-eu', '-c', loop], { timeoutMs: PATIENCE_MS })
  return stdout.trim().split('\n')
}

/** With `Local` an endpoint of each of the nodes answers in turn, and sees who asks. */
async function seesTheClient(cluster: Cluster): Promise<void> {
  const askers = (await connect(cluster, VIP, 10, 'clientip')).map((each) => each.split(':')[0])
  if (!askers.every((each) => each === OUTSIDE.ipv4)) throw new CheckFailed(`endpoints see ${askers.join(', ')}, not the client`)
  const pods = await cluster.get<Pods>(['pods', '--namespace', NAMESPACE, '--selector', 'app=local'])
  const answers = new Set(await connect(cluster, VIP, CONNECTIONS))
  const silent = pods.items.filter(({ metadata }) => !answers.has(metadata.name)).map(({ spec }) => spec.nodeName)
  if (silent.length > 0 || answers.size !== LOCAL.length) throw new CheckFailed(`no endpoint answers on ${silent.join(', ')}`)
}

/** Datagrams for what nobody translates: the router passes each on once, and none comes back. Returns how many our guard counted. */
async function dropped(cluster: Cluster, address: string): Promise<number> {
  const isIpv6 = address.includes(':')
  const tool = isIpv6 ? 'ip6tables' : 'iptables'
  const onTor = async (...args: readonly string[]): Promise<string> => (await cluster.fabric.net.exec('tor', tool, ['-w', ...args])).stdout
  const match = ['-d', address, '-p', 'udp', '--dport', String(UNUSED_PORT)]
  const out = { table: 'mangle', chain: 'POSTROUTING', match: ['-o', 'rack+', ...match] }
  const back = { table: 'raw', chain: 'PREROUTING', match: ['-i', 'rack+', ...match] }
  const count = async ({ table, chain }: typeof out): Promise<number> =>
    packetsOf((await onTor('-t', table, '-nvxL', chain)).split('\n').find((line) => line.includes(address)))
  for (const rule of [out, back]) await onTor('-t', rule.table, '-A', rule.chain, ...rule.match)
  try {
    const before = await guarded(cluster.nodes, tool)
    const opened = `socket.socket(socket.${isIpv6 ? 'AF_INET6' : 'AF_INET'}, socket.SOCK_DGRAM)`
    const program = `import socket; s = ${opened}; [s.sendto(b"x", ("${address}", ${UNUSED_PORT})) for _ in range(${DATAGRAMS})]`
    await cluster.fabric.net.exec('outside', 'python3', ['-c', program])
    await until('the router has passed them on', async () => (await count(out)) >= DATAGRAMS)
    const dropped = async (): Promise<number> => (await guarded(cluster.nodes, tool)) - before
    if (address === VIP) await until('our guard has dropped them', async () => (await dropped()) >= DATAGRAMS)
    await holds('nothing comes back to the router', 1_000, async () => (await count(back)) === 0)
    const passed = await count(out)
    if (passed !== DATAGRAMS) throw new CheckFailed(`the router passed on ${passed} datagrams for ${address}, not ${DATAGRAMS}`)
    const counted = await dropped()
    // kube-proxy in nftables mode drops what is for a cluster IP of no service by itself; of other addresses it knows nothing.
    if (address === VIP && counted !== DATAGRAMS)
      throw new CheckFailed(`our guard dropped ${counted} datagrams for ${VIP}, not ${DATAGRAMS}`)
    return counted
  } finally {
    for (const rule of [out, back]) await onTor('-t', rule.table, '-D', rule.chain, ...rule.match)
  }
}

/** What chain fib-services has dropped on all nodes. */
async function guarded(nodes: readonly Node[], tool: string): Promise<number> {
  const lists = await Promise.all(nodes.map((node) => node.exec([tool, '-w', '-nvxL', 'fib-services'])))
  return lists.reduce((sum, { stdout }) => sum + packetsOf(stdout.split('\n').find((line) => line.includes('DROP'))), 0)
}

function packetsOf(line: string | undefined): number {
  if (line === undefined) throw new Error('no rule counts')
  return Number(line.trim().split(/\s+/)[0])
}

function familyOf(text: string): 'ipv4' | 'ipv6' {
  return text.includes(':') ? 'ipv6' : 'ipv4'
}
