// Packet counters out of `iptables-save --counters` (pure): what the rules of our chains have seen.
import { PREFIX } from './rule-text.ts'

/** By chain, in order of its rules: packets. Other people's chains are left out. */
export function packetCounters(text: string): ReadonlyMap<string, readonly number[]> {
  const counters = new Map<string, number[]>()
  for (const [, packets = '', chain = ''] of text.matchAll(RULE)) {
    const known = counters.get(chain)
    if (known === undefined) counters.set(chain, [Number(packets)])
    else known.push(Number(packets))
  }
  return counters
}

/** `[12:720] -A fibp-x -j DROP`. */
const RULE = new RegExp(`^\\[(\\d+):\\d+\\] -A (${PREFIX}\\S*) `, 'gm')
