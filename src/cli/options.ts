// The options commands share, and what a command is to main.ts. Only main.ts reads the environment; it becomes defaults here.
import type { Argv } from 'yargs'
import type { AgentChoice } from './client.ts'
import type { OutputFormat } from './output.ts'

/** What every handler finds in its arguments. */
export type GlobalOptions = {
  readonly output: OutputFormat
}

/** The command line being built; a command module adds itself to it. */
export type Cli = Argv<GlobalOptions>

export type Environment = {
  readonly runDir: string
  readonly labDir: string
  /** What stands behind `--`, word for word: yargs would turn `007` into 7. Only `lab exec` takes it. */
  readonly trailing: readonly string[]
}

/** Reads what the command line takes from the environment: `FIBULA_RUN_DIR` and `FIBULA_LAB_DIR`, which `fibula lab exec` sets. */
export function environmentOf({ FIBULA_RUN_DIR, FIBULA_LAB_DIR }: NodeJS.ProcessEnv, trailing: readonly string[]): Environment {
  return { runDir: FIBULA_RUN_DIR || '/run/fibula', labDir: FIBULA_LAB_DIR || '/run/fibula-lab', trailing }
}

/** The options that select an agent, for the commands that ask one. */
export function agentOptions(environment: Environment) {
  return {
    'run-dir': { type: 'string', default: environment.runDir, describe: 'Run directory of the agent to ask', requiresArg: true },
    node: { type: 'string', describe: 'Ask the agent of this node of the lab on this host instead', requiresArg: true },
  } as const
}

export function agentChoice(args: { readonly runDir: string; readonly node?: string | undefined }, environment: Environment): AgentChoice {
  return { runDir: args.runDir, node: args.node, labDir: environment.labDir }
}
