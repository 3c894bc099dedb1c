// Names and addresses of the test cluster, as data. Two racks with a subnet each hang on one top-of-rack router; the control plane and a
// client outside of the cluster have a link to it of their own.
//
//   node-1 10.0.0.11 --+-- rack-a --+                +-- control 10.1.0.2   etcd, API server, controller manager, scheduler
//   node-2 10.0.0.12 --+            +-- tor (BIRD) --+
//   node-3 10.0.1.13 ----- rack-b --+                +-- outside 10.1.9.2   a client behind the router
//
// Pods' addresses and the router's address in rack-a are those of the README, whose commands run here as they stand.

export type Dual = { readonly ipv4: string; readonly ipv6: string }

export type NodeSpec = {
  readonly name: string
  readonly rack: 'rack-a' | 'rack-b'
  readonly address: Dual
  readonly asn: number
  /** With the bridge plugin: the node's range of pod addresses, routed to it by hand. */
  readonly podRange: Dual
}

function nodeSpec(number: number, rack: NodeSpec['rack']): NodeSpec {
  const subnet = rack === 'rack-a' ? 0 : 1
  return {
    name: `node-${number}`,
    rack,
    address: { ipv4: `10.0.${subnet}.${10 + number}`, ipv6: `fd00:1:${1 + subnet}::${10 + number}` },
    asn: 64600 + number,
    podRange: { ipv4: `10.244.${number}.0/24`, ipv6: `fd00:10:244:${number}::/64` },
  }
}

export const NODES: readonly NodeSpec[] = [nodeSpec(1, 'rack-a'), nodeSpec(2, 'rack-a'), nodeSpec(3, 'rack-b')]

export const TOR = {
  asn: 65001,
  routerId: '10.1.0.1',
  /** Its address on each of its links, by the link's name. */
  addresses: {
    'rack-a': { ipv4: '10.0.0.1', ipv6: 'fd00:1:1::1' },
    'rack-b': { ipv4: '10.0.1.1', ipv6: 'fd00:1:2::1' },
    control: { ipv4: '10.1.0.1', ipv6: 'fd00:1:0::1' },
    outside: { ipv4: '10.1.9.1', ipv6: 'fd00:1:9::1' },
  },
} as const satisfies { readonly asn: number; readonly routerId: string; readonly addresses: Readonly<Record<string, Dual>> }

export const CONTROL: Dual = { ipv4: '10.1.0.2', ipv6: 'fd00:1:0::2' }
export const OUTSIDE: Dual = { ipv4: '10.1.9.2', ipv6: 'fd00:1:9::2' }
export const API_PORT = 6443

export const POD_RANGE: Dual = { ipv4: '10.244.0.0/16', ipv6: 'fd00:10:244::/48' }
export const SERVICE_RANGE: Dual = { ipv4: '10.96.0.0/16', ipv6: 'fd00:10:96::/112' }
export const API_SERVICE = '10.96.0.1'
export const DNS_SERVICE: Dual = { ipv4: '10.96.0.10', ipv6: 'fd00:10:96::a' }
