// A container runtime in small: runs the CNI plugin as containerd would (CNI specification 1.1.0, sections 2 and 4), in no
// container. The plugin is the shim that `make build` leaves, or its TypeScript equivalent where there is no C compiler.
import { existsSync } from 'node:fs'
import { z } from 'zod'
import { ExecError, exec } from '../lib/exec.ts'
import { LabError } from './error.ts'
import { POD_NAMESPACE } from './manifests.ts'

const CNI_VERSION = '1.1.0'
/** Name of the lab's network, part of what owns an address. */
const NETWORK = 'lab'
const POD_INTERFACE = 'eth0'
/** "Try again later" (CNI specification, section 5). */
const TRY_AGAIN = 11
const DEADLINE_MS = 60_000

const addResult = z.object({
  interfaces: z.array(z.object({ name: z.string(), sandbox: z.string().optional() })),
  ips: z.array(z.object({ address: z.string() })),
})
const errorResult = z.object({ code: z.int(), msg: z.string(), details: z.string().optional() })

export type CniAttachment = {
  readonly containerId: string
  /** Path of the pod's network namespace. */
  readonly netns: string
  readonly pod: string
  readonly socket: string
}

/** What ADD answered: addresses without prefix length, and the end of the link in the node's namespace. */
export type CniAdded = { readonly addresses: readonly string[]; readonly hostInterface: string }

export class CniError extends LabError {
  readonly mayRetry: boolean
  constructor(message: string, mayRetry: boolean) {
    super('FAILED', message)
    this.name = 'CniError'
    this.mayRetry = mayRetry
  }
}

/** Rejects with CniError. */
export async function cniAdd(attachment: CniAttachment): Promise<CniAdded> {
  const { interfaces, ips } = addResult.parse(JSON.parse(await runPlugin('ADD', attachment)))
  const hostInterface = interfaces.find(({ sandbox }) => sandbox === undefined || sandbox === '')?.name ?? ''
  return { hostInterface, addresses: ips.map(({ address }) => address.split('/')[0] ?? '') }
}

/** Rejects with CniError. What is not there is fine. */
export async function cniDelete(attachment: CniAttachment): Promise<void> {
  await runPlugin('DEL', attachment)
}

async function runPlugin(command: 'ADD' | 'DEL', { containerId, netns, pod, socket }: CniAttachment): Promise<string> {
  const [program, ...args] = pluginProgram()
  const env = {
    PATH: process.env['PATH'],
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: netns,
    CNI_IFNAME: POD_INTERFACE,
    CNI_PATH: '/opt/cni/bin',
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${POD_NAMESPACE};K8S_POD_NAME=${pod}`,
  }
  const input = JSON.stringify({ cniVersion: CNI_VERSION, name: NETWORK, type: 'fibula', socket })
  try {
    return (await exec(program, args, { env, input, timeoutMs: DEADLINE_MS })).stdout
  } catch (cause) {
    if (!(cause instanceof ExecError)) throw cause
    throw refusal(`CNI ${command} of pod ${pod}`, cause)
  }
}

function refusal(what: string, cause: ExecError): CniError {
  const parsed = errorResult.safeParse(jsonOf(cause.stdout))
  if (!parsed.success) return new CniError(`${what}: ${cause.message}`, false)
  const { code, msg, details } = parsed.data
  return new CniError(`${what}: ${msg}${details === undefined ? '' : `: ${details}`} (code ${code})`, code === TRY_AGAIN)
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function pluginProgram(): readonly [string, ...string[]] {
  const shim = new URL('../../dist/cni/fibula', import.meta.url).pathname
  if (existsSync(shim)) return [shim]
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return [process.execPath, '--disable-warning=ExperimentalWarning', new URL(`../cni/plugin.${extension}`, import.meta.url).pathname]
}
