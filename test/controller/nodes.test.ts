// Which nodes a selector means: the index gives what comparing each node would.
import { expect, test } from '@jest/globals'
import { NodeIndex, someOf } from '../../src/controller/cluster.ts'
import { type LabelSelector, matchesSelector } from '../../src/lib/label-selector.ts'
import { kubeNode, snapshotOf } from './world.ts'

const LABELS: Readonly<Record<string, Record<string, string>>> = {
  n4: { rack: 'a', row: '1' },
  n3: { rack: 'a' },
  n2: { rack: 'b', row: '1' },
  n1: {},
}
const index = new NodeIndex(snapshotOf(Object.entries(LABELS).map(([name, labels]) => kubeNode(name, true, labels))).Node)

test.each<LabelSelector>([
  {},
  { matchLabels: {} },
  { matchLabels: { rack: 'a' } },
  { matchLabels: { rack: 'c' } },
  { matchLabels: { rack: 'a', row: '1' } },
  { matchLabels: { row: '1', rack: 'a' } },
  { matchExpressions: [{ key: 'rack', operator: 'In', values: ['a', 'b'] }] },
  { matchLabels: { row: '1' }, matchExpressions: [{ key: 'rack', operator: 'NotIn', values: ['b'] }] },
  { matchExpressions: [{ key: 'rack', operator: 'DoesNotExist' }] },
])('%j', (nodeSelector) => {
  const wanted = Object.entries(LABELS).flatMap(([name, labels]) => (matchesSelector(nodeSelector, labels) ? [name] : []))
  for (let time = 0; time < 2; time++) expect([...index.chosenBy({ nodeSelector })]).toEqual([...wanted].sort())
})

test('a name, whatever the selector; neither: every node, in order', () => {
  expect([...index.chosenBy({ node: 'n2', nodeSelector: { matchLabels: { rack: 'a' } } })]).toEqual(['n2'])
  expect([...index.chosenBy({ node: 'n9' })]).toEqual([])
  expect([...index.chosenBy({})]).toEqual(['n1', 'n2', 'n3', 'n4'])
  expect([index.has('n1'), index.has('n9')]).toEqual([true, false])
})

test.each([
  [[], ''],
  [['a'], 'a'],
  [['a', 'b'], 'a and b'],
  [['a', 'b', 'c'], 'a, b and c'],
  [['a', 'b', 'c', 'd'], 'a, b, c and 1 more'],
])('some of %j', (names, words) => {
  expect(someOf(names)).toBe(words)
})
