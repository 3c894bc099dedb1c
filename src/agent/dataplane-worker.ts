// The dataplane thread: owns the kernel's routes and may block while the kernel is busy. Hears best paths from the bgp thread,
// local routes from main, and tells both what the host's network looks like.
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../lib/clock.ts'
import { createLog } from '../lib/log.ts'
import { comparePrefix, type HostNetwork, type StaticRoute, withStaticRoutes } from '../net/index.ts'
import { applySysctls, KernelRoutes, OUR_METRIC, type SysctlReport, sysctlProblems } from '../routes/index.ts'
import { startBeat } from './beat.ts'
import { Channel } from './channel.ts'
import type { Problem } from './control-api.ts'
import type { BestPaths, DataplaneRequests, DataplaneThreadData, FromDataplane, HostFacts, LocalSettings, ToDataplane } from './threads.ts'

if (parentPort === null) throw new Error('dataplane-worker runs only as a worker thread')
const { logLevel, node, bgpPort } = workerData as DataplaneThreadData & { readonly bgpPort: MessagePort }
const log = createLog({ level: logLevel, fields: { node, thread: 'dataplane' } })

/** How often problems are looked at again; what changes them happens in the kernel. */
const REPORT_EVERY_MS = 1_000

let local: LocalSettings | null = null
let network: HostNetwork | null = null
let sysctls: readonly SysctlReport[] = []
let reported = ''
let statics: readonly StaticRoute[] = []
let isSyncedReported = false

const kernel = new KernelRoutes({
  log,
  clock: systemClock,
  onHostNetwork(changed: HostNetwork) {
    network = changed
    checkSysctls()
    main.send({ kind: 'hostNetwork', network })
    tellBgp()
  },
})
const { syncer } = kernel

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

const main = new Channel<ToDataplane, FromDataplane, DataplaneRequests>(parentPort, {
  notice(message) {
    switch (message.kind) {
      case 'local':
        local = message.local
        checkSysctls()
        syncer.setInstall(local.installRoutes)
        syncer.setLocal(local.routes)
        setStatics(local.routes.statics)
        report()
        return
      case 'logLevel':
        log.setLevel(message.level)
        return
    }
  },
  answers: {
    routes: ({ prefix }) => syncer.status(prefix),
    counts: () => syncer.counts(),
  },
})

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
  const problems: readonly Problem[] = [...sysctlProblems(sysctls), ...syncer.problems()]
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

startBeat((beat) => main.send(beat))
reportForEver()
