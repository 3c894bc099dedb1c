// What a large cluster costs an agent, and what many agents cost an API server: a real one, with its objects, and the agent that ships, in
// a network namespace of their own. One argument, ScaleSettings as JSON; the last line of its output is a ScaleReport.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { KubernetesStore } from '../../src/store/kubernetes/adapter.ts'
import { ApiServer } from '../../src/store/kubernetes/api-server.ts'
import { KubeApi } from '../../test/support/kube/api-server.ts'
import { installCrds, makeNamespace } from '../../test/support/kube/apply.ts'
import { MEMORY, makeScratchDirectory } from '../namespaces.ts'
import { figuresOfProcess } from '../process-figures.ts'
import { Running } from './child.ts'
import { Heartbeats, load } from './load.ts'
import { addressOfNode, type ClusterSize, namespacesOf, nodeName, nodes, pods, policies, serviceAccountsOf, services } from './objects.ts'
import { RawWatchers, watchesOf } from './server-side.ts'

export type ScaleSettings = ClusterSize & {
  readonly runs: number
  /** How long an agent is watched while nothing but heartbeats of nodes happens. */
  readonly observeMs: number
  /** Watches of all nodes beside the agent's, to see what one costs the API server; 0: none. */
  readonly rawWatchers: number
  /** What stands before `agent`. */
  readonly command: readonly string[]
}

export type ScaleSample = {
  readonly seconds: number
  readonly cpuSeconds: number
  readonly peakRssMiB: number
  readonly details: Readonly<Record<string, number>>
}

/** Samples by participant. */
export type ScaleReport = { readonly [participant: string]: readonly ScaleSample[] }

const OWN_NODE = 7
const SETTLE_MS = 3_000
/** Kubelets report at least this often, changed or not (nodeStatusReportFrequency). */
const HEARTBEAT_MS = 300_000
const PAGE = '500'

const pause = (delayMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, delayMs))

async function main(settings: ScaleSettings): Promise<ScaleReport> {
  const folder = makeScratchDirectory(MEMORY)
  await using kube = await KubeApi.start()
  try {
    using api = new ApiServer(kube.connection())
    await makeCluster(kube, api, settings)
    using beats = new Heartbeats(api, settings.nodes, HEARTBEAT_MS)
    const samples: Record<string, ScaleSample[]> = {}
    const add = (name: string, sample: ScaleSample): void => {
      samples[name] = [...(samples[name] ?? []), sample]
    }
    for (let run = 0; run < settings.runs; run++) {
      add('paged list', await listEverything(api))
      if (settings.pods > 0) add('watcher', await observe(() => Running.watcher(kube, join(folder, `watcher-${run}`)), api, settings))
      const agent = () => Running.agent(settings.command, kube, nodeName(OWN_NODE), join(folder, `agent-${run}`))
      add('fibula', await observe(agent, api, settings))
    }
    if (settings.rawWatchers > 0) add('API server', await serverSide(kube, settings, beats))
    if (beats.failed > 0) throw new Error(`${beats.failed} heartbeats failed`)
    return samples
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function makeCluster(kube: KubeApi, api: ApiServer, settings: ScaleSettings): Promise<void> {
  await installCrds(kube.connection())
  await makeNamespace(kube.connection(), 'fibula-system')
  await using store = new KubernetesStore(kube.connection())
  const apiVersion = 'fibula.network/v1alpha1'
  await store.create({
    apiVersion,
    kind: 'BGPConfiguration',
    metadata: { name: 'default' },
    spec: { asNumber: 64_512, nodeToNodeMesh: { enabled: false }, serviceClusterIPs: [{ cidr: '10.96.0.0/16' }] },
  })
  await store.create({
    apiVersion,
    kind: 'BGPPeer',
    metadata: { name: 'reflectors' },
    spec: { peerSelector: { matchLabels: { 'route-reflector': 'true' } } },
  })
  await store.create({ apiVersion, kind: 'IPPool', metadata: { name: 'pods' }, spec: { cidr: '10.128.0.0/10' } })
  await load(api, namespacesOf(settings))
  await load(api, serviceAccountsOf(settings))
  await load(api, nodes(settings.nodes, 2))
  await load(api, pods(settings))
  await load(api, services(settings))
  await load(api, policies(settings))
}

/** The least that anybody needs who wants to know all of it: pages, one after another, made into values, and thrown away. */
async function listEverything(api: ApiServer): Promise<ScaleSample> {
  const paths = [
    '/api/v1/nodes',
    '/api/v1/namespaces',
    '/api/v1/pods',
    '/api/v1/services',
    '/apis/discovery.k8s.io/v1/endpointslices',
    '/apis/networking.k8s.io/v1/networkpolicies',
  ]
  const beganMs = performance.now()
  let objects = 0
  for (const path of paths) {
    for (let next: string | undefined = ''; next !== undefined; ) {
      const query = { limit: PAGE, ...(next === '' ? {} : { continue: next }) }
      const page = (await api.request({ method: 'GET', path, query })) as {
        readonly items: readonly unknown[]
        readonly metadata: { readonly continue?: string }
      }
      objects += page.items.length
      next = page.metadata.continue
    }
  }
  return { seconds: (performance.now() - beganMs) / 1000, cpuSeconds: Number.NaN, peakRssMiB: Number.NaN, details: { objects } }
}

/** `seconds`: start to converged. `cpuSeconds`: of `observeMs` in which only nodes beat. */
async function observe(start: () => Promise<Running>, api: ApiServer, { observeMs }: ScaleSettings): Promise<ScaleSample> {
  const others = await watchesOf(api)
  await using running = await start()
  const started = running.figures()
  await pause(SETTLE_MS)
  const watches = (await watchesOf(api)) - others
  const before = running.figures()
  await pause(observeMs)
  const after = running.figures()
  const cpuSeconds = after.cpuSeconds - before.cpuSeconds
  const details = {
    startCpuSeconds: started.cpuSeconds,
    rssMiB: after.rssMiB,
    idleCpuPercent: (cpuSeconds / (observeMs / 1000)) * 100,
    watches,
  }
  return { seconds: running.seconds, cpuSeconds, peakRssMiB: after.peakRssMiB, details }
}

/** What the API server pays for a watch of all nodes, by the difference that many of them make. `cpuSeconds`: of `observeMs` without them. */
async function serverSide(kube: KubeApi, { observeMs, rawWatchers }: ScaleSettings, beats: Heartbeats): Promise<ScaleSample> {
  const figures = () => figuresOfProcess(kube.serverPid)
  const measure = async (): Promise<{ readonly cpuSeconds: number; readonly beats: number }> => {
    await pause(SETTLE_MS)
    const [before, sent] = [figures(), beats.sent]
    await pause(observeMs)
    return { cpuSeconds: figures().cpuSeconds - before.cpuSeconds, beats: beats.sent - sent }
  }
  const without = await measure()
  const rssBefore = figures().rssMiB
  using watchers = await RawWatchers.start(kube, rawWatchers)
  const [events, octets] = [watchers.events, watchers.octets]
  const withThem = await measure()
  const delivered = watchers.events - events
  const details = {
    beatsPerSecond: withThem.beats / (observeMs / 1000),
    eventOctets: (watchers.octets - octets) / Math.max(1, delivered),
    microsecondsPerDelivery: ((withThem.cpuSeconds - without.cpuSeconds) / Math.max(1, delivered)) * 1e6,
    kibibytesPerWatch: ((figures().rssMiB - rssBefore) / rawWatchers) * 1024,
  }
  return { seconds: Number.NaN, cpuSeconds: without.cpuSeconds, peakRssMiB: figures().peakRssMiB, details }
}

const settings = JSON.parse(process.argv[2] ?? '') as ScaleSettings
console.error(`own node: ${nodeName(OWN_NODE)} with ${addressOfNode(OWN_NODE)}`)
console.log(JSON.stringify(await main(settings)))
process.exit(0)
