// Names of chains and sets. Chains have at most 28 characters (XT_EXTENSION_MAXNAMELEN), sets at most 31 (IPSET_MAXNAMELEN); a content
// name has 22. Names of objects never enter them.

import { unreachable } from '../lib/result.ts'
import type { IpFamily } from '../net/index.ts'
import type { Direction } from './model.ts'
import type { AddressSet, EndpointProgram, PolicyProgram } from './program.ts'

/** Where packets enter, and where the two mark bits are set. */
export const CHAIN = {
  from: 'fib-policy-from',
  to: 'fib-policy-to',
  input: 'fib-policy-input',
  accept: 'fib-policy-accept',
  deny: 'fib-policy-deny',
  pass: 'fib-policy-pass',
  clear: 'fib-policy-clear',
} as const

export function policyChain({ id }: PolicyProgram): string {
  return `fib-p-${id}`
}

/** Ports of a rule that has several peers. */
export function portsChain(id: string): string {
  return `fib-q-${id}`
}

/** Policies of the Admin tier, where one of them may pass. */
export function adminChain(id: string): string {
  return `fib-a-${id}`
}

export function programChain({ id }: EndpointProgram): string {
  return `fib-g-${id}`
}

export function endpointChain(direction: Direction, name: string): string {
  return `${direction === 'egress' ? 'fib-ef-' : 'fib-et-'}${name}`
}

/** `rest` is what interfaces there have in common after `fib`. */
export function dispatchChain(direction: Direction, rest: string): string {
  return `${direction === 'egress' ? 'fib-pf-' : 'fib-pt-'}${rest}`
}

export function setName(family: IpFamily, { id, spec }: AddressSet): string {
  return `fib${family}-${letterOf(spec.kind)}-${id}`
}

function letterOf(kind: AddressSet['spec']['kind']): string {
  switch (kind) {
    case 'pods':
      return 'p'
    case 'nodes':
      return 'n'
    case 'networks':
      return 'c'
    case 'namedPort':
      return 'a'
    default:
      return unreachable(kind)
  }
}
