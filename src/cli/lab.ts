// `fibula lab …`: racks, routers, nodes and pods on this host. The work is in src/lab; here are its words, tables and exit status.
import { spawn } from 'node:child_process'
import {
  addPod,
  awaitSessions,
  bringUp,
  deletePod,
  followGobgp,
  isRunning,
  type LinkReport,
  labPaths,
  namespacesOf,
  netnsPath,
  openLab,
  type Pod,
  type RouterKind,
  readLinks,
  readProcesses,
  readSessions,
  release,
  type SessionReport,
  setLink,
  speakersOf,
  superviseLab,
  takeDown,
} from '../lab/index.ts'
import { formatSessions, guarded, howToLook, labOptions, pathsOf, thisProgram, upOptions, waitingFor } from './lab-common.ts'
import { addDemo } from './lab-demo.ts'
import { addPings } from './lab-pings.ts'
import { addProbe } from './lab-probe.ts'
import type { Cli, Environment } from './options.ts'
import { CliError, type Column, formatAge, formatTable, print, type Screen } from './output.ts'
import { Progress } from './progress.ts'

export function addLab(cli: Cli, describe: string, environment: Environment): void {
  cli.command('lab', describe, (lab: Cli) => {
    lab.command(
      'up',
      'Build the lab, start everything, wait until BGP is up',
      (to) => to.options(upOptions(environment)),
      (args) => guarded(() => up(args)),
    )
    lab.command(
      'down',
      'End everything and remove every trace',
      (to) => to.options(labOptions(environment)),
      (args) => guarded(() => down(args)),
    )
    lab.command(
      'status',
      'What runs, with its sessions and links; exit status 1 if something is down',
      (to) => to.options(labOptions(environment)),
      (args) => guarded(() => status(args)),
    )
    lab.command(
      'exec <place> [command..]',
      'Run a command in a node, router or pod (a shell without one)',
      (to) =>
        to
          .options(labOptions(environment))
          .positional('place', { type: 'string', demandOption: true, describe: 'Name of a node, router or pod, or wires' })
          .positional('command', { type: 'string', array: true, describe: 'The command; write -- before it' })
          .example('$0 lab exec pod-1a -- ping -c 3 pod-3b', 'from pod to pod')
          .example('$0 lab exec node-1 -- fibula bgp peers', 'ask an agent'),
      (args) => guarded(() => execute({ ...args, command: [...(args.command ?? []), ...environment.trailing] })),
    )
    lab.command(
      'link <link> <state>',
      'Cut a cable, or mend it',
      (to) =>
        to
          .options(labOptions(environment))
          .positional('link', { type: 'string', demandOption: true, describe: 'Name of the link, as `fibula lab status` shows it' })
          .positional('state', {
            choices: ['up', 'down'] as const,
            demandOption: true,
            describe: 'down: both ends lose carrier, as when a fibre breaks',
          }),
      (args) => guarded(() => link(args)),
    )
    lab.command('pod', 'Add and delete pods, through the CNI plugin as a container runtime does', (pod: Cli) =>
      pod
        .command(
          'add <name>',
          'Make a pod on a node: a namespace with addresses that the agent of the node gives',
          (to) =>
            to
              .options(labOptions(environment))
              .positional('name', { type: 'string', demandOption: true, describe: 'Name of the pod, new in the lab' })
              .option('node', { type: 'string', demandOption: true, requiresArg: true, describe: 'Node of the pod' })
              .example('$0 lab pod add pod-1c --node node-1', 'then: fibula lab exec pod-1c -- ping pod-3b'),
          (args) => guarded(() => podAdd(args)),
        )
        .command(
          'delete <name>',
          'Remove a pod; its addresses go back to the block',
          (to) =>
            to.options(labOptions(environment)).positional('name', { type: 'string', demandOption: true, describe: 'Name of the pod' }),
          (args) => guarded(() => podDelete(args)),
        )
        .demandCommand(1, 'say what to do: add or delete'),
    )
    addPings(lab, environment)
    addDemo(lab, environment)
    addProbe(lab, environment)
    return lab.demandCommand(1, 'say what to do with the lab: up, status, exec, link, pod, pings, probe, demo or down')
  })
}

/** The process that keeps the others running; started by `lab up`, not by people. */
export function addSupervisor(cli: Cli, environment: Environment): void {
  cli.command(
    'lab-supervisor',
    false,
    (to) => to.options(labOptions(environment)),
    (args) => guarded(() => superviseLab(labPaths(args.dir))),
  )
}

/** Beside a GoBGP router, in its namespace; started by the supervisor. */
export function addGobgpFib(cli: Cli): void {
  cli.command(
    'lab-gobgp-fib',
    false,
    (to) => to,
    () => followGobgp(),
  )
}

type UpArgs = {
  readonly dir: string
  readonly topology?: string | undefined
  readonly router: RouterKind
  readonly output: 'table' | 'json' | 'yaml'
}

async function up(args: UpArgs): Promise<void> {
  const progress = new Progress()
  const lab = await bringUp(
    { paths: pathsOf(args), topologyFile: args.topology ?? null, routerKind: args.router, program: thisProgram(), command: 'up' },
    (step) => progress.step(step),
  )
  const sessions = await awaitSessions(lab, (seen) => progress.step(waitingFor(seen)), new AbortController().signal)
  progress.done()
  release(lab)
  await print(args.output, sessions, (all, screen) => `${formatSessions(all, screen)}\n${howToLook(lab)}`)
  if (sessions.some(({ isEstablished }) => !isEstablished)) process.exitCode = 1
}

async function down(args: { readonly dir: string; readonly output: 'table' | 'json' | 'yaml' }): Promise<void> {
  const progress = new Progress()
  const wasUp = await takeDown(pathsOf(args), (step) => progress.step(step))
  progress.done()
  await print(args.output, { dir: args.dir, wasUp }, () => (wasUp ? 'the lab is gone\n' : `no lab was up in ${args.dir}\n`))
}

type ProcessReport = {
  readonly name: string
  readonly speaker: string
  readonly pid: number | null
  readonly since: string
  readonly restarts: number
  readonly lastExit: string | null
}

type LabReport = {
  readonly dir: string
  readonly topology: string
  readonly router: RouterKind
  readonly isSupervised: boolean
  readonly processes: readonly ProcessReport[]
  readonly sessions: readonly SessionReport[]
  readonly links: readonly LinkReport[]
  readonly pods: readonly Pod[]
}

async function status(args: { readonly dir: string; readonly output: 'table' | 'json' | 'yaml' }): Promise<void> {
  const lab = openLab(pathsOf(args))
  const table = readProcesses(lab.paths)
  const [sessions, links] = await Promise.all([readSessions(lab), readLinks(lab)])
  const processes = (table?.processes ?? []).map(({ process: identity, ...rest }): ProcessReport => {
    return { ...rest, pid: identity !== null && isRunning(identity) ? identity.pid : null }
  })
  const isSupervised = table !== null && isRunning(table.supervisor)
  const report: LabReport = {
    dir: lab.paths.dir,
    topology: lab.plan.name,
    router: lab.plan.routerKind,
    isSupervised,
    processes,
    sessions,
    links,
    pods: lab.pods,
  }
  await print(args.output, report, formatStatus)
  const isHealthy =
    isSupervised &&
    processes.every(({ pid }) => pid !== null) &&
    sessions.every(({ isEstablished }) => isEstablished) &&
    links.every(({ isUp }) => isUp)
  if (!isHealthy) process.exitCode = 1
}

const PROCESS_COLUMNS: readonly Column<ProcessReport>[] = [
  { title: 'process', cell: ({ name }) => name },
  { title: 'pid', cell: ({ pid }) => (pid === null ? { text: 'ended', tone: 'bad' } : String(pid)), align: 'right' },
  { title: 'for', cell: ({ since }) => formatAge((Date.now() - Date.parse(since)) / 1000), align: 'right' },
  { title: 'restarts', cell: ({ restarts }) => ({ text: String(restarts), tone: restarts > 0 ? 'warning' : 'quiet' }), align: 'right' },
  { title: 'last exit', cell: ({ lastExit }) => lastExit ?? '' },
]

const LINK_COLUMNS: readonly Column<LinkReport>[] = [
  { title: 'link', cell: ({ name }) => name },
  { title: 'between', cell: ({ between }) => between.join(' and ') },
  { title: 'state', cell: ({ isUp }) => (isUp ? { text: 'up', tone: 'good' } : { text: 'down', tone: 'bad' }) },
]

const POD_COLUMNS: readonly Column<Pod>[] = [
  { title: 'pod', cell: ({ name }) => name },
  { title: 'node', cell: ({ node }) => node },
  { title: 'ipv4', cell: ({ address }) => address.ipv4 },
  { title: 'ipv6', cell: ({ address }) => address.ipv6 },
  { title: 'interface', cell: ({ hostDevice }) => hostDevice },
]

function formatStatus({ dir, topology, router, isSupervised, processes, sessions, links, pods }: LabReport, screen: Screen): string {
  const head = `${topology} in ${dir}, routers run ${router}${isSupervised ? '' : '; the supervisor has ended: nothing is restarted any more (fibula lab up starts anew)'}\n`
  return [
    head,
    formatTable(PROCESS_COLUMNS, processes, screen),
    formatSessions(sessions, screen),
    formatTable(LINK_COLUMNS, links, screen),
    formatTable(POD_COLUMNS, pods, screen),
  ].join('\n')
}

/** /sys shows the devices of the namespace it was mounted in; the lab's names take the place of the host's. */
const ENTER = 'mount -t sysfs sysfs /sys 2>/dev/null; mount --bind "$0" /etc/hosts && exec "$@"'

type ExecArgs = { readonly dir: string; readonly place: string; readonly command: readonly string[] }

/** Runs with the lab's host names and with `fibula` in the PATH asking the agent of that place. Exit status is the command's. */
async function execute({ place, command, ...args }: ExecArgs): Promise<void> {
  const lab = openLab(pathsOf(args))
  const places = new Map([...namespacesOf(lab.plan), ...lab.pods.map(({ name, netns }) => [name, netns] as const)])
  const netns = places.get(place)
  if (netns === undefined) throw new CliError(`there is no ${place} in the lab: there are ${[...places.keys()].join(', ')}`, 2)
  const speaker = speakersOf(lab.plan).find(({ name }) => name === place)
  const bin = new URL('../../bin', import.meta.url).pathname
  const { PATH = '/usr/sbin:/usr/bin:/sbin:/bin', SHELL = '/bin/sh' } = process.env
  const env = {
    ...process.env,
    PATH: `${bin}:${PATH}`,
    PS1: `${place}# `,
    FIBULA_LAB_DIR: lab.paths.dir,
    ...(speaker === undefined ? {} : { FIBULA_RUN_DIR: lab.paths.run(speaker.name) }),
  }
  const withHosts = ['unshare', '--mount', 'sh', '-c', ENTER, lab.paths.hosts]
  const child = spawn('nsenter', [`--net=${netnsPath(netns)}`, ...withHosts, ...(command.length === 0 ? [SHELL] : command)], {
    stdio: 'inherit',
    env,
  })
  const ignore = (): void => {} // the terminal's interrupt is for the command; we report how it ended
  process.on('SIGINT', ignore)
  try {
    process.exitCode = await new Promise<number>((done, reject) => {
      child.once('error', reject)
      child.once('exit', (exitStatus, signal) => done(signal === null ? (exitStatus ?? 1) : 128))
    })
  } finally {
    process.off('SIGINT', ignore)
  }
}

type PodArgs = { readonly dir: string; readonly name: string; readonly output: 'table' | 'json' | 'yaml' }

async function podAdd({ name, node, ...args }: PodArgs & { readonly node: string }): Promise<void> {
  const lab = openLab(pathsOf(args))
  const pod = await addPod(lab, name, node)
  await print(args.output, [pod], (all, screen) => formatTable(POD_COLUMNS, all, screen))
}

async function podDelete({ name, ...args }: PodArgs): Promise<void> {
  const lab = openLab(pathsOf(args))
  await deletePod(lab, name)
  await print(args.output, { name, isDeleted: true }, () => `pod ${name} is gone\n`)
}

async function link(args: {
  readonly dir: string
  readonly link: string
  readonly state: 'up' | 'down'
  readonly output: 'table' | 'json' | 'yaml'
}): Promise<void> {
  const lab = openLab(pathsOf(args))
  await setLink(lab, args.link, args.state === 'up')
  const links = await readLinks(lab)
  await print(args.output, links, (all, screen) => formatTable(LINK_COLUMNS, all, screen))
}
