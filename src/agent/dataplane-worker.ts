// The dataplane thread: owns the kernel's routes, rules, tunnels and links of pods, and may block while the kernel is busy. Hears
// best paths from the bgp thread, what this node needs from main, and tells both what the host's network looks like.
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../lib/clock.ts'
import { createLog } from '../lib/log.ts'
import { comparePrefix, type HostNetwork, type StaticRoute, withStaticRoutes } from '../net/index.ts'
import { applySysctls, KernelRoutes, OUR_METRIC, type SysctlReport, sysctlProblems } from '../routes/index.ts'
import { settleThreadPool } from '../sys/netns.ts'
import { startBeat } from './beat.ts'
import { Channel } from './channel.ts'
import type { Problem } from './control-api.ts'
import type { Connections } from './dataplane/connections.ts'
import { Latest } from './dataplane/latest.ts'
import type { DataplanePods } from './dataplane/pods.ts'
import { Rules } from './dataplane/rules.ts'
import type { BestPaths, DataplaneRequests, DataplaneThreadData, FromDataplane, HostFacts, LocalSettings, ToDataplane } from './threads.ts'

if (parentPort === null) throw new Error('dataplane-worker runs only as a worker thread')
const { logLevel, node, servesPods, bgpPort } = workerData as DataplaneThreadData & { readonly bgpPort: MessagePort }
const log = createLog({ level: logLevel, fields: { node, thread: 'dataplane' } })

/** How often problems are looked at again; what changes them happens in the kernel. */
const REPORT_EVERY_MS = 1_000
/** Others may hold the lock of iptables: routes wait this long for rules. */
const RULES_WITHIN_MS = 5_000

let local: LocalSettings | null = null
let network: HostNetwork | null = null
let sysctls: readonly SysctlReport[] = []
let reported = ''
let statics: readonly StaticRoute[] = []
let isSyncedReported = false
let pods: DataplanePods | null = null
let connections: Promise<Connections> | null = null

const kernel = new KernelRoutes({
  log,
  clock: systemClock,
  onHostNetwork(changed: HostNetwork) {
    network = changed
    checkSysctls()
    main.send({ kind: 'hostNetwork', network })
    tellBgp()
  },
  onPodMtu: (mtu) => setPodMtu(mtu),
})
const { syncer } = kernel
const rules = new Rules(async () => {
  const { Netfilter } = await import('../netfilter/index.ts')
  return new Netfilter({ clients: Rules.clientsWith({ pods: servesPods }), log, clock: systemClock })
})
/** Requests about pods wait until this is there: milliseconds after the start. */
const loadedPods = servesPods ? loadPods() : null

const bgp = new Channel<BestPaths, HostFacts>(bgpPort, {
  notice(message) {
    switch (message.kind) {
      case 'fib':
        syncer.applyBatch(message.batch)
        return
      case 'selectionReleased':
        syncer.allowSweep()
        report()
        return
    }
  },
})

const settings = new Latest<LocalSettings>(applyLocal)
const main = new Channel<ToDataplane, FromDataplane, DataplaneRequests>(parentPort, {
  notice: ({ level }) => log.setLevel(level),
  answers: {
    routes: ({ prefix }) => syncer.status(prefix),
    counts: () => syncer.counts(),
    netfilter: () => rules.status(),
    writePolicy: (wanted) => rules.writePolicy(wanted),
    policyCounters: () => rules.policyCounters(),
    listConnections: async ({ addresses }) => (await loadConnections()).list(addresses),
    cutConnections: async (wanted) => (await loadConnections()).cut(wanted),
    apply: (wanted) => settings.set(wanted).then(() => null),
    adoptPods: async (known) => (await servedPods()).adopt(known),
    attachPod: async (link) => (await servedPods()).attach(link),
    detachPod: async (link) => (await servedPods()).detach(link),
    checkPod: async (link) => (await servedPods()).check(link),
  },
})

/** Rules, then tunnels, then routes: nothing is led here before it is guarded. */
async function applyLocal(wanted: LocalSettings): Promise<void> {
  const deadline = Promise.withResolvers<void>()
  using _timer = systemClock.after(RULES_WITHIN_MS, deadline.resolve)
  await Promise.race([rules.apply(wanted.guards), deadline.promise])
  local = wanted
  checkSysctls()
  kernel.setPeers(wanted.peers)
  kernel.setTunnels(wanted.tunnels)
  syncer.setInstall(wanted.installRoutes)
  syncer.setLocal(wanted.routes)
  setStatics(wanted.routes.statics)
  report()
}

function loadConnections(): Promise<Connections> {
  connections ??= import('./dataplane/connections.ts').then((module) => new module.Connections())
  return connections
}

async function loadPods(): Promise<DataplanePods> {
  const [{ DataplanePods }, { Jobs }, { PodLinks }] = await Promise.all([
    import('./dataplane/pods.ts'),
    import('./dataplane/jobs.ts'),
    import('../cni/index.ts'),
    settleThreadPool(), // before this thread enters the first pod's namespace
  ])
  pods = new DataplanePods({
    links: new PodLinks(),
    syncer,
    jobs: new Jobs(systemClock),
    log,
    onResized: ({ containerId, ifName, mtu }) => main.send({ kind: 'podResized', pod: { containerId, ifName }, mtu }),
  })
  setPodMtu(kernel.podMtu())
  return pods
}

function servedPods(): Promise<DataplanePods> {
  if (loadedPods === null) throw new Error('this agent serves no CNI')
  return loadedPods
}

function setPodMtu(mtu: number): void {
  if (!servesPods) return
  pods?.setMtu(mtu)
  main.send({ kind: 'podMtu', mtu })
}

function setStatics(wanted: readonly StaticRoute[]): void {
  const isSame =
    wanted.length === statics.length &&
    wanted.every(({ prefix, gateway }, at) => {
      const before = statics[at]
      return before !== undefined && comparePrefix(prefix, before.prefix) === 0 && gateway === before.gateway
    })
  if (isSame) return
  statics = wanted
  tellBgp()
}

/** What next hops are resolved by: the host's network, and our own routes to peers that are `reachableBy` a gateway. */
function tellBgp(): void {
  if (network !== null) bgp.send({ kind: 'hostNetwork', network: withStaticRoutes(network, statics, OUR_METRIC) })
}

/** Problems, and once that the kernel holds what is wanted; only when that changed. */
function report(): void {
  const problems: readonly Problem[] = [...sysctlProblems(sysctls), ...kernel.problems(), ...rules.problems(), ...(pods?.problems() ?? [])]
  const text = JSON.stringify(problems)
  if (text !== reported) {
    reported = text
    main.send({ kind: 'problemsChanged', problems })
  }
  if (!isSyncedReported && syncer.hasSynced()) {
    isSyncedReported = true
    main.send({ kind: 'synced' })
  }
}

/** Routing needs settings that others may change, so they are looked at again whenever the host's network or ours does. */
function checkSysctls(): void {
  if (local?.installRoutes !== true) {
    sysctls = [] // a node that keeps its routes to itself forwards nothing
    return
  }
  sysctls = applySysctls({ ...syncer.uplinks(local.peers), expectedNeighbours: local.peers.length })
  for (const { key, value, why } of sysctls.filter(({ state }) => state === 'set')) log.info('routes.sysctl.set', { key, value, why })
}

function reportForEver(): void {
  report()
  systemClock.after(REPORT_EVERY_MS, reportForEver)
}

if (!servesPods) syncer.setPods([]) // what an agent that served some has left is swept with the rest
startBeat((beat) => main.send(beat))
reportForEver()
