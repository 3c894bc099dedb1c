// A lab on this host: brought up from a topology, found again by its folder, taken down. State is written before anything is
// built, so whatever a crash leaves behind can be found and removed by the next `up` or `down`.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { parse, YAMLParseError } from 'yaml'
import { ExecError, exec } from '../lib/exec.ts'
import { LabError } from './error.ts'
import { routerPaths, writeConfigurations, writeManifests } from './files.ts'
import { identityOf, isRunning, type ProcessIdentity, signalProcess } from './identity.ts'
import { folderOf, hostsFile } from './manifests.ts'
import { buildNetwork, netnsPath, removeNamespaces } from './netns.ts'
import { DEFAULT_LAB_DIR, type LabPaths } from './paths.ts'
import { fibulaSpeakers, namespacesOf, type Plan, planLab, plannedPods, type RouterKind } from './plan.ts'
import { attachedPods, attachPods, type Pod, podRecords } from './pods.ts'
import { type ProcessSpec, realRouter } from './routers/index.ts'
import { type LabState, readProcesses, readState, removeFolder, writeState, writeWhole } from './state.ts'
import { parseTopology, type Topology } from './topology.ts'
import { waitFor } from './wait.ts'

/** `pods`: those that had a network when the lab was looked at. */
export type Lab = { readonly paths: LabPaths; readonly plan: Plan; readonly pods: readonly Pod[] }

/** Told what is being done, in words, while it is done. */
export type Progress = (step: string) => void

export type UpOptions = {
  readonly paths: LabPaths
  /** null: two racks. */
  readonly topologyFile: string | null
  readonly routerKind: RouterKind
  /** How to run this very program: Node, its flags, main file. */
  readonly program: readonly [string, ...string[]]
  /** The command this is for; it owns the lab until `release`. */
  readonly command: string
}

/** The default topology; lies beside the sources and beside the build. */
export function defaultTopologyFile(): string {
  return new URL('../../lab/two-racks.yaml', import.meta.url).pathname
}

/** Builds the lab and starts everything in it; sessions come up afterwards. Cleans up first what an earlier one left. */
export async function bringUp({ paths, topologyFile, routerKind, program, command }: UpOptions, progress: Progress): Promise<Lab> {
  requireRoot()
  const file = topologyFile ?? defaultTopologyFile()
  const plan = planLab(readTopology(file), { routerKind, netnsPrefix: netnsPrefix(paths.dir) })
  await requirePrograms(plan)
  await takeDown(paths, progress)
  await removeNamespaces([...namespacesOf(plan).values()]) // of a lab whose folder is gone
  const processes = [...routerProcesses(plan, paths, program), ...agentProcesses(plan, paths, program)]
  const namespaces = [...namespacesOf(plan).values()]
  progress(`building ${namespaces.length} network namespaces and ${plan.links.length} links`)
  writeState(paths, {
    routerKind,
    netnsPrefix: netnsPrefix(paths.dir),
    namespaces,
    owner: ownerOf(command),
    processes: processes.map((each) => ({ ...each, argv: [...each.argv] })),
  })
  copyFileSync(file, paths.topology)
  writeWhole(paths.hosts, hostsFile(plan, []))
  await buildNetwork(plan)
  writeManifests(plan, paths)
  writeConfigurations(plan, paths)
  progress(`starting ${plan.nodes.length} nodes and ${plan.routers.length} routers (${routerKind})`)
  await startSupervisor(paths, program)
  const pods = plannedPods(plan)
  progress(`adding ${pods.length} pods through the CNI plugin`)
  return { paths, plan, pods: await attachPods(plan, paths, pods) }
}

/** The lab that is up in this folder. Throws LabError if there is none. */
export function openLab(paths: LabPaths): Lab {
  const state = readState(paths)
  if (state === null || !existsSync(paths.topology))
    throw new LabError('FAILED', `no lab is up in ${paths.dir}: start one with \`fibula lab up\``)
  const { routerKind, netnsPrefix } = state
  return { paths, plan: planLab(readTopology(paths.topology), { routerKind, netnsPrefix }), pods: attachedPods(paths) }
}

/** Gives the lab up to whoever comes next: nothing is being built any more. */
export function release({ paths }: Lab): void {
  const state = readState(paths)
  if (state !== null) writeState(paths, { ...state, owner: null })
}

/** Ends everything that runs in the lab of this folder and removes every trace. True if there was one. */
export async function takeDown(paths: LabPaths, progress: Progress): Promise<boolean> {
  requireRoot()
  const state = readState(paths)
  if (state === null) return false
  refuseIfOwned(state, paths)
  progress('removing the lab')
  const supervisor = readProcesses(paths)?.supervisor
  if (supervisor !== undefined) await endSupervisor(supervisor)
  await removeNamespaces([...new Set([...state.namespaces, ...podRecords(paths).map(({ netns }) => netns)])])
  removeFolder(paths)
  return true
}

/** What answers from a command run in a namespace of the lab. Rejects with ExecError. */
export async function runInside(netns: string, argv: readonly string[]): Promise<string> {
  return (await exec('nsenter', [`--net=${netnsPath(netns)}`, ...argv], { timeoutMs: 10_000 })).stdout
}

async function endSupervisor(supervisor: ProcessIdentity): Promise<void> {
  signalProcess(supervisor, 'SIGKILL')
  await waitFor(() => (isRunning(supervisor) ? null : true), { deadlineMs: 5000, everyMs: 10 })
}

/** The default lab has short names; another folder means another lab beside it, so its namespaces carry a mark. */
function netnsPrefix(dir: string): string {
  return dir === DEFAULT_LAB_DIR ? 'fiblab-' : `fiblab-${createHash('sha256').update(dir).digest('hex').slice(0, 4)}-`
}

function requireRoot(): void {
  if (process.getuid?.() !== 0) throw new LabError('FAILED', 'the lab makes network namespaces, which needs root: run it with sudo')
}

async function requirePrograms(plan: Plan): Promise<void> {
  const router = realRouter(plan.routerKind)
  const wanted = [
    ...['ip', 'nsenter', 'unshare'].map((name) => [name, 'iproute2 util-linux'] as const),
    ...(router?.programs ?? []).map((name) => [name, router?.packages ?? ''] as const),
  ]
  for (const [program, packages] of wanted) {
    const isThere = program.startsWith('/') ? existsSync(program) : await inPath(program)
    if (!isThere) throw new LabError('FAILED', `${program} is missing: apt-get install ${packages}`)
  }
}

async function inPath(program: string): Promise<boolean> {
  try {
    await exec('sh', ['-c', 'command -v "$0"', program])
    return true
  } catch (error) {
    if (error instanceof ExecError) return false
    throw error
  }
}

function readTopology(file: string): Topology {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new LabError('USAGE', `cannot read the topology ${file}: does the file exist?`, { cause })
  }
  try {
    const parsed = parseTopology(parse(text))
    if (parsed.ok) return parsed.value
    throw new LabError('USAGE', `${file}: ${parsed.error.join('; ')}`)
  } catch (cause) {
    if (cause instanceof YAMLParseError) throw new LabError('USAGE', `${file} is not YAML: ${cause.message.split('\n')[0]}`, { cause })
    throw cause
  }
}

/** A demo in another terminal must not lose its lab to this one. */
function refuseIfOwned({ owner }: LabState, paths: LabPaths): void {
  if (owner === null || owner.pid === process.pid || !isRunning(owner)) return
  throw new LabError(
    'FAILED',
    `\`fibula lab ${owner.command}\` (pid ${owner.pid}) is at work in ${paths.dir}: wait for it or stop it, or choose another --dir`,
  )
}

function ownerOf(command: string): LabState['owner'] {
  const identity = identityOf(process.pid)
  return identity === null ? null : { ...identity, command }
}

function agentProcesses(plan: Plan, paths: LabPaths, program: readonly [string, ...string[]]): readonly ProcessSpec[] {
  return fibulaSpeakers(plan).map((speaker) => {
    const { name, netns } = speaker
    const options = [
      '--node',
      name,
      '--store',
      `dir:${paths.store(folderOf(speaker))}`,
      '--run-dir',
      paths.run(name),
      ...(speaker.role === 'node' ? ['--cni-socket', paths.cniSocket(name)] : []),
    ]
    return { name, speaker: name, netns, argv: [...program, 'agent', ...options], env: {}, log: paths.log(name), waitFor: null }
  })
}

function routerProcesses(plan: Plan, paths: LabPaths, program: readonly [string, ...string[]]): readonly ProcessSpec[] {
  const kind = realRouter(plan.routerKind)
  if (kind === null) return []
  return plan.routers.flatMap((router) =>
    kind
      .processes(router, routerPaths(paths, router), program)
      .map((each) => ({ ...each, speaker: router.name, netns: router.netns, env: {}, log: paths.log(each.name) })),
  )
}

async function startSupervisor(paths: LabPaths, [node, ...args]: readonly [string, ...string[]]): Promise<void> {
  mkdirSync(paths.logRoot, { recursive: true })
  const log = openSync(paths.log('supervisor'), 'a')
  const child = spawn(node, [...args, 'lab-supervisor', '--dir', paths.dir], { detached: true, stdio: ['ignore', log, log], cwd: '/' })
  closeSync(log)
  child.unref()
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null
  const started = await waitFor(() => (hasEnded() ? false : readProcesses(paths) === null ? null : true), {
    deadlineMs: 15_000,
    everyMs: 50,
  })
  if (started !== true) throw new LabError('FAILED', `the supervisor of the lab did not start: see ${paths.log('supervisor')}`)
}
