// Manifests as text: places, sources, and texts that nobody meant.
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { parseManifests, sourceOf } from '../../src/store/index.ts'

const PEER = 'apiVersion: fibula.network/v1alpha1\nkind: BGPPeer\nmetadata: { name: a }\nspec: { peerIP: 10.0.0.1, asNumber: 65001 }\n'
const POOL =
  'apiVersion: fibula.network/v1alpha1\nkind: IPPool\nmetadata:\n  name: pods\nspec:\n  cidr: 10.244.0.0/16\n  nodeSelector:\n    matchLabels: { rack: a }\n'

describe('where a manifest stands', () => {
  test.each([
    ['one document', PEER, [[1, 1]]],
    ['a comment before it', `# one\n# two\n${PEER}`, [[1, 3]]],
    [
      'documents, with and without marks',
      `---\n${PEER}---\n# pool\n${POOL}`,
      [
        [1, 2],
        [2, 8],
      ],
    ],
    ['empty documents count, but are nothing', `---\n---\n${PEER}`, [[2, 3]]],
    ['a byte order mark', `\uFEFF${PEER}`, [[1, 1]]],
    [
      'line ends of another system',
      `${PEER}---\n${POOL}`.replaceAll('\n', '\r\n'),
      [
        [1, 1],
        [2, 6],
      ],
    ],
    ['nothing at all', '', []],
    ['nothing but comments', '# later\n', []],
  ])('%s', (_, text, expected) => {
    const { manifests, isBroken } = parseManifests(text, 'm.yaml')
    expect(manifests.map(({ place }) => [place.document, place.line])).toEqual(expected)
    expect(manifests.every(({ result }) => result.ok)).toBe(true)
    expect(isBroken).toBe(false)
  })

  test('a fault deep inside has its own line', () => {
    const text = `${PEER}---\n${POOL.replace('{ rack: a }', '\n      rack: -x')}`
    const [fault] = parseManifests(text, 'm.yaml').manifests.flatMap(({ result }) => (result.ok ? [] : result.error))
    expect(fault).toMatchObject({ document: 2, line: 14, field: 'spec.nodeSelector.matchLabels.rack' })
  })

  test('a text is broken when a part of it says nothing, not when a part is wrong', () => {
    expect(parseManifests(PEER.replace('65001', 'x'), 'm.yaml').isBroken).toBe(false)
    expect(parseManifests(PEER.replace('name: a', 'label: a'), 'm.yaml').isBroken).toBe(true)
    expect(parseManifests(`${PEER}---\n{`, 'm.yaml').isBroken).toBe(true)
  })
})

describe('a manifest as its author wrote it', () => {
  test.each([
    ['alone', PEER, PEER],
    ['with what comes before the mark', `# mine\n---\n${PEER}`, `# mine\n${PEER}`],
    ['without what is not its own', `${PEER}...\n---\n${POOL}`, PEER],
    ['without a directive, which holds for its file', `%YAML 1.2\n---\n${PEER}`, PEER],
  ])('%s', (_, text, expected) => {
    const [first] = parseManifests(text, 'm.yaml').manifests
    expect(first === undefined ? null : sourceOf(text, first)).toBe(expected)
  })

  test('JSON and items of a List have no text worth keeping', () => {
    const json = JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'a' } })
    const list = `apiVersion: v1\nkind: List\nitems: [${json}]\n`
    for (const text of [json, list]) {
      const [first] = parseManifests(text, 'm.yaml').manifests
      expect(first?.result.ok).toBe(true)
      expect(first === undefined ? '' : sourceOf(text, first)).toBeNull()
    }
  })
})

describe('texts that nobody meant', () => {
  const WHOLE = `# all\n---\n${PEER}---\n${POOL}`
  const holds = (text: string): void => {
    for (const { result, place } of parseManifests(text, 'm.yaml').manifests) {
      expect(place.end).toBeLessThanOrEqual(text.length)
      if (!result.ok) for (const { message } of result.error) expect(message).toMatch(/^m\.yaml, document \d+, line \d+: ./)
    }
  }

  test('any text gives manifests or faults, and never throws', () => {
    fc.assert(fc.property(fc.string({ maxLength: 200, unit: 'binary' }), holds), { numRuns: 120, seed: 1 })
  })

  test('so does a manifest with pieces of it moved, doubled, lost or spoilt', () => {
    const edit = fc.record({
      at: fc.nat(WHOLE.length),
      cut: fc.nat(30),
      put: fc.constantFrom('', ':', '"', '{', ']', '*a', '&a', '\n', '\t', '- ', '---\n', '\0', '!!x ', 'null', WHOLE.slice(40, 90)),
    })
    const spoilt = fc
      .array(edit, { minLength: 1, maxLength: 4 })
      .map((edits) => edits.reduce((text, { at, cut, put }) => text.slice(0, at) + put + text.slice(at + cut), WHOLE))
    fc.assert(fc.property(spoilt, holds), { numRuns: 250, seed: 2 })
  })

  test('and so does any JSON of the right shape', () => {
    const object = fc.record({
      apiVersion: fc.constant('fibula.network/v1alpha1'),
      kind: fc.constantFrom('BGPPeer', 'BGPConfiguration', 'BGPFilter', 'IPPool', 'IPAMBlock'),
      metadata: fc.record({ name: fc.constantFrom('a', 'default') }),
      spec: fc.object({
        key: fc.constantFrom(
          'peerIP',
          'asNumber',
          'cidr',
          'holdTime',
          'importV4',
          'nodeSelector',
          'matchLabels',
          'communities',
          '__proto__',
          'x',
        ),
      }),
    })
    fc.assert(
      fc.property(object, (value) => holds(JSON.stringify(value))),
      { numRuns: 150, seed: 3 },
    )
  })
})
