// `fibula agent`: the long-running role. The agent itself is loaded only when it runs.
import { resolve } from 'node:path'
import { type AgentOptions, DEFAULT_CNI_BIN_DIRS, type Detection, defaultStateDir, parseDetection, runAgent } from '../agent/index.ts'
import type { LogLevel } from '../lib/log.ts'
import type { Cli, Environment } from './options.ts'
import { CliError } from './output.ts'

const DETECTION = (family: string): string =>
  `How this node's ${family} address is found where no annotation names it: first-found, kubernetes-internal-ip, interface=REGEX,…, skip-interface=REGEX,…, cidr=CIDR,… or can-reach=ADDRESS [default: the InternalIP of the Node, else first-found]`

const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error']

export function addAgent(cli: Cli, describe: string, environment: Environment): void {
  cli.command(
    'agent',
    describe,
    (to) =>
      to
        .option('node', {
          type: 'string',
          ...(environment.node === null ? { demandOption: true } : { default: environment.node }),
          requiresArg: true,
          describe: 'Name of this node among the Node objects [default: NODE_NAME of the environment]',
        })
        .option('store', {
          type: 'string',
          demandOption: true,
          requiresArg: true,
          describe:
            'Where the objects are: kubernetes, the cluster of this pod or of the kubeconfig; or dir:PATH, a folder of YAML manifests',
        })
        .option('ipv4-detection', { type: 'string', requiresArg: true, describe: DETECTION('IPv4') })
        .option('ipv6-detection', { type: 'string', requiresArg: true, describe: DETECTION('IPv6') })
        .option('run-dir', {
          type: 'string',
          default: environment.runDir,
          requiresArg: true,
          describe: 'Control socket and restart state; must not outlive a reboot',
        })
        .option('metrics-port', {
          type: 'number',
          default: 9179,
          requiresArg: true,
          describe: 'Port of /metrics, /healthz and /readyz; 0: none',
        })
        .option('namespace', {
          type: 'string',
          default: 'fibula-system',
          requiresArg: true,
          describe: 'Where the Secrets of BGP passwords are',
        })
        .option('log-level', {
          choices: LOG_LEVELS,
          default: 'info' as LogLevel,
          requiresArg: true,
          describe: 'Until BGPConfiguration names another',
        })
        .option('cni-socket', {
          type: 'string',
          requiresArg: true,
          describe: 'Serve the CNI plugin on this unix socket; without it no pod gets a network here',
        })
        .option('state-dir', {
          type: 'string',
          requiresArg: true,
          describe:
            'The pods of this node with their addresses, and the objects last known, passwords included; must outlive a reboot and belong to this agent alone [default: /var/lib/fibula, or state in another --run-dir]',
        })
        .option('cni-conf-dir', {
          type: 'string',
          requiresArg: true,
          describe: 'Write the network configuration of the container runtime into this folder, such as /etc/cni/net.d',
        })
        .option('cni-bin-dir', {
          type: 'string',
          array: true,
          default: [...DEFAULT_CNI_BIN_DIRS],
          requiresArg: true,
          describe: 'Where to look for the portmap and bandwidth plugins, to be named in that configuration',
        })
        .option('policy', {
          choices: ['enforce', 'off'] as const,
          default: 'enforce' as const,
          requiresArg: true,
          describe: 'NetworkPolicy and ClusterNetworkPolicy of the pods served; off: that is for another program',
        })
        .option('policy-connections', {
          choices: ['cut', 'keep'] as const,
          default: 'cut' as const,
          requiresArg: true,
          describe: 'Established connections that a change of policy forbids',
        })
        .option('policy-own-node', {
          choices: ['allow', 'police'] as const,
          default: 'allow' as const,
          requiresArg: true,
          describe: 'What NetworkPolicies say of traffic from a pod to the node it is on',
        })
        .example('$0 agent --node node-1 --store dir:/etc/fibula', 'BGP and routes from the manifests in /etc/fibula')
        .example('$0 agent --store kubernetes --ipv4-detection cidr=10.0.0.0/8', 'In a pod of a DaemonSet that sets NODE_NAME')
        .example(
          '$0 agent --node node-1 --store dir:/etc/fibula --cni-socket /run/fibula/cni.sock --cni-conf-dir /etc/cni/net.d',
          'Pods too',
        ),
    async ({ node, store, runDir, metricsPort, namespace, logLevel, cniSocket, cniConfDir, cniBinDir, ...more }) => {
      if (store !== 'kubernetes' && !store.startsWith('dir:')) throw new CliError('--store is kubernetes, or dir:PATH', 2)
      if (!Number.isInteger(metricsPort) || metricsPort < 0 || metricsPort > 65_535)
        throw new CliError('--metrics-port is 1 to 65535, or 0 for none', 2)
      if (cniSocket === undefined && cniConfDir !== undefined)
        throw new CliError('--cni-conf-dir needs --cni-socket: the configuration it writes names that socket', 2)
      const stateDir = resolve(more.stateDir ?? defaultStateDir(runDir))
      const options: AgentOptions = {
        node,
        store,
        runDir,
        stateDir,
        detections: { ipv4: detectionOf(more.ipv4Detection, 4), ipv6: detectionOf(more.ipv6Detection, 6) },
        namespace,
        logLevel,
        metricsPort: metricsPort === 0 ? null : metricsPort,
        cni:
          cniSocket === undefined
            ? null
            : {
                socket: resolve(cniSocket), // as the plugin will be told, which runs elsewhere
                stateDir,
                confDir: cniConfDir === undefined ? null : resolve(cniConfDir),
                binDirs: cniBinDir.map((each) => resolve(each)),
              },
        policy:
          more.policy === 'off'
            ? null
            : {
                cutsConnections: more.policyConnections === 'cut',
                ownNodeEgress: more.policyOwnNode,
                missingPods: store === 'kubernetes' ? 'deny' : 'unlabelled', // a folder need not have Pods at all
              },
      }
      const status = await runAgent(options).catch((cause: unknown) => {
        throw new CliError(cause instanceof Error ? cause.message : String(cause), 1, { cause }) // why it cannot start
      })
      process.exit(status)
    },
  )
}

function detectionOf(text: string | undefined, family: 4 | 6): Detection | null {
  if (text === undefined) return null
  const parsed = parseDetection(text, family)
  if (!parsed.ok) throw new CliError(`--ipv${family}-detection: ${parsed.error}`, 2)
  return parsed.value
}
