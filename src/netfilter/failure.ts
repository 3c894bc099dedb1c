// What the tools say when they fail, in words that name the remedy.

/** `LOCKED`: try again. `MISSING`: no such program. `UNSUPPORTED`: the kernel lacks something. `REFUSED`: this input. `FAILED`: the rest. */
export type ToolFailureCode = 'LOCKED' | 'MISSING' | 'UNSUPPORTED' | 'REFUSED' | 'FAILED'

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

/** Sorts a failure by what can be done about it, and says so. `tool` is the program's name. */
export function explainFailure(
  tool: string,
  exitCode: number | null,
  stderr: string,
): { readonly code: ToolFailureCode; readonly message: string } {
  const words = toolWords(stderr)
  const said = words === '' ? `${tool} ended with status ${exitCode}` : `${tool}: ${words}`
  if (/xtables lock|another app is currently/i.test(stderr))
    return { code: 'LOCKED', message: `${said}; another program holds the xtables lock; it is tried again` }
  if (/open lock file/i.test(stderr))
    return {
      code: 'UNSUPPORTED',
      message: `${said}; give the agent the host's /run/xtables.lock, writable: legacy iptables cannot do without`,
    }
  if (/Permission denied|Operation not permitted|you must be root/i.test(stderr))
    return { code: 'UNSUPPORTED', message: `${said}; the agent needs the capabilities NET_ADMIN and NET_RAW` }
  if (
    /Table does not exist|can't initialize|Address family not supported|Could not fetch rule set generation id|Protocol not supported/i.test(
      stderr,
    )
  )
    return {
      code: 'UNSUPPORTED',
      message: `${said}; the kernel lacks this table: load ${tableModules(tool)}, or choose the other variant of iptables`,
    }
  if (
    /Cannot open session to kernel|Kernel and userspace incompatible|Kernel error received: (Invalid argument|Operation not supported)|Kernel support protocol|Unknown set type|set type not supported/i.test(
      stderr,
    )
  )
    return {
      code: 'UNSUPPORTED',
      message: `${said}; the kernel lacks ipset: load the modules ip_set, ip_set_hash_ip, ip_set_hash_net and xt_set`,
    }
  if (/Extension (\S+) .*missing kernel module/i.test(stderr) || /missing kernel module/i.test(stderr))
    return { code: 'REFUSED', message: `${said}; load the kernel module of this match or target (modprobe xt_NAME)` }
  return { code: exitCode === null ? 'FAILED' : 'REFUSED', message: said }
}

function tableModules(tool: string): string {
  if (tool.includes('legacy'))
    return tool.startsWith('ip6')
      ? 'the modules ip6_tables, ip6table_filter, ip6table_nat, ip6table_mangle and ip6table_raw'
      : 'the modules ip_tables, iptable_filter, iptable_nat, iptable_mangle and iptable_raw'
  return 'the modules nf_tables and nft_compat'
}
