import { expect, test } from '@jest/globals'
import { contentName } from '../../src/lib/content-name.ts'

test('names stay as they are: chains and sets of a former agent are known by them', () => {
  expect(contentName('')).toBe('47DEQpj8HBSa-_TImW-5JC') // SHA-256 of nothing, FIPS 180-4
  expect(contentName('fibula')).toMatch(/^[\w-]{22}$/)
  expect(contentName('fibula')).not.toBe(contentName('Fibula'))
})
