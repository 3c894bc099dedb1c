// What is done to agents: killed, rolled out, upgraded. And what may then not have happened.
import { type Cluster, PATIENCE_MS } from '../support/cluster/index.ts'
import { until } from '../support/poll.ts'
import { CHART, helm, installed, NAMESPACE, RELEASE, sessionsUp } from './install.ts'
import { CheckFailed } from './report.ts'
import { figures, underTraffic, unharmed } from './traffic.ts'

type AgentPods = {
  readonly items: readonly {
    readonly metadata: { readonly name: string }
    readonly spec: { readonly nodeName: string }
    readonly status: {
      readonly containerStatuses?: readonly { readonly containerID?: string; readonly restartCount: number; readonly ready: boolean }[]
    }
  }[]
}

async function agentOf(
  cluster: Cluster,
  node: string,
): Promise<{ readonly containerId: string; readonly restarts: number; readonly ready: boolean }> {
  const selector = 'app.kubernetes.io/name=fibula,app.kubernetes.io/component=agent'
  const pods = await cluster.get<AgentPods>([
    'pods',
    '--namespace',
    NAMESPACE,
    '--selector',
    selector,
    '--field-selector',
    `spec.nodeName=${node}`,
  ])
  const status = pods.items[0]?.status.containerStatuses?.[0]
  if (status?.containerID === undefined) throw new Error(`no agent runs on ${node}`)
  return { containerId: status.containerID, restarts: status.restartCount, ready: status.ready }
}

/** SIGKILL to the agent of a node under traffic: the kubelet starts it again, and nobody notices. */
export async function killAgent(cluster: Cluster, nodeName: string): Promise<string> {
  const before = await agentOf(cluster, nodeName)
  const peer = cluster.node(nodeName).spec.address.ipv4
  const { tor } = cluster.fabric
  const since = await tor.since(peer)
  const seen = await underTraffic(cluster, async () => {
    await cluster.node(nodeName).killContainer(before.containerId)
    await until(
      'the agent is back',
      async () => {
        const now = await agentOf(cluster, nodeName)
        return now.restarts > before.restarts && now.ready
      },
      { deadlineMs: PATIENCE_MS, everyMs: 500 },
    )
    await sessionsUp(cluster)
  })
  // The kill counts only if the router saw it.
  if ((await tor.since(peer)) === since) throw new CheckFailed('the session of the killed agent never went down')
  return unharmed(seen)
}

/** All agents one after the other, as an upgrade does it. */
async function rollOut(cluster: Cluster): Promise<void> {
  await cluster.kubectl(['rollout', 'restart', 'daemonset/fibula-agent', '--namespace', NAMESPACE])
  await installed(cluster)
}

export async function rollOutUnharmed(cluster: Cluster): Promise<string> {
  return unharmed(await underTraffic(cluster, () => rollOut(cluster)))
}

/** The same without graceful restart: proves that the traffic of `rollOutUnharmed` would have shown a loss. */
export async function rollOutWithoutGracefulRestart(cluster: Cluster): Promise<string> {
  const set = async (enabled: boolean): Promise<void> => {
    const patch = JSON.stringify({ spec: { gracefulRestart: { enabled } } })
    await cluster.kubectl(['patch', 'bgpconfiguration', 'default', '--type', 'merge', '--patch', patch])
    // It is offered in OPEN: sessions that exist keep what they agreed on, those of a restarted agent do not.
    await rollOut(cluster)
  }
  await set(false)
  try {
    const seen = await underTraffic(cluster, () => rollOut(cluster))
    if (seen.lost === 0 || seen.routeChanges.length === 0)
      throw new CheckFailed(`nothing was lost without graceful restart: ${figures(seen)}`)
    return `loses, as it must: ${figures(seen)}`
  } finally {
    await set(true)
  }
}

/** `helm upgrade` with a changed value, and `helm rollback`, each under traffic. */
export async function upgradeAndRollBack(cluster: Cluster): Promise<string> {
  const upgraded = await underTraffic(cluster, async () => {
    await helm(cluster, 'upgrade', RELEASE, CHART, '--reuse-values', '--set', 'agent.podAnnotations.test=upgraded')
    await installed(cluster)
  })
  const rolledBack = await underTraffic(cluster, async () => {
    await helm(cluster, 'rollback', RELEASE)
    await installed(cluster)
  })
  return `upgrade: ${unharmed(upgraded)}; rollback: ${unharmed(rolledBack)}`
}
