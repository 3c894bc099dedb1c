import { Cluster } from '../support/cluster/index.ts'

const began = performance.now()
const progress = (what: string): void => console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${what}`)
await using cluster = await Cluster.start({
  network: 'bridge',
  dns: false,
  kubeProxy: { mode: 'iptables', localBy: { kind: 'clusterCidr' } },
  progress,
})
progress('ready')
console.log((await cluster.kubectl(['get', 'nodes', '-o', 'wide'])).stdout)
await new Promise<void>((resolve) => process.once('SIGTERM', () => resolve()))
