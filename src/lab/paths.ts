// Where a lab keeps what it knows: one folder, `--dir`.
import { join } from 'node:path'

export const DEFAULT_LAB_DIR = '/run/fibula-lab'

export type LabPaths = {
  readonly dir: string
  /** What is up: written before anything is built, so that a crash leaves a trace of everything there may be. */
  readonly state: string
  readonly topology: string
  /** What runs, kept by the supervisor. */
  readonly processes: string
  readonly hosts: string
  readonly storeRoot: string
  readonly runRoot: string
  readonly logRoot: string
  readonly configRoot: string
  /** A file for every pod. */
  readonly podRoot: string
  /** Manifests: `cluster` for the nodes, one folder a Fibula router. */
  store(folder: string): string
  /** Run directory of a speaker: its control socket. */
  run(speaker: string): string
  /** Where the agent of a node serves CNI. */
  cniSocket(node: string): string
  log(process: string): string
  /** Configuration of a router that is a real daemon. */
  config(speaker: string): string
}

export function labPaths(dir: string): LabPaths {
  const [storeRoot, runRoot, logRoot, configRoot, podRoot] = ['store', 'run', 'log', 'config', 'pods'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
    string,
    string,
  ]
  return {
    dir,
    state: join(dir, 'lab.json'),
    topology: join(dir, 'topology.yaml'),
    processes: join(dir, 'processes.json'),
    hosts: join(dir, 'hosts'),
    storeRoot,
    runRoot,
    logRoot,
    configRoot,
    podRoot,
    store: (folder) => join(storeRoot, folder),
    run: (speaker) => join(runRoot, speaker),
    cniSocket: (node) => join(runRoot, node, 'cni.sock'),
    log: (process) => join(logRoot, `${process}.log`),
    config: (speaker) => join(configRoot, speaker),
  }
}
