import { describe, expect, test } from '@jest/globals'
import { parseTopology } from '../../src/lab/topology.ts'
import { topology, twoRacks } from './fixtures.ts'

test('the default topology is valid', () => {
  expect(topology().nodes.map(({ name, pods }) => [name, pods.length])).toEqual([
    ['node-1', 2],
    ['node-2', 2],
    ['node-3', 2],
  ])
})

type Document = ReturnType<typeof twoRacks>

describe('a topology that cannot work is refused, naming what to change', () => {
  const cases: readonly (readonly [string, (document: Document) => void, RegExp])[] = [
    ['an unknown field', (d) => Object.assign(d, { colour: 'red' }), /colour/],
    ['a name no namespace can have', (d) => Object.assign(d.nodes[0] ?? {}, { name: 'Node_1' }), /^nodes\[0\]\.name: .*lower-case/],
    ['two things of one name', (d) => Object.assign(d.nodes[0] ?? {}, { pods: ['pod-1a', 'tor-a'] }), /name tor-a: is used twice/],
    ['the name of the namespace of the cables', (d) => Object.assign(d.nodes[0] ?? {}, { pods: ['wires'] }), /name wires: is used twice/],
    ['two links of one name', (d) => Object.assign(d.links[1] ?? {}, { name: 'spine-1' }), /spine-1 is used twice/],
    ['a link name too long for a device', (d) => Object.assign(d.links[0] ?? {}, { name: 'spine-number-one' }), /up to 13/],
    [
      'a link to nowhere',
      (d) => Object.assign(d.links[0] ?? {}, { between: ['tor-a', 'tor-z'] }),
      /link spine-1: there is no router or node tor-z/,
    ],
    ['a link from node to node', (d) => Object.assign(d.links[0] ?? {}, { between: ['node-1', 'node-2'] }), /spine-1: joins two nodes/],
    ['a link to itself', (d) => Object.assign(d.links[0] ?? {}, { between: ['tor-a', 'tor-a'] }), /to itself/],
    ['a node without a link', (d) => d.links.splice(5, 1), /node-3: no link leads to it/],
    ['two speakers of one AS', (d) => Object.assign(d.nodes[0] ?? {}, { asNumber: 65001 }), /asNumber 65001: is used twice/],
    [
      'links without addresses enough',
      (d) =>
        Object.assign(d, {
          fabric: { loopbacks: { ipv4: '10.0.0.0/24', ipv6: 'fd00::/64' }, links: { ipv4: '10.1.0.0/29', ipv6: 'fd01::/64' } },
        }),
      /fabric\.links\.ipv4: has room for 4 of the 6/,
    ],
    [
      'a pool without a block for every node',
      (d) => Object.assign(d, { cluster: { pools: { ipv4: '10.244.0.0/25', ipv6: 'fd00::/48' }, blockSize: { ipv4: 26, ipv6: 122 } } }),
      /cluster\.pools\.ipv4: has room for 2 of the 3/,
    ],
    [
      'a prefix of the wrong family',
      (d) =>
        Object.assign(d, {
          fabric: { loopbacks: { ipv4: 'fd00::/64', ipv6: 'fd00::/64' }, links: { ipv4: '10.1.0.0/24', ipv6: 'fd01::/64' } },
        }),
      /^fabric\.loopbacks\.ipv4: must be an IPv4 prefix/,
    ],
  ]
  test.each(cases)('%s', (_, spoil, message) => {
    const document = twoRacks()
    spoil(document)
    const parsed = parseTopology(document)
    expect(parsed).toMatchObject({ ok: false, error: expect.arrayContaining([expect.stringMatching(message)]) })
  })
})
