// Which agents a command asks: the one of this host, one of the lab's, or those of a cluster, one or all.
import type { JsonAnswer } from '../lib/unix-http.ts'
import { AgentClient, type AgentTransport, SocketTransport } from './client.ts'
import type { Environment } from './options.ts'
import { CliError } from './output.ts'

export type AgentArgs = {
  readonly runDir: string
  readonly node?: string | undefined
  readonly store?: string | undefined
  readonly namespace?: string | undefined
  readonly context?: string | undefined
}

/** What one agent answered; `node` null: the agent of this host, which was asked alone. */
export type NodeAnswer<T> = { readonly node: string | null; readonly answer: T }

/** How many agents are asked at once. */
const AT_ONCE = 16

/** Asks the one agent that the options name. Throws CliError if they name a cluster and no node. */
export async function askAgent<T>(args: AgentArgs, environment: Environment, ask: (client: AgentClient) => Promise<T>): Promise<T> {
  if (!isCluster(args)) return ask(new AgentClient(localTransport(args, environment)))
  if (args.node === undefined) throw new CliError('say which node: --node NAME', 2)
  const [answer] = await askCluster(args, environment, ask)
  if (answer === undefined) throw new Error('a node asked is a node answered')
  return answer.answer
}

/**
 * Asks the agent of this host, or in a cluster all agents (with `--node` one), in order of their nodes' names. An agent of many that
 * does not answer is a line on standard error and exit status 1; throws CliError if none does.
 */
export async function askAgents<T>(
  args: AgentArgs,
  environment: Environment,
  ask: (client: AgentClient) => Promise<T>,
): Promise<readonly NodeAnswer<T>[]> {
  if (isCluster(args)) return askCluster(args, environment, ask)
  return [{ node: null, answer: await ask(new AgentClient(localTransport(args, environment))) }]
}

/** The answers one after another, each item with the name of its node where several nodes were asked. */
export function itemsOf<T extends object>(answers: readonly NodeAnswer<readonly T[]>[]): readonly (T & { readonly node?: string })[] {
  return answers.flatMap(({ node, answer }) => (node === null ? answer : answer.map((item) => ({ node, ...item }))))
}

/** One raw request to the agent of this host. */
export function requestAgent(
  args: AgentArgs,
  environment: Environment,
  method: 'GET' | 'POST',
  path: string,
  body: unknown,
): Promise<JsonAnswer> {
  return localTransport(args, environment).ask(method, path, body)
}

function isCluster({ store }: AgentArgs): boolean {
  if (store === undefined || store === 'kubernetes') return store === 'kubernetes'
  throw new CliError('only --store kubernetes leads to agents; without it the agent of this host is asked, with --node one of the lab', 2)
}

function localTransport({ runDir, node }: AgentArgs, { labDir }: Environment): AgentTransport {
  return new SocketTransport({ runDir, node, labDir })
}

async function askCluster<T>(
  { node, namespace, context }: AgentArgs,
  environment: Environment,
  ask: (client: AgentClient) => Promise<T>,
): Promise<readonly NodeAnswer<T>[]> {
  const { podTransports } = await import('./pod-transport.ts')
  const agents = await podTransports({ node: node ?? null, namespace: namespace ?? environment.namespace, context: context ?? null })
  const waiting = agents.entries()
  const answers: (NodeAnswer<T> | null)[] = agents.map(() => null)
  const failures: { readonly node: string; readonly error: unknown }[] = []
  const work = async (): Promise<void> => {
    for (const [at, agent] of waiting) {
      try {
        answers[at] = { node: agent.node, answer: await ask(new AgentClient(agent.transport)) }
      } catch (error) {
        failures.push({ node: agent.node, error })
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  const given = answers.filter((answer) => answer !== null)
  const [first] = failures
  if (first !== undefined && given.length === 0) throw first.error
  for (const failure of failures) {
    if (!(failure.error instanceof CliError)) throw failure.error
    process.stderr.write(`fibula: node ${failure.node}: ${failure.error.message}\n`)
    process.exitCode = 1
  }
  return given
}
