import { describe, expect, test } from '@jest/globals'
import { type LabelSelector, type Labels, matchesSelector } from '../../src/store/index.ts'

const LABELS: Labels = { rack: 'a', zone: '', constructor: 'x' }

describe('Kubernetes label selectors', () => {
  test.each<readonly [string, LabelSelector, boolean]>([
    ['an empty selector matches everything', {}, true],
    ['an empty selector matches what has no label', {}, true],
    ['matchLabels: equal', { matchLabels: { rack: 'a' } }, true],
    ['matchLabels: other value', { matchLabels: { rack: 'b' } }, false],
    ['matchLabels: label missing', { matchLabels: { hall: 'a' } }, false],
    ['matchLabels: an empty value is a value', { matchLabels: { zone: '' } }, true],
    ['matchLabels: an empty value is not a missing label', { matchLabels: { hall: '' } }, false],
    ['matchLabels: all must match', { matchLabels: { rack: 'a', zone: 'x' } }, false],
    ['matchLabels: a name that every object inherits', { matchLabels: { toString: 'x' } }, false],
    ['In: one of the values', { matchExpressions: [{ key: 'rack', operator: 'In', values: ['b', 'a'] }] }, true],
    ['In: none of the values', { matchExpressions: [{ key: 'rack', operator: 'In', values: ['b'] }] }, false],
    ['In: label missing', { matchExpressions: [{ key: 'hall', operator: 'In', values: ['a'] }] }, false],
    ['NotIn: another value', { matchExpressions: [{ key: 'rack', operator: 'NotIn', values: ['b'] }] }, true],
    ['NotIn: that value', { matchExpressions: [{ key: 'rack', operator: 'NotIn', values: ['a'] }] }, false],
    ['NotIn: matches where the label is missing', { matchExpressions: [{ key: 'hall', operator: 'NotIn', values: ['a'] }] }, true],
    ['Exists', { matchExpressions: [{ key: 'zone', operator: 'Exists' }] }, true],
    ['Exists: missing', { matchExpressions: [{ key: 'hall', operator: 'Exists' }] }, false],
    ['Exists: what every object inherits is no label', { matchExpressions: [{ key: 'valueOf', operator: 'Exists' }] }, false],
    ['DoesNotExist', { matchExpressions: [{ key: 'hall', operator: 'DoesNotExist' }] }, true],
    ['DoesNotExist: there', { matchExpressions: [{ key: 'rack', operator: 'DoesNotExist' }] }, false],
    [
      'labels and expressions must all hold',
      { matchLabels: { rack: 'a' }, matchExpressions: [{ key: 'zone', operator: 'DoesNotExist' }] },
      false,
    ],
  ])('%s', (_, selector, expected) => {
    expect(matchesSelector(selector, LABELS)).toBe(expected)
  })

  test('everything is matched by the empty selector, also nothing at all', () => {
    expect(matchesSelector({}, {})).toBe(true)
  })
})
