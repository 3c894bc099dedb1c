// `fibula policy explain|show`.
import type { Explanation, PodPolicyStatus } from '../agent/index.ts'
import { ExplainError, explainPolicy } from '../agent/index.ts'
import { askAgent, askAgents, itemsOf } from './agents.ts'
import { agentOptions, type Cli, type Environment } from './options.ts'
import { type Cell, CliError, type Column, formatFields, formatTable, paint, print, type Screen, withNodes } from './output.ts'
import { withStore } from './store-option.ts'

export function addPolicy(cli: Cli, describe: string, environment: Environment): void {
  cli.command('policy', describe, (policy: Cli) => {
    policy.command(
      'explain',
      'Would this be allowed, and which rule decides? Sends no packet',
      (to) =>
        to
          .options({
            ...agentOptions(environment),
            store: {
              type: 'string',
              ...(environment.store === null ? {} : { default: environment.store }),
              requiresArg: true,
              describe: 'Read the objects there: kubernetes, or dir:PATH; without it the agent of this host reads its own',
            },
          })
          .option('from', {
            type: 'string',
            demandOption: true,
            requiresArg: true,
            describe: 'Who begins: [NAMESPACE/]POD, node/NAME or an address',
          })
          .option('to', {
            type: 'string',
            demandOption: true,
            requiresArg: true,
            describe: 'Whom it wants: the same, or service/[NAMESPACE/]NAME',
          })
          .option('port', {
            type: 'string',
            demandOption: true,
            requiresArg: true,
            describe: 'Destination port and protocol: 80/TCP, 53/UDP, http/TCP (a name), or ICMP',
          })
          .example('$0 policy explain --from web/frontend-1 --to db/postgres-0 --port 5432/TCP', 'by the names of pods')
          .example('$0 policy explain --from 192.0.2.7 --to service/web/shop --port 443', 'from outside to a service'),
      async (args) => {
        const { from, to, port, store } = args
        const explanation =
          store === undefined || (store === 'kubernetes' && args.node !== undefined)
            ? await askAgent(args, environment, (client) => client.get<Explanation>('/v1/policy/explain', { from, to, port }))
            : await withStore({ ...args, store }, (opened) => explainPolicy(opened, { from, to, port }).catch(rethrow))
        await print(args.output, explanation, formatExplanation)
      },
    )
    policy.command(
      'show [pod]',
      'What has a say on the pods of a node, and what it dropped; exit status 1 while a pod waits for its rules',
      (to) =>
        to
          .options(agentOptions(environment))
          .positional('pod', { type: 'string', describe: 'Only this one: [NAMESPACE/]POD' })
          .example('$0 policy show web/shop-1', 'its policies by tier and direction, and packets dropped'),
      async (args) => {
        // All of them, also for one: that a pod is not on a node is no failure of that node.
        const all = itemsOf(await askAgents(args, environment, (client) => client.get<readonly PodPolicyStatus[]>('/v1/policy/pods')))
        const { pod } = args
        const pods = pod === undefined ? all : all.filter(({ namespace, name }) => name === pod || `${namespace}/${name}` === pod)
        if (pod !== undefined && pods.length === 0)
          throw new CliError(
            `there is no pod ${JSON.stringify(pod)} here: \`fibula policy show\` lists those there are, --node names another node`,
          )
        await print(args.output, pods, (shown, screen) => {
          if (shown.length === 0) return 'no pods\n'
          return pod === undefined
            ? formatTable(withNodes(shown, COLUMNS), shown, screen)
            : shown.map((each) => formatPod(each, screen)).join('\n')
        })
        if (pods.some(({ state }) => state === 'denied')) process.exitCode = 1
      },
    )
    return policy.demandCommand(1, 'say what to do: explain or show')
  })
}

function rethrow(cause: unknown): never {
  if (cause instanceof ExplainError) throw new CliError(cause.message, cause.code === 'USAGE' ? 2 : 1, { cause })
  throw cause
}

function formatExplanation({ from, to, port, allowed, flows }: Explanation, screen: Screen): string {
  const head = formatFields(
    [
      ['From', from],
      ['To', to],
      ['Port', port],
      ['Verdict', verdict(allowed)],
    ],
    screen,
  )
  const details = flows.map(({ source, destination, protocol, port: number, stages, ...flow }) => {
    const where = `${source} -> ${destination}${number === null ? '' : ` port ${number}`} ${protocol}`
    const lines = stages.flatMap(({ direction, pod, node, allowed: passes, reason, passedBy }) => [
      ...passedBy.map((text) => `  ${direction} of ${pod}: ${text}`),
      `  ${direction} of ${pod}${node === null ? '' : ` on ${node}`}: ${paint(verdict(passes), screen)}: ${reason}`,
    ])
    const nobody = stages.length === 0 ? ['  neither end is a pod: no policy has a say'] : []
    return `${paint({ text: where, tone: 'heading' }, screen)}: ${paint(verdict(flow.allowed), screen)}\n${[...lines, ...nobody].join('\n')}\n`
  })
  return [head, ...details].join('\n')
}

function verdict(allowed: boolean): Exclude<Cell, string> {
  return allowed ? { text: 'allowed', tone: 'good' } : { text: 'denied', tone: 'bad' }
}

type NodePod = PodPolicyStatus & { readonly node?: string }

const COLUMNS: readonly Column<NodePod>[] = [
  { title: 'pod', cell: nameOf },
  { title: 'interface', cell: ({ hostInterface }) => hostInterface },
  { title: 'state', cell: ({ state }) => ({ text: state, tone: state === 'denied' ? 'bad' : 'good' }) },
  { title: 'ingress', cell: ({ ingress }) => policiesOf(ingress).join(', ') || '-', shrinks: true },
  { title: 'egress', cell: ({ egress }) => policiesOf(egress).join(', ') || '-', shrinks: true },
  { title: 'dropped in/out', cell: ({ ingress, egress }) => `${ingress.droppedPackets}/${egress.droppedPackets}`, align: 'right' },
]

function formatPod(pod: NodePod, screen: Screen): string {
  const { state, waitsFor, addresses, hostInterface, ingress, egress, node } = pod
  const direction = (what: string, { admin, networkPolicies, baseline, droppedPackets }: PodPolicyStatus['ingress']) =>
    [
      [`${what}, Admin`, admin.join(', ') || '-'],
      [`${what}, NetworkPolicies`, networkPolicies.join(', ') || '-'],
      [`${what}, Baseline`, baseline.join(', ') || '-'],
      [`${what}, packets dropped`, String(droppedPackets)],
    ] as const
  return formatFields(
    [
      ...(node === undefined ? [] : [['Node', node] as const]),
      ['Pod', nameOf(pod)],
      ['Addresses', addresses.join(', ')],
      ['Interface', hostInterface],
      ['State', waitsFor === null ? { text: state, tone: 'good' } : { text: `${state}: ${waitsFor}`, tone: 'bad' }],
      ...direction('Ingress', ingress),
      ...direction('Egress', egress),
    ],
    screen,
  )
}

function nameOf({ namespace, name, hostInterface }: PodPolicyStatus): string {
  return name === null ? hostInterface : `${namespace}/${name}`
}

function policiesOf({ admin, networkPolicies, baseline }: PodPolicyStatus['ingress']): readonly string[] {
  return [...admin, ...networkPolicies, ...baseline]
}
