// Runs the protocol-neutral programs of an endpoint on a packet, with members of sets looked up in the table: what a compiler gets wrong
// shows here, without a word of iptables.
import { containsAddress, familyOf, formatIp, parsePrefix } from '../../src/net/index.ts'
import { type Flow, PROTOCOL_NUMBER } from '../../src/policy/index.ts'
import type { AddressSet, EndpointProgram, EndpointRules, PolicyProgram, ProgramRule } from '../../src/policy/program.ts'

export type MembersOf = (set: AddressSet, family: 4 | 6) => readonly string[]
type Outcome = 'accept' | 'deny' | 'pass' | null

/** True if the rules let the first packet of this connection through. */
export function permits(rules: EndpointRules, flow: Flow, isToHost: boolean, membersOf: MembersOf): boolean {
  if (flow.state === 'established') return true
  if (rules === 'open') return true
  if (rules === 'closed') return false
  return decide(rules, flow, isToHost, membersOf)
}

function decide({ direction, admin, isolation, baseline }: EndpointProgram, flow: Flow, isToHost: boolean, membersOf: MembersOf): boolean {
  const first = firstOf(admin, flow, membersOf)
  if (first === 'accept' || first === 'deny') return first === 'accept'
  if (isolation !== null) {
    if (isolation.exemptsOwnNode && direction === 'egress' && isToHost) return true
    return isolation.admits.some((policy) => firstOf([policy], flow, membersOf) === 'accept')
  }
  return firstOf(baseline, flow, membersOf) !== 'deny'
}

function firstOf(policies: readonly PolicyProgram[], flow: Flow, membersOf: MembersOf): Outcome {
  for (const { direction, rules } of policies) {
    for (const rule of rules)
      if (matches(rule, flow, direction === 'ingress' ? flow.source : flow.destination, membersOf)) return rule.action
  }
  return null
}

function matches({ peers, ports }: ProgramRule, flow: Flow, other: Flow['source'], membersOf: MembersOf): boolean {
  const family = familyOf(other)
  const isPeer =
    peers === null ||
    peers.some((peer) => {
      if (peer.kind === 'family') return peer.family === family
      const members = membersOf(peer.set, family)
      if (peer.set.spec.kind !== 'networks') return members.includes(formatIp(other))
      return members.some((text) => {
        const prefix = parsePrefix(text.includes('/') ? text : `${text}/${family === 4 ? 32 : 128}`)
        return prefix !== null && containsAddress(prefix, other)
      })
    })
  const isPort =
    ports === null ||
    ports.some((port) => {
      if (port.kind === 'named') {
        const name = Object.entries(PROTOCOL_NUMBER)
          .find(([, number]) => number === flow.protocol)?.[0]
          ?.toLowerCase()
        return membersOf(port.set, family).includes(`${formatIp(flow.destination)},${name}:${flow.destinationPort}`)
      }
      if (PROTOCOL_NUMBER[port.protocol] !== flow.protocol) return false
      const { destinationPort } = flow
      return (
        port.kind === 'protocol' ||
        port.ranges.some(({ first, last }) => destinationPort !== null && first <= destinationPort && destinationPort <= last)
      )
    })
  return isPeer && isPort
}
