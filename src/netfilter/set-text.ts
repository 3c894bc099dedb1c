// Sets between values and the text of ipset: what `ipset save` prints, and members in the one spelling it uses.
import { bitsOf, familyOf, formatIp, formatPrefix, type IpFamily, parseIp, prefix } from '../net/index.ts'
import type { IpSet } from './contract.ts'
import { PREFIX } from './rule-text.ts'

/** A set as the kernel has it. `type` may be one that we never ask for. */
export type SetState = {
  readonly type: string
  readonly family: IpFamily
  readonly maxElements: number
  readonly members: ReadonlySet<string>
}

/** Takes the lines of one `ipset save` run in order; keeps our sets only. */
export class SetParser {
  readonly sets = new Map<string, SetState>()
  #name = ''
  #members = new Set<string>()

  line(line: string): void {
    if (line.startsWith('add ')) {
      const space = line.indexOf(' ', 4)
      if (line.slice(4, space) === this.#name) this.#members.add(line.slice(space + 1).trimEnd())
      return
    }
    if (!line.startsWith('create ')) return
    const [, name = '', type = '', ...options] = line.trimEnd().split(' ')
    this.#name = name.startsWith(PREFIX) ? name : ''
    if (this.#name === '') return
    this.#members = new Set()
    const option = (key: string): string | undefined => options[options.indexOf(key) + 1]
    this.sets.set(name, {
      type,
      family: options.includes('family') && option('family') === 'inet6' ? 6 : 4,
      maxElements: options.includes('maxelem') ? Number(option('maxelem')) : Number.POSITIVE_INFINITY,
      members: this.#members,
    })
  }
}

/** Our sets in a whole `ipset save` output. */
export function parseSets(text: string): Map<string, SetState> {
  const parser = new SetParser()
  for (const line of text.split('\n')) parser.line(line)
  return parser.sets
}

/** A whole IPv4 address as everybody spells it: most members of most sets. */
const PLAIN_IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$/

/** Groups in their shortest spelling, with `::` not at the head and at most once. */
const SHORT_GROUPS =
  /^(?:0|[1-9a-f][\da-f]{0,3})(?::(?:0|[1-9a-f][\da-f]{0,3}))*(?:::(?:(?:0|[1-9a-f][\da-f]{0,3})(?::(?:0|[1-9a-f][\da-f]{0,3}))*)?)?$/
/** Zeros that belong to a `::`. */
const LOOSE_ZEROS = /(?:^|:)0::|(?:^|:)0:0(?::|$)|::0(?::|$)/

/** A whole IPv6 address as everybody spells it (RFC 5952), for sure; others may be too. */
function isPlainIpv6(text: string): boolean {
  if (!SHORT_GROUPS.test(text) || LOOSE_ZEROS.test(text)) return false
  let colons = 0
  for (let at = text.indexOf(':'); at !== -1; at = text.indexOf(':', at + 1)) colons++
  if (!text.includes('::')) return colons === 7
  return colons <= (text.endsWith('::') ? 7 : 6) // it stands for two groups at least
}

/**
 * A member in one spelling, whoever wrote it; null if it is none of this type and family. Two members for a range of length 0,
 * which a hash set cannot hold.
 */
export function canonicalMembers(set: Pick<IpSet, 'type' | 'family'>, member: string): readonly string[] | null {
  if (!set.type.endsWith(',port') && isPlain(set.family, member)) return [member]
  const [text = '', flag, ...rest] = member.split(' ')
  if (rest.length > 0 || (flag !== undefined && !(flag === 'nomatch' && set.type.startsWith('hash:net')))) return null
  const [addressText = '', port, ...more] = text.split(',')
  const hasPort = set.type.endsWith(',port')
  if (more.length > 0 || (port !== undefined) !== hasPort) return null
  if (port !== undefined && !/^[a-z0-9-]+:[a-z0-9-]+(\/[a-z0-9-]+)?$/i.test(port)) return null
  const ranges = canonicalRanges(set, addressText)
  const suffix = `${port === undefined ? '' : `,${port.toLowerCase()}`}${flag === undefined ? '' : ' nomatch'}`
  return ranges === null ? null : ranges.map((range) => `${range}${suffix}`)
}

function isPlain(family: IpFamily, text: string): boolean {
  return family === 4 ? PLAIN_IPV4.test(text) : isPlainIpv6(text)
}

function canonicalRanges({ type, family }: Pick<IpSet, 'type' | 'family'>, text: string): readonly string[] | null {
  if (isPlain(family, text)) return [text]
  const [addressText = '', lengthText, ...rest] = text.split('/')
  const address = parseIp(addressText)
  if (rest.length > 0 || address === null || familyOf(address) !== family) return null
  if (lengthText !== undefined && !/^\d{1,3}$/.test(lengthText)) return null
  const bits = bitsOf(family)
  const length = lengthText === undefined ? bits : Number(lengthText)
  if (length > bits) return null
  if (length === bits) return [formatIp(address)]
  if (type.startsWith('hash:ip')) return null
  if (length === 0) return family === 4 ? ['0.0.0.0/1', '128.0.0.0/1'] : ['::/1', '8000::/1']
  return [formatPrefix(prefix(address, length))]
}
