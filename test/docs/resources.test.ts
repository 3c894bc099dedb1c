import { readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { RESOURCES_DOC, renderResources } from '../../scripts/resources.ts'
import { KIND_NAMES } from '../../src/store/index.ts'

test('docs/resources.md is what the schemas say (else: scripts/node scripts/resources.ts --write)', () => {
  expect(readFileSync(RESOURCES_DOC, 'utf8')).toBe(renderResources())
})

test('it has every kind, every field with a description, and no row that breaks its table', () => {
  const text = renderResources()
  for (const kind of KIND_NAMES) expect(text).toMatch(new RegExp(`(^## ${kind}$|^\\| ${kind} \\|)`, 'm'))
  const rows = text.split('\n').filter((line) => line.startsWith('| `spec.'))
  expect(rows.length).toBeGreaterThan(80)
  for (const row of rows) expect(row).toMatch(/^\| `[^`]+` \| [^|]+ \| [^|]*\| [^|]{5,} \|$/)
})
