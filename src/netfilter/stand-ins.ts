// Rules that look at another set for a while.
import type { IpFamily } from '../net/index.ts'
import type { Wanted, WantedFamily } from './compose.ts'
import { formatRule, splitWords } from './rule-text.ts'

const SET_OPTIONS = new Set(['--match-set', '--add-set', '--del-set', '--map-set'])

/** The same rules with other sets in the place of some. Chains that name none of them keep their lines. */
export function withStandIns(wanted: Wanted, standIns: ReadonlyMap<string, string>): Wanted {
  const names = [...standIns.keys()]
  const replace = (line: string): string => {
    if (!names.some((name) => line.includes(name))) return line
    const words = splitWords(line)
    return formatRule(words.map((word, index) => (SET_OPTIONS.has(words[index - 1] ?? '') ? (standIns.get(word) ?? word) : word)))
  }
  const family = (each: IpFamily): WantedFamily => {
    const chains = new Map(wanted.families[each].chains)
    for (const [key, chain] of chains) {
      const lines = chain.lines.map(replace)
      if (lines.some((line, index) => line !== chain.lines[index])) chains.set(key, { ...chain, lines })
    }
    return { chains, hooks: wanted.families[each].hooks }
  }
  return { sets: wanted.sets, families: { 4: family(4), 6: family(6) } }
}
