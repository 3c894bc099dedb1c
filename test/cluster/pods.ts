// What is done to pods and nodes: many at once, again and again; nodes that are rebooted, drained and deleted; and how soon pods are ready.
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { bridgeConflist } from '../support/cluster/bridge.ts'
import { type Cluster, KUBECTL_PATIENCE, type KubeProxyMode, PATIENCE_FLAG, PATIENCE_MS } from '../support/cluster/index.ts'
import { until } from '../support/poll.ts'
import { toolPath } from '../support/tools/index.ts'
import { installed } from './install.ts'
import { CheckFailed } from './report.ts'
import { figures, PROBES, underTraffic } from './traffic.ts'

const SCALE = 'scale'
const ROOT = path.resolve(import.meta.dirname, '../..')

type Blocks = {
  readonly items: readonly {
    readonly metadata: { readonly name: string }
    readonly spec: { readonly cidr: string; readonly node?: string }
  }[]
}

/** `kubectl fibula ipam check`: throws with what it says if an address is leaked. */
export async function ipamCheck(cluster: Cluster): Promise<void> {
  const PATH = `${path.join(ROOT, 'bin')}:${path.dirname(toolPath('kubectl'))}:${process.env['PATH']}`
  let last = ''
  await until(
    'kubectl fibula ipam check finds nothing',
    async () => {
      const run = await cluster.run([toolPath('kubectl'), 'fibula', 'ipam', 'check'], { env: { PATH } }).catch((cause: Error) => cause)
      last = run instanceof Error ? `${run.message}\n${'stdout' in run ? String(run.stdout) : ''}` : run.stdout
      return !(run instanceof Error)
    },
    { deadlineMs: PATIENCE_MS, everyMs: 2_000, explain: () => last.slice(-3_000) },
  )
}

/** 0 to `replicas` pods and back, `times` over: every pod gets ready, and at the end no address is left behind. */
export async function scaleUpAndDown(cluster: Cluster, replicas: number, times: number): Promise<string> {
  const labels = { app: SCALE }
  const container = { name: 'pause', image: cluster.upstream.pause, imagePullPolicy: 'Never' }
  const template = { metadata: { labels }, spec: { terminationGracePeriodSeconds: 0, containers: [container] } }
  await cluster.apply([
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: SCALE } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: SCALE, namespace: SCALE },
      spec: { replicas: 0, selector: { matchLabels: labels }, template },
    },
  ])
  const seconds: number[] = []
  for (let round = 0; round < times; round++) {
    const began = performance.now()
    await cluster.kubectl(['scale', `deployment/${SCALE}`, '--namespace', SCALE, `--replicas=${replicas}`])
    await cluster.kubectl(['rollout', 'status', `deployment/${SCALE}`, '--namespace', SCALE, PATIENCE_FLAG], KUBECTL_PATIENCE)
    seconds.push((performance.now() - began) / 1000)
    await cluster.kubectl(['scale', `deployment/${SCALE}`, '--namespace', SCALE, '--replicas=0'])
    const args = ['get', 'pods', '--namespace', SCALE, '-o', 'name']
    await cluster.kubectlUntil('all pods are gone', args, (text) => text.trim() === '')
  }
  await ipamCheck(cluster)
  await cluster.kubectl(['delete', 'namespace', SCALE, PATIENCE_FLAG], KUBECTL_PATIENCE)
  return `${replicas} pods ready in ${seconds.map((each) => each.toFixed(0)).join(', ')} s; no address leaked`
}

/** The power of a node fails and comes back. The traffic of the others does not notice; its own pods come back with it. */
export async function rebootNode(cluster: Cluster, name: string, kubeProxy: KubeProxyMode): Promise<string> {
  const node = cluster.node(name)
  const seen = await underTraffic(cluster, async () => {
    await cluster.reboot(node, kubeProxy)
    await installed(cluster)
  }, [name])
  if (seen.lost > 0 || seen.breaks > 0) throw new CheckFailed(`traffic between the other nodes suffered: ${figures(seen)}`)
  await probesReady(cluster)
  await reachable(cluster)
  await ipamCheck(cluster)
  return `others: ${figures(seen)}`
}

/** `kubectl drain`, power off, `kubectl delete node`; then the machine joins again. */
export async function drainAndDelete(cluster: Cluster, name: string, kubeProxy: KubeProxyMode): Promise<string> {
  const node = cluster.node(name)
  const seen = await underTraffic(cluster, async () => {
    await cluster.kubectl(['drain', name, '--ignore-daemonsets', '--delete-emptydir-data', '--force', PATIENCE_FLAG], KUBECTL_PATIENCE)
    await node.powerOff()
    await cluster.kubectl(['delete', 'node', name])
  }, [name])
  if (seen.lost > 0 || seen.breaks > 0) throw new CheckFailed(`traffic between the other nodes suffered: ${figures(seen)}`)
  const began = performance.now()
  await until(
    `the blocks of ${name} are freed`,
    async () => (await cluster.get<Blocks>(['ipamblocks'])).items.every(({ spec }) => spec.node !== name),
    { deadlineMs: PATIENCE_MS, everyMs: 2_000 },
  )
  const freedSeconds = ((performance.now() - began) / 1000).toFixed(0)
  await ipamCheck(cluster)
  const joins = performance.now()
  await cluster.reboot(node, kubeProxy)
  await cluster.kubectlUntil(`${name} registers`, ['get', 'nodes', '-o', 'name'], (text) => text.includes(`node/${name}`))
  await cluster.kubectl(['annotate', 'node', name, `fibula.network/asn=${node.spec.asn}`])
  await installed(cluster)
  await probesReady(cluster)
  await reachable(cluster)
  const backSeconds = ((performance.now() - joins) / 1000).toFixed(0)
  return `others: ${figures(seen)}; blocks freed after ${freedSeconds} s, the node is back after ${backSeconds} s`
}

async function probesReady(cluster: Cluster): Promise<void> {
  await cluster.ready()
  await cluster.kubectl(['rollout', 'status', `daemonset/${PROBES}`, '--namespace', PROBES, PATIENCE_FLAG], KUBECTL_PATIENCE)
}

/** Every pair talks again. What the API says of a node that was away may be old for a while. */
async function reachable(cluster: Cluster): Promise<void> {
  const talk = async (): Promise<boolean> => {
    await underTraffic(cluster, async () => {})
    return true
  }
  await until('every pair talks again', talk, { deadlineMs: PATIENCE_MS, everyMs: 1_000 })
}

/**
 * Time from `kubectl create` until pods are ready, on one node with our network and with the bridge plugin, in turns: the runtime takes
 * the first configuration in its folder. Throws if the median of ours is more than `limit` times that of the bridge.
 */
export async function readyTimes(cluster: Cluster, nodeName: string, limit: number): Promise<string> {
  const node = cluster.node(nodeName)
  const bridge = path.join(node.cniConfigurations, '00-bridge.conflist')
  const times = { ours: [] as number[], bridge: [] as number[] }
  let text = ''
  for (let round = 1; round <= MAX_ROUNDS; round++) {
    fs.writeFileSync(bridge, bridgeConflist(BESIDE))
    try {
      times.bridge.push(...(await readySeconds(cluster, nodeName, `bridge-${round}`, '10.245.')))
    } finally {
      fs.rmSync(bridge, { force: true })
    }
    times.ours.push(...(await readySeconds(cluster, nodeName, `ours-${round}`, '10.244.')))
    const [ours, theirs] = [median(times.ours), median(times.bridge)]
    text = `median ${ours.toFixed(2)} s, bridge ${theirs.toFixed(2)} s: ${(ours / theirs).toFixed(2)} times, of ${times.ours.length} pods each`
    if (round >= ROUNDS && ours <= limit * theirs) return text
  }
  throw new CheckFailed(`${text}; at most ${limit} times is allowed`)
}

/** More pods tell a difference from chance: a median is taken of all there were so far. */
const ROUNDS = 8
const MAX_ROUNDS = 3 * ROUNDS
const PODS_A_ROUND = 4
/** Nobody routes these: the pods of the bridge are only started. */
const BESIDE = { ipv4: '10.245.0.0/24', ipv6: 'fd00:10:245::/64' } as const

async function readySeconds(cluster: Cluster, nodeName: string, label: string, range: string): Promise<readonly number[]> {
  const names = Array.from({ length: PODS_A_ROUND }, (_, at) => `ready-${label}-${at}`)
  const pods = names.map((name) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: 'ready' } },
    spec: {
      nodeName,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'pause', image: cluster.upstream.pause, imagePullPolicy: 'Never' }],
    },
  }))
  const node = cluster.node(nodeName)
  const before = node.podNamespaces()
  const readyAtMs = new Map<string, number>()
  const output = '{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\\n"}'
  const [first = '', ...rest] = [...cluster.place, toolPath('kubectl'), '--kubeconfig', cluster.adminConfig]
  const watch = spawn(first, [...rest, 'get', 'pods', '--selector', 'app=ready', '--watch', '-o', `jsonpath=${output}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    let rest = ''
    watch.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const [name = '', status] = line.split(' ')
        if (status === 'True' && !readyAtMs.has(name)) readyAtMs.set(name, performance.now())
      }
    })
    const began = performance.now()
    await cluster.kubectl(['create', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: pods }) })
    await until('the pods are ready', () => names.every((name) => readyAtMs.has(name)), { deadlineMs: PATIENCE_MS, everyMs: 20 })
    const addresses = await cluster.kubectl(['get', 'pods', '--selector', 'app=ready', '-o', 'jsonpath={.items[*].status.podIP}'])
    for (const each of addresses.stdout.split(' '))
      if (!each.startsWith(range)) throw new Error(`${each} is not an address of the network measured`)
    return names.map((name) => ((readyAtMs.get(name) ?? 0) - began) / 1000)
  } finally {
    watch.kill('SIGKILL')
    await cluster.kubectl(['delete', 'pods', '--selector', 'app=ready', '--wait=true', PATIENCE_FLAG], KUBECTL_PATIENCE)
    // The API forgets a pod before its network is taken away, which has to happen with the network it has.
    await until('the network of the pods is gone', () => node.podNamespaces() <= before, { deadlineMs: PATIENCE_MS })
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
