// The whole proof on a real cluster, for a person: `make conformance`. Half an hour or more.
// Usage: test/cluster/run.sh test/cluster/conformance.ts [--network bridge] [--only NAME,…] [--outputFile=FILE]
//   --network bridge   only upstream's specs, with Debian's bridge plugin: what fails there is not ours
//   --only             some of the checks by the names below
import { parseArgs } from 'node:util'
import type { Cluster, KubeProxyMode } from '../support/cluster/index.ts'
import { killAgent, rollOutUnharmed, rollOutWithoutGracefulRestart, upgradeAndRollBack } from './agents.ts'
import { finish } from './frame.ts'
import { drainAndDelete, readyTimes, rebootNode, scaleUpAndDown } from './pods.ts'
import { installAsInReadme } from './readme.ts'
import { Report } from './report.ts'
import { serviceRoutes } from './services.ts'
import {
  CONFORMANCE,
  CONFORMANCE_SPECS,
  checkSpecs,
  KUBE_PROXY_FOCUS,
  KUBE_PROXY_SPECS,
  NETWORK_POLICY,
  NETWORK_POLICY_SKIP,
  NETWORK_POLICY_SPECS,
} from './specs.ts'
import { addFibula, startCluster, startEmptyCluster } from './start.ts'
import { policeProbes, startProbes } from './traffic.ts'
import { uninstallAsDocumented } from './uninstall.ts'

const MINUTE_MS = 60_000
/** Runs before Fibula is installed for all others. */
const README = 'readme'

const BY_RANGE = { kind: 'clusterCidr' } as const
const BY_NAME = { kind: 'interfacePrefix', prefix: 'fib' } as const
const FIRST: KubeProxyMode = { mode: 'iptables', localBy: BY_RANGE }
/** In turn, after everything else. */
const MODES: readonly KubeProxyMode[] = [
  { mode: 'iptables', localBy: BY_NAME },
  { mode: 'nftables', localBy: BY_NAME },
  { mode: 'nftables', localBy: BY_RANGE },
]

const { values } = parseArgs({
  options: {
    network: { type: 'string', default: 'fibula' },
    only: { type: 'string' },
    outputFile: { type: 'string' },
  },
})
const { network, only, outputFile } = values
if (network !== 'fibula' && network !== 'bridge') throw new Error('conformance: --network is fibula or bridge')

const report = new Report()
await finish(report, outputFile, async () => {
  const options = { dns: true, kubeProxy: FIRST, progress: report.progress }
  if (network === 'bridge') {
    await using cluster = await startCluster({ ...options, network })
    await runAll(checksOf(cluster), only?.split(',') ?? ['specs'])
    return
  }
  const { cluster: started, image } = await startEmptyCluster(options)
  await using cluster = started
  const checks = checksOf(cluster)
  const wanted = only?.split(',') ?? [README, ...Object.keys(checks)]
  if (wanted.includes(README)) {
    const worked =
      (await report.check('the README: two commands, from a cluster without a network to a peered one', () =>
        installAsInReadme(cluster, image),
      )) && (await report.check('uninstall as documented', () => uninstallAsDocumented(cluster)))
    if (!worked) return // what is left of it would be in the way of all others
  }
  const others = wanted.filter((name) => name !== README)
  if (others.length === 0) return
  const installed = await report.check('the chart for two racks, with an AS a node', async () => {
    await addFibula(cluster, image, options.dns)
    return ''
  })
  if (installed) await runAll(checks, others)
})

type Checks = Readonly<Record<string, () => Promise<unknown>>>

async function runAll(checks: Checks, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const run = checks[name]
    if (run === undefined) throw new Error(`no check ${name}; there are: ${[README, ...Object.keys(checks)].join(', ')}`)
    await run()
  }
}

/** In the order they run. Those with traffic share the probes. */
function checksOf(cluster: Cluster): Checks {
  let probes: Promise<void> | undefined
  const withProbes = (name: string, run: () => Promise<string>) => () =>
    report.check(name, async () => {
      probes ??= startProbes(cluster)
      await probes
      return run()
    })
  return {
    specs: () =>
      checkSpecs(report, cluster, 'sig-network Conformance specs', CONFORMANCE_SPECS, {
        focus: CONFORMANCE,
        procs: 2,
        timeoutMs: 60 * MINUTE_MS,
      }),
    policy: async () => {
      const selection = { focus: NETWORK_POLICY, skip: NETWORK_POLICY_SKIP, procs: 2, timeoutMs: 90 * MINUTE_MS }
      await checkSpecs(report, cluster, 'NetworkPolicy specs', NETWORK_POLICY_SPECS, selection)
      return checkSpecs(report, cluster, 'NetworkPolicy specs, again', NETWORK_POLICY_SPECS, selection)
    },
    kill: withProbes('kill -9 of an agent under traffic', () => killAgent(cluster, 'node-3')),
    rollout: withProbes('roll-out of all agents under traffic', () => rollOutUnharmed(cluster)),
    'no-restart': withProbes('the same without graceful restart: does lose', () => rollOutWithoutGracefulRestart(cluster)),
    helm: withProbes('helm upgrade and rollback under traffic', () => upgradeAndRollBack(cluster)),
    scale: () => report.check('0 to 100 pods and back, five times', () => scaleUpAndDown(cluster, 100, 5)),
    ready: () => report.check('pod ready time beside the bridge plugin, at most 1.1 times', () => readyTimes(cluster, 'node-1', 1.1)),
    reboot: withProbes('reboot of a node', () => rebootNode(cluster, 'node-2', FIRST)),
    drain: withProbes('drain and delete of a node', () => drainAndDelete(cluster, 'node-1', FIRST)),
    ...Object.fromEntries(
      MODES.map((mode) => {
        const name = `${mode.mode}-${mode.localBy.kind}`
        const run = async (): Promise<boolean> => {
          const switched = await report.check(`kube-proxy starts: ${name}`, async () => {
            await Promise.all(cluster.nodes.map((node) => node.startKubeProxy(mode)))
            return ''
          })
          if (!switched) return false
          await report.check(`service routes, kube-proxy ${name}`, () => serviceRoutes(cluster))
          const selection = { focus: KUBE_PROXY_FOCUS, procs: 2, timeoutMs: 20 * MINUTE_MS }
          return checkSpecs(report, cluster, `kube-proxy ${name}`, KUBE_PROXY_SPECS, selection)
        }
        return [name, run]
      }),
    ),
    uninstall: withProbes('uninstall as documented, after all that', async () => {
      await policeProbes(cluster)
      return uninstallAsDocumented(cluster)
    }),
  }
}
