// From the hooks to the chain of one endpoint: a tree over the hexadecimal digits of interface names, so that a packet passes some dozen
// rules however many pods there are. What no leaf knows is dropped: a new pod's traffic, until its program is in.

import type { IpFamily } from '../net/index.ts'
import type { Hook, Rule } from '../netfilter/index.ts'
import type { Direction } from './model.ts'
import { CHAIN, dispatchChain, endpointChain } from './names.ts'
import { clearMark, type MarkBits, type RenderedChain } from './render.ts'
import { NEIGHBOUR_DISCOVERY_TYPES } from './verdict.ts'

/** Host ends of pods; tunnel devices of ours (`fibipip`, `fibip6tnl`) look alike but have an `i` there, which is no digit. */
const PODS = 'fib+'
const TUNNELS = 'fibi+'
const PREFIX = 'fib'
/**
 * Bit of a connection's own mark: it was let through once, and policy forbids it now. Both its directions are dropped, before what is
 * established is let through. To forget the connection instead would not end it: the end that may still speak makes it anew, in its
 * own direction, and answers to that are let through.
 */
export const CUT_MARK = 0x4000000
/** So many endpoints are listed one by one; more make a branch by their next digit. */
const LEAF = 8

/** `hasChain` false: nothing restricts it. */
export type Leaf = { readonly name: string; readonly hasChain: boolean }

export function renderHooks(): readonly Hook[] {
  const hook = (name: Hook['chain'], jumpTo: string, option: '-i' | '-o'): Hook => ({
    table: 'filter',
    chain: name,
    position: 'first',
    jumpTo,
    match: [option, PODS],
  })
  return [hook('FORWARD', CHAIN.from, '-i'), hook('FORWARD', CHAIN.to, '-o'), hook('INPUT', CHAIN.input, '-i')]
}

/** What comes from a pod to its node: as any other egress, but that neighbours are always found. */
export function renderInput(family: IpFamily): RenderedChain {
  const discovery = NEIGHBOUR_DISCOVERY_TYPES.map(
    (type): Rule => ['-p', 'ipv6-icmp', '-m', 'icmp6', '--icmpv6-type', String(type), '-j', 'RETURN'],
  )
  return { table: 'filter', name: CHAIN.input, rules: [...(family === 6 ? discovery : []), ['-g', CHAIN.from]], drops: [] }
}

/** The root first. Leaves are taken in any order. */
export function renderDispatch(direction: Direction, leaves: readonly Leaf[], bits: MarkBits): readonly RenderedChain[] {
  const option = direction === 'egress' ? '-i' : '-o'
  const sorted = [...leaves].sort((a, b) => (a.name < b.name ? -1 : 1))
  const chains: RenderedChain[] = []
  const unknown: Rule = ['-j', 'DROP']
  const head: readonly Rule[] = [
    [option, TUNNELS, '-j', 'RETURN'],
    ['-m', 'connmark', '--mark', `0x${CUT_MARK.toString(16)}/0x${CUT_MARK.toString(16)}`, '-j', 'DROP'],
    ['-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED', '-j', 'RETURN'],
    clearMark(bits),
  ]
  const add = (name: string, rules: readonly Rule[]): void => {
    const body = [...rules, unknown]
    chains.push({ table: 'filter', name, rules: body, drops: [{ rule: body.length - 1, direction, of: { kind: 'unknown' } }] })
  }
  add(direction === 'egress' ? CHAIN.from : CHAIN.to, [...head, ...branch(PREFIX, sorted)])
  return chains

  function branch(common: string, members: readonly Leaf[]): readonly Rule[] {
    if (members.length <= LEAF) return members.map(toLeaf)
    const byDigit = new Map<string, Leaf[]>()
    for (const leaf of members) {
      const next = leaf.name.slice(0, common.length + 1)
      const known = byDigit.get(next)
      if (known === undefined) byDigit.set(next, [leaf])
      else known.push(leaf)
    }
    return [...byDigit].map(([next, inside]): Rule => {
      const [only] = inside
      if (inside.length === 1 && only !== undefined) return toLeaf(only)
      const name = dispatchChain(direction, next.slice(PREFIX.length))
      add(name, branch(next, inside))
      return [option, `${next}+`, '-g', name]
    })
  }

  function toLeaf({ name, hasChain }: Leaf): Rule {
    return hasChain ? [option, name, '-g', endpointChain(direction, name)] : [option, name, '-j', 'RETURN']
  }
}
