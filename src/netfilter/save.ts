// What iptables-save and ip6tables-save print, as a value: our chains with all their rules, our jumps in the built-in chains and
// where they stand among other people's, and of everybody else only what decides what we may do.
import { canonicalLine, MARK, PREFIX, targetOf } from './rule-text.ts'

/** One rule of a built-in chain, or a run of other people's. */
export type BuiltinEntry =
  | { readonly isOurs: true; readonly line: string }
  | {
      readonly isOurs: false /** A packet might be let through here, or sent elsewhere, before it meets what follows. */
      readonly mayBypass: boolean
    }

export type TableState = {
  /** Rules of our chains by name. */
  readonly chains: Map<string, readonly string[]>
  readonly builtins: Map<string, readonly BuiltinEntry[]>
  /** Chains of ours that rules of others jump to: the kernel lets nobody remove them. */
  readonly pinned: Set<string>
}

/** The state of one family in one variant. */
export type FamilyState = {
  readonly tables: Map<string, TableState>
  /** How many rules of others there are: shows which variant this host uses. */
  foreignRules: number
  /** kubelet leaves a chain of this name in the variant that the host uses (KEP-3178). */
  hasKubeletHint: boolean
}

const KUBELET_HINTS = new Set(['KUBE-IPTABLES-HINT', 'KUBE-KUBELET-CANARY'])
/** Targets after which a packet goes on to the next rule or goes nowhere. */
const HARMLESS = new Set(
  'DROP REJECT LOG NFLOG ULOG MARK CONNMARK CONNSECMARK SECMARK TRACE SET CT NOTRACK TCPMSS DSCP TOS TTL HL CHECKSUM CLASSIFY AUDIT TEE'.split(
    ' ',
  ),
)

export function emptyFamily(): FamilyState {
  return { tables: new Map(), foreignRules: 0, hasKubeletHint: false }
}

export function emptyTable(): TableState {
  return { chains: new Map(), builtins: new Map(), pinned: new Set() }
}

/** Takes the lines of one `iptables-save` run in order. */
export class SaveParser {
  readonly state: FamilyState = emptyFamily()
  #table: TableState = emptyTable()
  /** Those of the table, while they grow. */
  #chains = new Map<string, string[]>()

  line(line: string): void {
    switch (line[0]) {
      case '*':
        this.#chains = new Map()
        this.#table = { ...emptyTable(), chains: this.#chains }
        this.state.tables.set(line.slice(1).trim(), this.#table)
        return
      case ':':
        this.#chain(line)
        return
      case '-':
      case '[': // counters, printed with -c
        this.#rule(line)
        return
      default: // comments, COMMIT, empty lines
        return
    }
  }

  #chain(line: string): void {
    const [name = '', policy] = line.slice(1).split(' ')
    if (KUBELET_HINTS.has(name)) this.state.hasKubeletHint = true
    if (policy !== '-') this.#table.builtins.set(name, [])
    else if (name.startsWith(PREFIX)) this.#chains.set(name, [])
  }

  #rule(line: string): void {
    const start = line.indexOf('-A ')
    const end = line.indexOf(' ', start + 3)
    if (start === -1) return
    const name = end === -1 ? line.slice(start + 3) : line.slice(start + 3, end)
    const printed = end === -1 ? '' : line.slice(end + 1)
    const ours = this.#chains.get(name)
    if (ours !== undefined) {
      ours.push(canonicalLine(printed))
      return
    }
    const builtin = this.#table.builtins.get(name)
    const target = targetOf(printed)
    if (builtin !== undefined && target?.startsWith(PREFIX) === true) {
      const rule = canonicalLine(printed)
      if (isMarked(rule)) {
        this.#table.builtins.set(name, [...builtin, { isOurs: true, line: rule }])
        return
      }
    }
    this.state.foreignRules++
    if (target?.startsWith(PREFIX) === true) this.#table.pinned.add(target)
    if (builtin !== undefined) this.#foreign(name, builtin, target !== null && !HARMLESS.has(target))
  }

  #foreign(name: string, before: readonly BuiltinEntry[], mayBypass: boolean): void {
    const last = before.at(-1)
    if (last === undefined || last.isOurs) this.#table.builtins.set(name, [...before, { isOurs: false, mayBypass }])
    else if (mayBypass && !last.mayBypass) this.#table.builtins.set(name, [...before.slice(0, -1), { isOurs: false, mayBypass }])
  }
}

/** The state that a whole `iptables-save` output shows. */
export function parseSave(text: string): FamilyState {
  const parser = new SaveParser()
  for (const line of text.split('\n')) parser.line(line)
  return parser.state
}

/**
 * What an `iptables-save` output says of rules, in as few pieces as will do: without the time of day and the counters of built-in chains,
 * which differ each time.
 */
export function* lastingParts(text: string): Iterable<string> {
  for (let at = 0; at < text.length; ) {
    const first = text[at]
    const end = first === '-' ? endOfRules(text, at) : endOfLine(text, at)
    if (first === ':') yield text.slice(at, end).replace(COUNTERS, '')
    else if (first !== '#') yield text.slice(at, end)
    at = end + 1
  }
}

const COUNTERS = / \[\d+:\d+\]\s*$/
/** Rules of a table stand together. */
function endOfRules(text: string, at: number): number {
  const end = text.indexOf('\nCOMMIT', at)
  return end === -1 ? text.length : end
}

function endOfLine(text: string, at: number): number {
  const end = text.indexOf('\n', at)
  return end === -1 ? text.length : end
}

function isMarked(rule: string): boolean {
  return ` ${rule} `.includes(` --comment ${MARK} `)
}
