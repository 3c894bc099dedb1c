// The README's two commands, as they stand, on a cluster that has no network yet: they lead to a peered one. The test network is the
// README's: the router of rack-a is 10.0.0.1 in AS 65001, and pods' addresses are free. What the reader fills in:
//   REGISTRY  a name that no registry has; every node has the image under it already, as if it had pulled it
//   ADDRESS   the API server's

import { ExecError } from '../../src/lib/exec.ts'
import { type Cluster, CONTROL, KUBECTL_PATIENCE, NODES, PATIENCE_FLAG, PATIENCE_MS, POD_RANGE, TOR } from '../support/cluster/index.ts'
import { peerConfig } from '../support/daemons/index.ts'
import { until, untilEqual } from '../support/poll.ts'
import { block, fillIn, prompted, runBlock } from './documented.ts'
import { diagnose } from './install.ts'

const REGISTRY = 'registry.invalid'
/** The AS of nodes that no BGPConfiguration gives one. */
const DEFAULT_ASN = 64512
const POD = 'first'

type Pod = { readonly status: { readonly phase: string; readonly podIP?: string } }
type Blocks = { readonly items: readonly { readonly spec: { readonly cidr: string; readonly node?: string } }[] }

/** Runs them, and resolves to figures when every node is ready, the router has a route to each node's pods, and a pod answers it. */
export async function installAsInReadme(cluster: Cluster, image: string): Promise<string> {
  await cluster.fabric.setSessions(
    NODES.map(({ address }) =>
      peerConfig({
        address: address.ipv4,
        localAddress: TOR.addresses['rack-a'].ipv4,
        asn: DEFAULT_ASN,
        families: ['IPv4Unicast'],
        gracefulRestart: { restartTimeSeconds: 120 },
      }),
    ),
  )
  await Promise.all(cluster.nodes.map((node) => node.nameImage(image, `${REGISTRY}/${image}`)))
  const commands = block('README.md', 'helm install')
  const same = ['helm install', 'kubectl apply'].map((beginning) => block('docs/install.md', beginning)).join('')
  if (same !== commands) throw new Error('README.md and docs/install.md say different things')
  const began = performance.now()
  await runBlock(cluster, fillIn(commands, { REGISTRY, ADDRESS: CONTROL.ipv4 }))
  try {
    await cluster.ready()
    const ready = performance.now()
    const [rollOut = '', ...looks] = prompted(block('docs/install.md', '$ kubectl -n fibula-system rollout status'))
    await runBlock(cluster, rollOut)
    await untilEqual(
      'the router has a session with each node',
      NODES.map(() => true),
      () => Promise.all(NODES.map(({ address }) => cluster.fabric.tor.established(address.ipv4))),
      { deadlineMs: PATIENCE_MS, everyMs: 250 },
    )
    await podAnswers(cluster)
    const routes = await blocksRouted(cluster)
    // A person who is told of something that is not there yet looks again.
    for (const each of looks)
      await until(
        `${each} finds no fault`,
        async () => {
          await runBlock(cluster, each).catch(onlyTunnelsAreMissing)
          return true
        },
        { deadlineMs: PATIENCE_MS, everyMs: 1_000 },
      )
    return `nodes ready after ${((ready - began) / 1000).toFixed(0)} s; the router has ${routes} routes to pods, and reaches one`
  } catch (cause) {
    throw new Error(`${cause instanceof Error ? cause.message : String(cause)}\n${await diagnose(cluster)}`, { cause })
  }
}

/**
 * `kubectl fibula status` says by its exit status whether all is well. Where this machine's kernel has no IP-in-IP, which the README's
 * pool uses between racks, it must find fault with that and with nothing else.
 */
function onlyTunnelsAreMissing(cause: unknown): void {
  if (!(cause instanceof ExecError)) throw cause
  const found = cause.stdout.split('\n').filter((line) => /\b(error|warning)\b/.test(line))
  if (found.length === 0 || !found.every((line) => /fibipip|tunnel/.test(line)))
    throw new Error(`${cause.message}\n${cause.stdout}`, { cause })
}

/** A pod gets an address of the README's pool, and answers the router. */
async function podAnswers(cluster: Cluster): Promise<void> {
  const container = { name: 'pause', image: cluster.upstream.pause, imagePullPolicy: 'Never' }
  await cluster.apply([
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: POD },
      spec: { nodeName: 'node-1', terminationGracePeriodSeconds: 1, containers: [container] },
    },
  ])
  await cluster.kubectl(['wait', '--for=condition=Ready', `pod/${POD}`, PATIENCE_FLAG], KUBECTL_PATIENCE)
  const { status } = await cluster.get<Pod>(['pod', POD])
  const address = status.podIP ?? ''
  if (!address.startsWith('10.244.')) throw new Error(`${address} is not of ${POD_RANGE.ipv4}, the README's pool`)
  await until('the pod answers the router', () => cluster.fabric.net.exec('tor', 'ping', ['-c', '1', '-W', '2', address]), {
    deadlineMs: PATIENCE_MS,
  })
  await cluster.kubectl(['delete', 'pod', POD, PATIENCE_FLAG], KUBECTL_PATIENCE)
}

/** How many blocks nodes have, all of them in the router's kernel by way of their node. */
async function blocksRouted(cluster: Cluster): Promise<number> {
  let routes: readonly string[] = []
  return until(
    'the router has a route to every block of a node',
    async () => {
      const { items } = await cluster.get<Blocks>(['ipamblocks'])
      const owned = items.filter(({ spec }) => spec.node !== undefined)
      routes = await cluster.fabric.torRoutes()
      const isRouted = owned.every(({ spec }) => {
        const via = cluster.node(spec.node ?? '').spec.address.ipv4
        return routes.some((line) => line.startsWith(`${spec.cidr} via ${via} `))
      })
      return isRouted && owned.length > 0 ? owned.length : null
    },
    { deadlineMs: PATIENCE_MS, everyMs: 500, explain: () => routes.join('\n') },
  )
}
