// FibBatch columns from text, for tests.
import { cidr, type FibBatch, type FibNextHop, ip, ipToBytes, prefixFamily } from '../../src/net/index.ts'

/** `via('10.0.0.2', 2)`: a next hop through an interface. */
export function via(gateway: string, interfaceIndex: number, onlink = false): FibNextHop {
  return { gateway: ip(gateway), interfaceIndex, onlink }
}

/** Prefixes of one family with the id of their next hop set (0: withdrawn), and the sets named for the first time. */
export function fibBatch(
  routes: Readonly<Record<string, number>>,
  newSets: Readonly<Record<number, readonly FibNextHop[]>> = {},
): FibBatch {
  const prefixes = Object.keys(routes).map(cidr)
  const [first] = prefixes
  return {
    family: first === undefined ? 4 : prefixFamily(first),
    count: prefixes.length,
    addresses: Uint8Array.from(prefixes.flatMap(({ address }) => [...ipToBytes(address)])),
    lengths: Uint8Array.from(prefixes.map(({ length }) => length)),
    nextHopSets: Uint32Array.from(Object.values(routes)),
    newSets: Object.entries(newSets).map(([id, nextHops]) => ({ id: Number(id), nextHops })),
  }
}
