import { expect, test } from '@jest/globals'
import { BGP_RULES, CNI_STATEMENTS, checkTable, POLICY_STATEMENTS, proofsInTests } from '../../scripts/proof-tables.ts'

test.each([BGP_RULES, CNI_STATEMENTS, POLICY_STATEMENTS])(
  '$path names, for each of its $rows rows, the tests that prove it or the reason there is none',
  (table) => {
    expect(checkTable(table).faults).toEqual([])
  },
)

test('the tables are not empty talk: tests do name their rows', () => {
  expect(proofsInTests(BGP_RULES).size).toBeGreaterThan(100)
  expect(proofsInTests(CNI_STATEMENTS).size).toBeGreaterThan(55)
  expect(proofsInTests(POLICY_STATEMENTS).size).toBeGreaterThan(105)
})
