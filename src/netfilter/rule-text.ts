// Rules between words and text: what iptables-restore reads and iptables-save prints. Both sides of every comparison pass through
// here, so that quoting and the names of protocols make no difference.
import type { Rule } from './contract.ts'

/** Marks a jump of ours in a built-in chain, as a comment. */
export const MARK = 'fibula'
/** Chains and sets with this prefix are ours, and nothing else is. */
export const PREFIX = 'fib'

/** Words with one of these are quoted, and empty ones. */
const QUOTED = /[\s"'\\]/
/** Anything but printable characters. */
const CONTROL = /[^ -~\u00a0-\uffff]/
const NAMED_PROTOCOL = /(^| )-p [gi]/
/** Character codes. */
const SPACE = 0x20
const DOUBLE_QUOTE = 0x22
const QUOTE = 0x27
const BACKSLASH = 0x5c
const TILDE = 0x7e
/** iptables prints these by name where /etc/protocols knows them, and by number elsewhere. */
const PROTOCOL_NUMBERS: Readonly<Record<string, string>> = { ipencap: '4', ipv4: '4', ipv6: '41', gre: '47' }

const rendered = new WeakMap<readonly Rule[], readonly string[]>()

/** True if a rule on this line cannot break out of it: no line break or other control character. */
export function isSafe(line: string): boolean {
  return !CONTROL.test(line)
}

/** One line a rule, without `-A CHAIN`. The same array of rules gives the same array of lines. */
export function linesOf(rules: readonly Rule[]): readonly string[] {
  const known = rendered.get(rules)
  if (known !== undefined) return known
  const lines = rules.map(formatRule)
  rendered.set(rules, lines)
  return lines
}

/** Words as one line that iptables-restore splits into the same words. */
export function formatRule(rule: Rule): string {
  const line = rule.join(' ')
  if (isPlain(line, rule.length)) return line
  return rule.map((word, index) => quoteWord(rule[index - 1] === '-p' ? (PROTOCOL_NUMBERS[word] ?? word) : word)).join(' ')
}

/** True if joining the words was enough: none is empty, needs quotes or is the name of a protocol. One pass: there may be 50,000 rules. */
function isPlain(line: string, words: number): boolean {
  let spaces = 0
  let before = SPACE
  for (let at = 0; at < line.length; at++) {
    const code = line.charCodeAt(at)
    if (code <= SPACE) {
      if (code !== SPACE || before === SPACE) return false
      spaces++
    } else if (code === DOUBLE_QUOTE || code === QUOTE || code === BACKSLASH || code > TILDE) return false
    before = code
  }
  return before !== SPACE && spaces === words - 1 && !NAMED_PROTOCOL.test(line)
}

/** A rule as iptables-save printed it, spelled as `formatRule` would have. */
export function canonicalLine(printed: string): string {
  const line = printed.trimEnd()
  return line.includes('"') || NAMED_PROTOCOL.test(line) ? formatRule(splitWords(line)) : line
}

/** The words of a line, with quotes undone as iptables-restore does. */
export function splitWords(line: string): readonly string[] {
  const words: string[] = []
  for (const [, quoted, bare] of line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)) {
    words.push(quoted === undefined ? (bare ?? '') : quoted.replace(/\\(.)/g, '$1'))
  }
  return words
}

/** The chain or target a line jumps to; null for a rule that only counts. */
export function targetOf(line: string): string | null {
  return /(?:^| )-[jg] (\S+)/.exec(line)?.[1] ?? null
}

function quoteWord(word: string): string {
  return word !== '' && !QUOTED.test(word) ? word : `"${word.replace(/["\\]/g, '\\$&')}"`
}
