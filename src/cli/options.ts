// The options commands share, and what a command is to main.ts. Only main.ts reads the environment; it becomes defaults here.
import type { Argv } from 'yargs'
import type { OutputFormat } from './output.ts'

/** What every handler finds in its arguments. */
export type GlobalOptions = {
  readonly output: OutputFormat
  /** Context of the kubeconfig; absent: its current one. */
  readonly context?: string | undefined
}

/** The command line being built; a command module adds itself to it. */
export type Cli = Argv<GlobalOptions>

export type Environment = {
  readonly runDir: string
  readonly labDir: string
  /** The store commands use unless told otherwise; null: none. */
  readonly store: string | null
  /** The agents' own namespace. */
  readonly namespace: string
  /** The node we run on, as the pod of an agent is told; null: nobody says. */
  readonly node: string | null
  /** What stands behind `--`, word for word: yargs would turn `007` into 7. Only `lab exec` takes it. */
  readonly trailing: readonly string[]
}

/** `kubectl fibula`: the commands speak of the cluster of the kubeconfig. */
export function isKubectlPlugin({ FIBULA_KUBECTL }: NodeJS.ProcessEnv): boolean {
  return FIBULA_KUBECTL === '1'
}

/**
 * Reads what the command line takes from the environment: `FIBULA_RUN_DIR` and `FIBULA_LAB_DIR`, which `fibula lab exec` sets,
 * `FIBULA_KUBECTL`, which the launcher of the kubectl plugin sets, and `NODE_NAME`, which the DaemonSet of the agents sets.
 */
export function environmentOf(env: NodeJS.ProcessEnv, trailing: readonly string[]): Environment {
  const { FIBULA_RUN_DIR, FIBULA_LAB_DIR, NODE_NAME } = env
  return {
    runDir: FIBULA_RUN_DIR || '/run/fibula',
    labDir: FIBULA_LAB_DIR || '/run/fibula-lab',
    store: isKubectlPlugin(env) ? 'kubernetes' : null,
    namespace: 'fibula-system',
    node: NODE_NAME || null,
    trailing,
  }
}

/** The options that select an agent, for the commands that ask one or more. */
export function agentOptions(environment: Environment) {
  return {
    'run-dir': { type: 'string', default: environment.runDir, describe: 'Run directory of the agent to ask', requiresArg: true },
    node: {
      type: 'string',
      describe: 'Ask the agent of this node: of the lab on this host, or with --store kubernetes of the cluster',
      requiresArg: true,
    },
    store: {
      type: 'string',
      ...(environment.store === null ? {} : { default: environment.store }),
      describe: 'kubernetes: ask the agents of the cluster of the kubeconfig, through their pods',
      requiresArg: true,
    },
    namespace: { type: 'string', default: environment.namespace, describe: 'Namespace of the agents', requiresArg: true },
  } as const
}
