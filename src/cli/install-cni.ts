// `fibula install-cni`: the CNI plugin onto the node, as an init container does it before the agent starts. The configuration that
// makes the runtime use the plugin is the agent's, which writes it once it can serve (src/cni/conflist.ts).
import { fileURLToPath } from 'node:url'
import type { Cli } from './options.ts'
import { CliError, print } from './output.ts'

/** Built beside this file. */
const PROGRAM = fileURLToPath(new URL('../cni/fibula', import.meta.url))

export function addInstallCni(cli: Cli, describe: string): void {
  cli.command(
    'install-cni',
    describe,
    (to) =>
      to
        .option('bin-dir', {
          type: 'string',
          default: '/opt/cni/bin',
          requiresArg: true,
          describe: 'Where the container runtime looks for plugins',
        })
        .option('plugin', {
          type: 'string',
          default: PROGRAM,
          defaultDescription: 'the one built with this program',
          requiresArg: true,
          hidden: true,
        })
        .example('$0 install-cni --bin-dir /host/opt/cni/bin', 'in a container with the folder of the node mounted there'),
    async ({ binDir, plugin, output }) => {
      const { installPlugin, PLUGIN_FILE } = await import('../cni/index.ts')
      const changed = await installPlugin(plugin, binDir).catch((cause: NodeJS.ErrnoException) => {
        throw new CliError(`cannot install ${PLUGIN_FILE} in ${binDir}: ${cause.message}${remedyFor(cause, plugin)}`, 1, { cause })
      })
      await print(output, { binDir, plugin: PLUGIN_FILE, changed }, () =>
        changed ? `${PLUGIN_FILE} is in ${binDir} now\n` : `${PLUGIN_FILE} is in ${binDir} already\n`,
      )
    },
  )
}

function remedyFor({ code, path }: NodeJS.ErrnoException, plugin: string): string {
  if (code === 'ENOENT' && path === plugin) return '; run `make build`, which builds the plugin'
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return '; run this as root, and where the folder is not root’s or SELinux enforces, see docs/security.md for what the container needs'
    case 'EROFS':
      return '; on a node whose folders are read-only the runtime looks for plugins elsewhere: name that folder (agent.cni.binDir of the chart)'
    case 'ENOSPC':
      return '; make room on the node'
    default:
      return ''
  }
}
