// Every command, each loaded only when it is asked for.
import type { Cli, Environment } from './options.ts'

type Command = {
  /** One line for the list of commands; null: for our own use, not shown there. */
  readonly describe: string | null
  readonly add: (cli: Cli, describe: string, environment: Environment) => Promise<void>
}

export const COMMANDS: Readonly<Record<string, Command>> = {
  status: {
    describe: 'Is this node, or with --store the cluster, healthy, and if not, why',
    add: async (...to) => (await import('./status.ts')).addStatus(...to),
  },
  bgp: {
    describe: 'BGP peers and routes: peers, routes, reset, drain',
    add: async (...to) => (await import('./bgp.ts')).addBgp(...to),
  },
  routes: {
    describe: 'Desired kernel routes against those in the kernel',
    add: async (...to) => (await import('./routes.ts')).addRoutes(...to),
  },
  ipam: {
    describe: 'Pools, blocks and addresses of pods: show, check, release',
    add: async (...to) => (await import('./ipam.ts')).addIpam(...to),
  },
  policy: {
    describe: 'Policy of pods: explain, show',
    add: async (...to) => (await import('./policy.ts')).addPolicy(...to),
  },
  agent: {
    describe: 'Run the agent of a node: BGP, kernel routes, pods',
    add: async (...to) => (await import('./agent.ts')).addAgent(...to),
  },
  controller: {
    describe: 'Run a replica of the controller: leaked addresses, statuses, findings of the whole cluster',
    add: async (...to) => (await import('./controller.ts')).addController(...to),
  },
  lab: {
    describe: 'Racks, routers, nodes and pods on this host: up, status, exec, link, pod, probe, demo, down',
    add: async (...to) => (await import('./lab.ts')).addLab(...to),
  },
  'lab-supervisor': {
    describe: null,
    add: async (cli, _, environment) => (await import('./lab.ts')).addSupervisor(cli, environment),
  },
  'lab-gobgp-fib': {
    describe: null,
    add: async (cli) => (await import('./lab.ts')).addGobgpFib(cli),
  },
  get: {
    describe: 'Show objects of a store',
    add: async (...to) => (await import('./get.ts')).addGet(...to),
  },
  apply: {
    describe: 'Create or replace objects from manifests',
    add: async (...to) => (await import('./apply.ts')).addApply(...to),
  },
  delete: {
    describe: 'Delete objects',
    add: async (...to) => (await import('./delete.ts')).addDelete(...to),
  },
  ask: {
    describe: null,
    add: async (cli, _, environment) => (await import('./ask.ts')).addAsk(cli, environment),
  },
  'install-cni': {
    describe: 'Put the CNI plugin where the container runtime of this node looks for it',
    add: async (cli, describe) => (await import('./install-cni.ts')).addInstallCni(cli, describe),
  },
  cleanup: {
    describe: 'Take everything off this node that an agent has put there',
    add: async (...to) => (await import('./cleanup.ts')).addCleanup(...to),
  },
  version: {
    describe: 'Show the version',
    add: async (cli, describe) => (await import('./version.ts')).addVersion(cli, describe),
  },
}
