// Which built-in chain of a node a packet passes, and by which interfaces.
import { isLinkLocalIpv6 } from '../../src/net/index.ts'
import type { Flow, PolicyState } from '../../src/policy/index.ts'
import type { Packet } from './interpreter.ts'

const UPLINK = 'eth0'

export type Way = { readonly hook: 'FORWARD' | 'INPUT' | 'OUTPUT'; readonly packet: Packet }

/** Null: neither end is a pod of this node. */
export function wayOf(flow: Flow, state: PolicyState, node: string): Way | null {
  const interfaceOf = (address: Flow['source']) =>
    [...state.endpoints.values()].find(({ addresses }) => addresses.includes(address))?.interface ?? null
  const own = state.nodes.get(node)?.addresses ?? []
  const [from, to] = [interfaceOf(flow.source), interfaceOf(flow.destination)]
  if (from === null && to === null) return null
  const isToHost = own.includes(flow.destination)
  const packet = {
    source: flow.source,
    destination: flow.destination,
    protocol: flow.protocol,
    destinationPort: flow.destinationPort,
    icmpType: flow.icmpType ?? null,
    isNew: flow.state !== 'established',
    isToHost,
  }
  if (own.includes(flow.source)) return { hook: 'OUTPUT', packet: { ...packet, in: null, out: to ?? UPLINK } }
  if (isToHost || isLinkLocalIpv6(flow.destination)) return { hook: 'INPUT', packet: { ...packet, in: from ?? UPLINK, out: null } }
  return { hook: 'FORWARD', packet: { ...packet, in: from ?? UPLINK, out: to ?? UPLINK } }
}
