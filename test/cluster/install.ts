// Fibula on a cluster, as a person installs it: the chart, with Helm.
import fs from 'node:fs'
import path from 'node:path'
import { type ImageArchive, readArchive } from '../support/cluster/images.ts'
import {
  API_PORT,
  type Cluster,
  CONTROL,
  KUBECTL_PATIENCE,
  NODES,
  PATIENCE_FLAG,
  PATIENCE_MS,
  POD_RANGE,
  sessionsOfRacks,
  TOR,
} from '../support/cluster/index.ts'
import { until } from '../support/poll.ts'
import { HELM } from '../support/tools/index.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')
export const CHART = path.join(ROOT, 'charts/fibula')
export const NAMESPACE = 'fibula-system'
export const RELEASE = 'fibula'

/** What a network engineer would write for these racks: an AS number a node, the router of the rack as the only peer, no mesh. */
function values(image: string): object {
  const colon = image.lastIndexOf(':')
  const racks = [...new Set(NODES.map(({ rack }) => rack))]
  const peer = (rack: (typeof racks)[number], family: 'ipv4' | 'ipv6') => ({
    name: `tor-${rack}-${family}`,
    spec: {
      nodeSelector: { matchLabels: { rack } },
      peerIP: TOR.addresses[rack][family],
      asNumber: TOR.asn,
      addressFamilies: [family === 'ipv4' ? 'IPv4Unicast' : 'IPv6Unicast'],
      holdTime: '30s',
      keepaliveTime: '10s',
    },
  })
  return {
    image: { repository: image.slice(0, colon), tag: image.slice(colon + 1), pullPolicy: 'Never' },
    apiServer: { host: CONTROL.ipv4, port: API_PORT },
    bgp: {
      configuration: { asNumber: 64600, nodeToNodeMesh: { enabled: false } },
      peers: racks.flatMap((rack) => [peer(rack, 'ipv4'), peer(rack, 'ipv6')]),
    },
    controller: { extraArgs: ['--leak-grace', '30s'] }, // nobody here waits for minutes until the blocks of a deleted node are freed
    ipPools: [
      { name: 'pods-ipv4', spec: { cidr: POD_RANGE.ipv4, blockSize: 26, ipipMode: 'Never' } },
      { name: 'pods-ipv6', spec: { cidr: POD_RANGE.ipv6, blockSize: 122, ipipMode: 'Never' } },
    ],
  }
}

/** The image that run.sh made before it shut the outside out. */
export function fibulaImage(): Promise<ImageArchive> {
  const { FIBULA_IMAGE: file } = process.env
  if (file === undefined) throw new Error('test/cluster/run.sh makes the image of Fibula')
  return readArchive(file)
}

/** Installs the chart and waits until agents and controllers are ready and the router has all sessions. */
export async function installFibula(cluster: Cluster, image: string): Promise<void> {
  for (const { name, asn } of NODES) await cluster.kubectl(['annotate', 'node', name, `fibula.network/asn=${asn}`])
  await cluster.fabric.setSessions(sessionsOfRacks())
  const file = path.join(cluster.folder, 'values.json')
  fs.writeFileSync(file, JSON.stringify(values(image)))
  await helm(cluster, 'install', RELEASE, CHART, '--create-namespace', '--values', file)
  await installed(cluster)
}

/** `helm COMMAND … --namespace fibula-system`. */
export async function helm(cluster: Cluster, ...args: readonly string[]): Promise<string> {
  const run = await cluster.run([HELM, ...args, '--namespace', NAMESPACE], { timeoutMs: PATIENCE_MS })
  return run.stdout
}

/** Waits until the roll-out of agents and controllers is over, and every session of the router is up. */
export async function installed(cluster: Cluster): Promise<void> {
  const wait = async (what: string): Promise<void> => {
    await cluster
      .kubectl(['rollout', 'status', what, '--namespace', NAMESPACE, PATIENCE_FLAG], KUBECTL_PATIENCE)
      .catch(async (cause: Error) => {
        const seen = await diagnose(cluster)
        throw new Error(`${cause.message}\n${seen}`, { cause })
      })
  }
  await wait('daemonset/fibula-agent')
  await wait('deployment/fibula-controller')
  await sessionsUp(cluster)
}

export async function sessionsUp(cluster: Cluster): Promise<void> {
  const peers = NODES.flatMap(({ address }) => [address.ipv4, address.ipv6])
  let down: readonly string[] = peers
  await until(
    'the router has a session for each family with each node',
    async () => {
      const states = await Promise.all(peers.map((peer) => cluster.fabric.tor.established(peer)))
      down = peers.filter((_, at) => states[at] !== true)
      return down.length === 0
    },
    { deadlineMs: PATIENCE_MS, everyMs: 250, explain: () => `down: ${down.join(', ')}` },
  )
}

/** What one looks at first when a roll-out does not end. */
export async function diagnose(cluster: Cluster): Promise<string> {
  const commands = [
    ['get', 'nodes,pods', '--all-namespaces', '-o', 'wide'],
    ['describe', 'pods', '--namespace', NAMESPACE],
    ['logs', '--namespace', NAMESPACE, '--selector', 'app.kubernetes.io/name=fibula', '--all-containers', '--tail=30', '--prefix'],
  ]
  const answers = await Promise.all(
    commands.map((each) =>
      cluster.kubectl(each).then(
        ({ stdout }) => stdout,
        (cause: Error) => cause.message,
      ),
    ),
  )
  return answers.map((each) => each.slice(-12_000)).join('\n')
}
