// A real Kubernetes cluster on this machine: see test/cluster/README.md.
export { Cluster, type ClusterOptions } from './cluster.ts'
export { type RouteChange, sessionsOfRacks } from './fabric.ts'
export * from './layout.ts'
export type { KubeProxyMode, Node } from './node.ts'
export { KUBECTL_PATIENCE, PATIENCE_FLAG, PATIENCE_MS } from './patience.ts'
export { type Place, Program } from './process.ts'
