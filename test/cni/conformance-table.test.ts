import { expect, test } from '@jest/globals'
import { checkTable, statementsInTests } from '../../scripts/cni-conformance.ts'

test('docs/cni-conformance.md says of every statement which tests prove it, or why none does', () => {
  expect(checkTable().faults).toEqual([])
})

test('statements are found in titles', () => {
  expect(statementsInTests().size).toBeGreaterThan(55)
})
