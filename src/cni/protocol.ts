// From an execution of the plugin (environment and standard input) to a request with everything checked, or to the error that the
// specification has for it (pure). CNI 1.1.0 sections 2 (parameters, operations) and 5 (errors).
import { quoteText } from '../lib/log.ts'
import { err, ok, type Result } from '../lib/result.ts'
import { type AddConfig, parseAddConfig, parseNetworkName, parsePrevResult, parseValidAttachments } from './config.ts'
import { CNI_CODE, CniError, type CniFault } from './error.ts'
import type { CniInvocation } from './frame.ts'
import { invalid, isObject, type JsonObject } from './json.ts'
import type { Attachment, AttachmentKey } from './ports.ts'
import type { CniResult } from './result.ts'
import { type CniVersion, isAtLeast, parseVersion, SUPPORTED_VERSIONS } from './version.ts'

export const COMMANDS = ['ADD', 'DEL', 'CHECK', 'STATUS', 'GC', 'VERSION'] as const
export type Command = (typeof COMMANDS)[number]

type PodReference = NonNullable<Attachment['pod']>
type Common = { readonly version: CniVersion; readonly network: string }

export type AddRequest = Common & {
  readonly command: 'ADD'
  readonly key: AttachmentKey
  readonly netns: string
  readonly pod: PodReference | null
  readonly config: AddConfig
}
export type DelRequest = Common & {
  readonly command: 'DEL'
  readonly key: AttachmentKey
  /** Empty: the runtime has none any more. */
  readonly netns: string
  readonly pod: PodReference | null
}
export type CheckRequest = Common & {
  readonly command: 'CHECK'
  readonly key: AttachmentKey
  readonly netns: string
  readonly prevResult: CniResult
}
export type GcRequest = Common & { readonly command: 'GC'; readonly valid: readonly AttachmentKey[] }
export type StatusRequest = Common & { readonly command: 'STATUS' }
export type VersionRequest = { readonly command: 'VERSION' }

export type CniRequest = AddRequest | DelRequest | CheckRequest | GcRequest | StatusRequest | VersionRequest

/** A request, or its error; `requestedVersion` is what the answer's cniVersion repeats. */
export type ParsedInvocation = { readonly requestedVersion: unknown; readonly request: Result<CniRequest, CniFault> }

type Variables = ReadonlyMap<string, string>

/** Variables that a command cannot do without (CNI 1.1.0 section 2, "Parameters" and each operation). */
const REQUIRED: { readonly [C in Command]: readonly string[] } = {
  ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
  CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
  DEL: ['CNI_CONTAINERID', 'CNI_IFNAME'],
  GC: ['CNI_PATH'],
  STATUS: [],
  VERSION: [],
}

/** Version of the specification that brought a command. */
const SINCE: { readonly [C in Command]: CniVersion } = {
  ADD: '0.3.0',
  DEL: '0.3.0',
  VERSION: '0.3.0',
  CHECK: '0.4.0',
  GC: '1.1.0',
  STATUS: '1.1.0',
}

export function parseInvocation({ variables, stdin }: CniInvocation): ParsedInvocation {
  const config = parseJson(stdin)
  const requestedVersion = isObject(config) ? config['cniVersion'] : undefined
  try {
    return { requestedVersion, request: ok(parseRequest(variables, stdin, config)) }
  } catch (cause) {
    if (cause instanceof CniError) return { requestedVersion, request: err(cause.fault) }
    throw cause
  }
}

function parseRequest(variables: Variables, stdin: Uint8Array, config: unknown): CniRequest {
  const command = parseCommand(variables)
  if (command === 'VERSION' && stdin.every(isSpace)) return { command }
  if (!isObject(config)) throw fault(CNI_CODE.undecodable, 'standard input is not a JSON object: it must be the network configuration')
  if (command === 'VERSION') return { command }
  checkPresence(command, variables)
  const version = parseRequestVersion(command, config)
  const common = { version, network: parseNetworkName(config) }
  switch (command) {
    case 'STATUS':
      return { command, ...common }
    case 'GC':
      return { command, ...common, valid: parseValidAttachments(config) }
    case 'DEL': // nothing but names: a configuration that has become wrong must not keep a pod from being deleted
      return { command, ...common, key: parseKey(variables), netns: variables.get('CNI_NETNS') ?? '', pod: podOf(parsePairs(variables)) }
    case 'CHECK':
      return { command, ...common, key: parseKey(variables), netns: parseNetns(variables), prevResult: requirePrevResult(config, version) }
    case 'ADD':
      return {
        command,
        ...common,
        key: parseKey(variables),
        netns: parseNetns(variables),
        pod: podOf(parseArgs(variables)),
        config: parseAddConfig(config, version),
      }
  }
}

const strictDecoder = new TextDecoder('utf-8', { fatal: true })

/** Undefined if it is not JSON; JSON itself has no such value. */
function parseJson(stdin: Uint8Array): unknown {
  try {
    return JSON.parse(strictDecoder.decode(stdin))
  } catch {
    return undefined
  }
}

function parseCommand(variables: Variables): Command {
  const text = variables.get('CNI_COMMAND') ?? ''
  const command = COMMANDS.find((each) => each === text)
  if (command !== undefined) return command
  const problem = text === '' ? 'CNI_COMMAND is missing' : `CNI_COMMAND is ${quoteText(text, 40)}`
  throw fault(CNI_CODE.invalidEnvironment, `${problem}: it must be one of ${COMMANDS.join(', ')}`)
}

function checkPresence(command: Command, variables: Variables): void {
  const missing = REQUIRED[command].filter((name) => (variables.get(name) ?? '') === '')
  if (missing.length > 0) throw fault(CNI_CODE.invalidEnvironment, `${command} needs ${missing.join(', ')}: set in the environment`)
}

function parseRequestVersion(command: Command, config: JsonObject): CniVersion {
  const named = config['cniVersion']
  const version = typeof named === 'string' ? parseVersion(named) : null
  const details = `supported versions: ${SUPPORTED_VERSIONS.join(', ')}`
  if (version === null) {
    const problem = named === undefined ? 'cniVersion is missing' : `cniVersion ${quoteText(String(named), 40)} is not supported`
    throw fault(CNI_CODE.incompatibleVersion, `network configuration: ${problem}; use ${SUPPORTED_VERSIONS.at(-1)}`, details)
  }
  if (!isAtLeast(version, SINCE[command]))
    throw fault(CNI_CODE.incompatibleVersion, `${command} needs cniVersion ${SINCE[command]} or newer, not ${version}`, details)
  return version
}

const encoder = new TextEncoder()

function parseKey(variables: Variables): AttachmentKey {
  const containerId = variables.get('CNI_CONTAINERID') ?? ''
  const ifName = variables.get('CNI_IFNAME') ?? ''
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(containerId))
    throw environmentFault('CNI_CONTAINERID', containerId, 'letters, digits, "_", "." or "-", beginning with a letter or digit')
  if (encoder.encode(ifName).length > 15 || ifName === '.' || ifName === '..' || /[/:\s]/.test(ifName))
    throw environmentFault('CNI_IFNAME', ifName, 'at most 15 octets, not "." or "..", without "/", ":" or white space')
  return { containerId, ifName }
}

function parseNetns(variables: Variables): string {
  const netns = variables.get('CNI_NETNS') ?? ''
  if (!netns.startsWith('/')) throw environmentFault('CNI_NETNS', netns, 'the absolute path of a network namespace')
  return netns
}

/** CNI_ARGS: `NAME=VALUE;NAME=VALUE`. What is no pair is left out. */
function parsePairs(variables: Variables): ReadonlyMap<string, string> {
  const pairs = (variables.get('CNI_ARGS') ?? '').split(';').map((each): readonly [string, string] => {
    const equals = each.indexOf('=')
    return equals < 0 ? [each, ''] : [each.slice(0, equals), each.slice(equals + 1)]
  })
  return new Map(pairs.filter(([name]) => name !== ''))
}

const KNOWN_ARGS = ['IgnoreUnknown', 'K8S_POD_NAMESPACE', 'K8S_POD_NAME', 'K8S_POD_INFRA_CONTAINER_ID', 'K8S_POD_UID']

/** CNI_ARGS of an ADD: names we do not know are refused unless IgnoreUnknown is set, as every plugin does. */
function parseArgs(variables: Variables): ReadonlyMap<string, string> {
  const args = variables.get('CNI_ARGS') ?? ''
  for (const each of args.split(';'))
    if (each !== '' && !/^[^=]+=/.test(each)) throw environmentFault('CNI_ARGS', each, 'NAME=VALUE pairs, separated by semicolons')
  const pairs = parsePairs(variables)
  const ignoresUnknown = /^(1|t|true|yes|on)$/i.test(pairs.get('IgnoreUnknown') ?? '')
  const unknown = [...pairs.keys()].find((name) => !KNOWN_ARGS.includes(name))
  if (unknown !== undefined && !ignoresUnknown)
    throw environmentFault('CNI_ARGS', unknown, `of ${KNOWN_ARGS.join(', ')}; or add IgnoreUnknown=1`)
  return pairs
}

function podOf(args: ReadonlyMap<string, string>): PodReference | null {
  const namespace = args.get('K8S_POD_NAMESPACE') ?? ''
  const name = args.get('K8S_POD_NAME') ?? ''
  if (namespace === '' || name === '') return null
  return { namespace, name, uid: args.get('K8S_POD_UID') || null }
}

function requirePrevResult(config: JsonObject, version: CniVersion): CniResult {
  const prevResult = parsePrevResult(config, version)
  if (prevResult === null) throw invalid('prevResult', undefined, 'the result of ADD')
  return prevResult
}

function environmentFault(name: string, value: string, what: string): CniError {
  return fault(CNI_CODE.invalidEnvironment, `${name} is ${quoteText(value, 80)}: it must be ${what}`)
}

function fault(code: CniFault['code'], message: string, details?: string): CniError {
  return new CniError(details === undefined ? { code, message } : { code, message, details })
}

function isSpace(octet: number): boolean {
  return octet === 0x20 || (octet >= 0x09 && octet <= 0x0d)
}
