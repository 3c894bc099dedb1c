// What the tools say when they fail, in words that name the remedy.

/**
 * `LOCKED`: try again. `MISSING`: no such program. `UNSUPPORTED`: the kernel lacks something. `NO_TABLES`: the kernel has this variant, but
 * no tables of this family in it. `REFUSED`: this input. `FAILED`: the rest.
 */
export type ToolFailureCode = 'LOCKED' | 'MISSING' | 'UNSUPPORTED' | 'NO_TABLES' | 'REFUSED' | 'FAILED'

/** A run of iptables or ipset that did not work. */
export class ToolError extends Error {
  readonly code: ToolFailureCode
  /** Line of the input that failed, counted from 1; null if the tool did not say. */
  readonly line: number | null
  constructor(code: ToolFailureCode, message: string, line: number | null, cause?: unknown) {
    super(message, { cause })
    this.name = 'ToolError'
    this.code = code
    this.line = line
  }
}

/** The tool's own words on one line, without its advice to read the help. */
export function toolWords(stderr: string): string {
  return stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('Try `') && !line.startsWith('# Warning'))
    .join('; ')
    .slice(0, 400)
}

/** Line of the input that the tool complains of, counted from 1. */
export function failedLine(stderr: string): number | null {
  const found = /\bline:? (\d+)/i.exec(stderr)?.[1]
  return found === undefined ? null : Number(found)
}

type Explanation = { readonly says: RegExp; readonly code: ToolFailureCode; readonly remedy: (tool: string) => string }

/** The first that fits counts. */
const EXPLANATIONS: readonly Explanation[] = [
  {
    says: /xtables lock|another app is currently/i,
    code: 'LOCKED',
    remedy: () => 'another program holds the xtables lock; it is tried again',
  },
  {
    says: /open lock file/i,
    code: 'UNSUPPORTED',
    remedy: () => "give the agent the host's /run/xtables.lock, writable: legacy iptables cannot do without",
  },
  {
    says: /Permission denied|Operation not permitted|you must be root/i,
    code: 'UNSUPPORTED',
    remedy: () => 'the agent needs the capabilities NET_ADMIN and NET_RAW',
  },
  {
    says: /TABLE_ADD failed \(Operation not supported\)/i,
    code: 'NO_TABLES',
    remedy: (tool) =>
      `the kernel was built without ${tool.startsWith('ip6') ? 'CONFIG_NF_TABLES_IPV6' : 'CONFIG_NF_TABLES_IPV4'}: install iptables-legacy`,
  },
  {
    says: /Table does not exist|can't initialize|Address family not supported|rule set generation id|Protocol not supported/i,
    code: 'UNSUPPORTED',
    remedy: (tool) => `the kernel lacks this table: load ${tableModules(tool)}, or choose the other variant of iptables`,
  },
  {
    says: /session to kernel|userspace incompatible|Kernel error received|Kernel support protocol|set type not supported|unknown settype/i,
    code: 'UNSUPPORTED',
    remedy: () => 'if the kernel lacks ipset, load the modules ip_set, ip_set_hash_ip, ip_set_hash_net and xt_set',
  },
  {
    says: /missing kernel module|RULE_\w+ failed \((No such file|Operation not supported)|No chain\/target\/match by that name/i,
    code: 'REFUSED',
    remedy: () => 'if its chains and sets exist, the kernel lacks the module of a match or target (modprobe xt_NAME)',
  },
]

/** Sorts a failure by what can be done about it, and says so. `tool` is the program's name. */
export function explainFailure(
  tool: string,
  exitCode: number | null,
  stderr: string,
): { readonly code: ToolFailureCode; readonly message: string } {
  const words = toolWords(stderr)
  const said = words === '' ? `${tool} ended with status ${exitCode}` : `${tool}: ${words}`
  const found = EXPLANATIONS.find(({ says }) => says.test(stderr))
  if (found === undefined) return { code: exitCode === null ? 'FAILED' : 'REFUSED', message: said }
  // A set or member that is named is its owner's fault, whatever the kernel's reason.
  const isOwners = tool === 'ipset' && failedLine(stderr) !== null
  return { code: isOwners ? 'REFUSED' : found.code, message: `${said}; ${found.remedy(tool)}` }
}

function tableModules(tool: string): string {
  if (tool.includes('legacy'))
    return tool.startsWith('ip6')
      ? 'the modules ip6_tables, ip6table_filter, ip6table_nat, ip6table_mangle and ip6table_raw'
      : 'the modules ip_tables, iptable_filter, iptable_nat, iptable_mangle and iptable_raw'
  return 'the modules nf_tables and nft_compat'
}

/** A transaction that was not carried out. `owners`: whose rules or sets the tools refused; empty if nobody's in particular. */
export class WriteFailure extends Error {
  readonly code: ToolError['code']
  readonly owners: readonly string[]
  constructor(code: ToolError['code'], message: string, owners: readonly string[]) {
    super(message)
    this.name = 'WriteFailure'
    this.code = code
    this.owners = owners
  }
}

/** Throws what is none of the tools'. */
export function toWriteFailure(cause: unknown, owners: readonly string[], line?: string, where = ''): WriteFailure {
  if (!(cause instanceof ToolError)) throw cause
  const shown = line === undefined ? '' : `; the line was ${JSON.stringify(line.slice(0, 200))}${where}`
  return new WriteFailure(cause.code, `${cause.message}${shown}`, owners)
}
