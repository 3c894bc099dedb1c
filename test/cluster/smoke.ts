// What CI runs of the conformance: the cluster comes up, the chart is installed, a handful of upstream's specs pass, an agent is killed.
// Usage: test/cluster/run.sh test/cluster/smoke.ts [--outputFile=FILE]

import { PATIENCE_MS } from '../support/cluster/index.ts'
import { killAgent } from './agents.ts'
import { finish, reportFile } from './frame.ts'
import { Report } from './report.ts'
import { checkSpecs, SMOKE_FOCUS, SMOKE_SPECS } from './specs.ts'
import { startCluster } from './start.ts'
import { startProbes } from './traffic.ts'

const report = new Report()
await finish(report, reportFile(), async () => {
  const kubeProxy = { mode: 'iptables', localBy: { kind: 'clusterCidr' } } as const
  const began = performance.now()
  await using cluster = await startCluster({ network: 'fibula', dns: true, kubeProxy, progress: report.progress })
  report.add({
    name: 'cluster with the chart installed: three nodes on two subnets, all sessions up',
    status: 'passed',
    seconds: Math.round((performance.now() - began) / 1000),
    note: '',
  })
  await checkSpecs(report, cluster, 'upstream specs', SMOKE_SPECS, { focus: SMOKE_FOCUS, procs: 1, timeoutMs: 3 * PATIENCE_MS })
  await report.check('kill -9 of an agent under traffic: nothing lost, no route flaps', async () => {
    await startProbes(cluster)
    return killAgent(cluster, 'node-3')
  })
})
