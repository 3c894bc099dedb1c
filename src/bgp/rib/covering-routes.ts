// Which selected BGP routes cover an address, the most specific first: next hops may be reached through them (RFC 4271 §9.1.2.1).
import { familyOf, hostPrefix, type IpAddress, maskAddress } from '../../net/index.ts'
import type { Family } from '../family.ts'
import { NONE } from './columns.ts'
import type { FamilyTables, SharedTables } from './family-tables.ts'
import type { CoveringRoute } from './next-hop-resolver.ts'
import { wordsOf } from './prefix-words.ts'

/** Only routes longer than `longerThan`, learned from a peer. */
export function* coveringRoutes(
  tables: Readonly<Record<Family, FamilyTables>>,
  { attributes, peers }: Pick<SharedTables, 'attributes' | 'peers'>,
  address: IpAddress,
  longerThan: number,
): Generator<CoveringRoute> {
  const { prefixes, paths } = tables[familyOf(address) === 4 ? 'IPv4Unicast' : 'IPv6Unicast']
  for (let length = hostPrefix(address).length; length > longerThan; length--) {
    if (prefixes.perLength[length] === 0) continue
    const prefix = { address: maskAddress(address, length), length }
    const { w0, w1, w2, w3 } = wordsOf(prefix)
    const best = prefixes.bestPath[prefixes.find(w0, w1, w2, w3, length)] ?? NONE
    const imported = best === NONE ? NONE : (paths.imported[best] ?? NONE)
    const scope = best === NONE ? null : peers.scope(paths.peer[best] ?? NONE)
    if (imported !== NONE && scope !== null) yield { prefix, nextHop: attributes.nextHop[imported] ?? NONE, scope }
  }
}
