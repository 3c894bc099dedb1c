// Rules between words and text: what iptables-restore reads and iptables-save prints. Both sides of every comparison pass through
// here, so that quoting and the names of protocols make no difference.
import type { Rule } from './contract.ts'

/** Marks a jump of ours in a built-in chain, as a comment. */
export const MARK = 'fibula'
/** Chains and sets with this prefix are ours, and nothing else is. */
export const PREFIX = 'fib'

const BARE = /^[^\s"'\\]+$/
const CONTROL = /\p{Cc}/u
/** iptables prints these by name where /etc/protocols knows them, and by number elsewhere. */
const PROTOCOL_NUMBERS: Readonly<Record<string, string>> = { ipencap: '4', ipv4: '4', ipv6: '41', gre: '47' }

const rendered = new WeakMap<readonly Rule[], readonly string[]>()

/** True if the words cannot break out of their line. */
export function isSafe(rule: Rule): boolean {
  return rule.every((word) => !CONTROL.test(word))
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
  return rule.map((word, index) => quoteWord(rule[index - 1] === '-p' ? (PROTOCOL_NUMBERS[word] ?? word) : word)).join(' ')
}

/** A rule as iptables-save printed it, spelled as `formatRule` would have. */
export function canonicalLine(printed: string): string {
  const line = printed.trimEnd()
  return line.includes('"') || /(^| )-p [gi]/.test(line) ? formatRule(splitWords(line)) : line
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
  return BARE.test(word) ? word : `"${word.replace(/["\\]/g, '\\$&')}"`
}
