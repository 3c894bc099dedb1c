// What `fibula bgp peers` and `fibula bgp routes` say of tunnels, and of routes that our own AS number costs us.
import { expect, test } from '@jest/globals'
import { formatPeer } from '../../src/cli/bgp-peers.ts'
import { formatRoutes } from '../../src/cli/bgp-routes.ts'
import type { Screen } from '../../src/cli/output.ts'
import { pathStatus, peerStatus } from './fixtures.ts'

const SCREEN: Screen = { colour: false, width: null, write: () => {} }

test('a peer whose routes are dropped for our own AS number says how many, and one of them', () => {
  const ownAsRejected = { count: 3, example: '10.244.1.0/26 with AS path 65001 64512; set allowLocalAS' }
  expect(formatPeer(peerStatus({ ownAsRejected }), SCREEN)).toContain(
    '3 routes dropped for our own AS number: 10.244.1.0/26 with AS path 65001 64512; set allowLocalAS',
  )
  expect(formatPeer(peerStatus(), SCREEN)).not.toContain('own AS number')
})

test('a path through a tunnel shows it beside its next hop', () => {
  const paths = [
    pathStatus({ encapsulated: true, nextHop: '10.0.2.7' }),
    pathStatus({ best: false, multipath: false, nextHop: '10.0.0.1' }),
  ]
  const shown = formatRoutes([{ prefix: '10.244.1.0/26', paths }], SCREEN)
  expect(shown).toContain('10.0.2.7 (IP-in-IP)')
  expect(shown).not.toContain('10.0.0.1 (IP-in-IP)')
})
