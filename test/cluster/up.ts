// A cluster for a person to play with, until SIGTERM: scripts/kube-up starts this and shows what it leaves in --dir.
import fs from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { API_PORT, type Cluster, CONTROL, Program } from '../support/cluster/index.ts'
import { toolPath } from '../support/tools/index.ts'
import { startCluster } from './start.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')

const { values } = parseArgs({
  options: {
    dir: { type: 'string' },
    listen: { type: 'string' },
    network: { type: 'string', default: 'fibula' },
    proxy: { type: 'string', default: 'iptables' },
  },
})
const { dir, listen, network, proxy } = values
if (dir === undefined || listen === undefined) throw new Error('up: --dir FOLDER --listen HOST:PORT')
if (network !== 'fibula' && network !== 'bridge') throw new Error('up: --network is fibula or bridge')
if (proxy !== 'iptables' && proxy !== 'nftables') throw new Error('up: --proxy is iptables or nftables')

const ended = new Promise<void>((resolve) => process.once('SIGTERM', () => resolve()))
await using cluster = await startCluster({
  network,
  dns: fs.existsSync(toolPath('coredns.tar')),
  kubeProxy: { mode: proxy, localBy: { kind: 'clusterCidr' } },
  progress: (what) => console.log(`kube-up: ${what}`),
})
const leave = (name: string, text: string): void => fs.writeFileSync(path.join(dir, name), text, { mode: 0o600 })
const socket = path.join(dir, 'api.sock')
const relay = [path.join(ROOT, 'scripts/node'), path.join(ROOT, 'test/support/cluster/relay.ts')]
Program.start(
  'relay',
  cluster.place,
  [...relay, '--listen', socket, '--to', `${CONTROL.ipv4}:${API_PORT}`],
  path.join(cluster.folder, 'relay.log'),
)
fs.copyFileSync(cluster.credentials.kubeconfig('admin', `https://${listen}`), path.join(dir, 'kubeconfig'))
leave('machines', machines(cluster))
leave('usage', usage(dir, network))
leave('ready', '')
await ended

/** NAME and the front of a command line that runs there. */
function machines({ nodes, fabric }: Cluster): string {
  const routers = ['tor', 'control', 'outside'].map((name) => ({ name, place: fabric.place(name) }))
  return [...nodes, ...routers].map(({ name, place }) => `${name} ${place.join(' ')}\n`).join('')
}

function usage(folder: string, kind: 'fibula' | 'bridge'): string {
  return `
A Kubernetes cluster runs on this machine: nodes node-1 and node-2 in rack-a, node-3 in rack-b, one top-of-rack router.

  export KUBECONFIG=${path.join(folder, 'kubeconfig')} PATH=${path.join(ROOT, 'bin')}:${path.dirname(toolPath('kubectl'))}:$PATH
  kubectl get nodes -o wide
${kind === 'bridge' ? '' : '  kubectl get bgppeers,ippools,nodenetworks\n  kubectl fibula status\n'}  scripts/kube-exec node-1 ip route          a shell or a program on a node, or on tor, control or outside
  make kube-down                             removes all of it
`
}
