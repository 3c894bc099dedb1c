import { expect, test } from '@jest/globals'
import { checkTable, rulesInTests } from '../../scripts/bgp-rules.ts'

test('docs/bgp-rules.md names, for each of the 195 rules, the tests that prove it or the reason there is none', () => {
  expect(checkTable().faults).toEqual([])
})

test('the table is not empty talk: tests do name rules', () => {
  expect(rulesInTests().size).toBeGreaterThan(100)
})
