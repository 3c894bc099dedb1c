// Unions of prefixes with exceptions, as the fewest prefixes that are exactly them: what a set of type hash:net can hold without an
// order among its members. An exception counts for its own block only, so blocks are subtracted first and joined afterwards.
import { bitsOf, familyOf, type IpAddress, type IpFamily, ipv4, ipv6, type Prefix, prefix } from '../net/index.ts'

export type Block = { readonly cidr: Prefix; readonly except: readonly Prefix[] }
/** Both ends belong to it. */
type Range = { readonly first: bigint; readonly last: bigint }

/** Of one family: every address, or these prefixes in order, of which no two touch the same address. */
export type Union = 'all' | readonly Prefix[]

export function unionOf(family: IpFamily, blocks: readonly Block[]): Union {
  const ranges = blocks.filter(({ cidr }) => familyOf(cidr.address) === family).flatMap((block) => subtract(family, block))
  const joined = join(ranges)
  const [only] = joined
  if (only !== undefined && only.first === 0n && only.last === lastOf(family)) return 'all'
  return joined.flatMap((range) => prefixesOf(family, range))
}

function lastOf(family: IpFamily): bigint {
  return (1n << BigInt(bitsOf(family))) - 1n
}

function rangeOf({ address, length }: Prefix): Range {
  const first = BigInt(address)
  return { first, last: first + (1n << BigInt(bitsOf(familyOf(address)) - length)) - 1n }
}

function subtract(family: IpFamily, { cidr, except }: Block): readonly Range[] {
  const holes = join(except.filter(({ address }) => familyOf(address) === family).map(rangeOf))
  const whole = rangeOf(cidr)
  const left: Range[] = []
  let from = whole.first
  for (const hole of holes) {
    if (hole.last < from || hole.first > whole.last) continue
    if (hole.first > from) left.push({ first: from, last: hole.first - 1n })
    from = hole.last + 1n
  }
  if (from <= whole.last) left.push({ first: from, last: whole.last })
  return left
}

/** Sorted and apart: no two overlap or touch. */
function join(ranges: readonly Range[]): readonly Range[] {
  const sorted = [...ranges].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))
  const joined: { first: bigint; last: bigint }[] = []
  for (const { first, last } of sorted) {
    const before = joined.at(-1)
    if (before === undefined || first > before.last + 1n) joined.push({ first, last })
    else if (last > before.last) before.last = last
  }
  return joined
}

/** The largest prefix that begins at the first address and does not pass the last, and so on. */
function prefixesOf(family: IpFamily, { first, last }: Range): readonly Prefix[] {
  const bits = bitsOf(family)
  const prefixes: Prefix[] = []
  for (let at = first; at <= last; ) {
    const aligned = at === 0n ? bits : bitLength(at & -at) - 1
    const hostBits = Math.min(aligned, bitLength(last - at + 1n) - 1)
    prefixes.push(prefix(toAddress(family, at), bits - hostBits))
    at += 1n << BigInt(hostBits)
  }
  return prefixes
}

/** Of a positive number. */
function bitLength(value: bigint): number {
  const digits = value.toString(16)
  return digits.length * 4 - Math.clz32(Number.parseInt(digits.charAt(0), 16)) + 28
}

function toAddress(family: IpFamily, value: bigint): IpAddress {
  return family === 4 ? ipv4(Number(value)) : ipv6(value)
}
