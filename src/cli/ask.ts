// `fibula ask METHOD PATH [BODY]`: one request to the agent of this host, status and body as one line of JSON. It is the far end of
// commands that reach an agent through its pod (pod-transport.ts).
import { requestAgent } from './agents.ts'
import { agentOptions, type Cli, type Environment } from './options.ts'
import { CliError } from './output.ts'

export function addAsk(cli: Cli, environment: Environment): void {
  cli.command(
    'ask <method> <path> [body]',
    false,
    (to) =>
      to
        .options(agentOptions(environment))
        .positional('method', { choices: ['GET', 'POST'] as const, demandOption: true })
        .positional('path', { type: 'string', demandOption: true })
        .positional('body', { type: 'string', describe: 'JSON' }),
    async (args) => {
      const answer = await requestAgent(args, environment, args.method, args.path, args.body === undefined ? undefined : parse(args.body))
      process.stdout.write(`${JSON.stringify(answer)}\n`)
    },
  )
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new CliError('the body is no JSON', 2, { cause })
  }
}
