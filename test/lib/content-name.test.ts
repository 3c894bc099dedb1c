import { createHash } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { contentName, sha256 } from '../../src/lib/content-name.ts'

test.each([0, 1, 3, 55, 56, 57, 63, 64, 65, 119, 120, 1000])('SHA-256 of %i octets is that of node:crypto', (length) => {
  const bytes = Uint8Array.from({ length }, (_, at) => (at * 37 + 11) % 256)
  const words = [...sha256(bytes)].map((word) => word.toString(16).padStart(8, '0')).join('')
  expect(words).toBe(createHash('sha256').update(bytes).digest('hex'))
})

test.each(['', 'a', 'fibula', 'ünïcode ✓', 'x'.repeat(500)])('the name of %j is the beginning of its digest in base64url', (text) => {
  expect(contentName(text)).toBe(createHash('sha256').update(text).digest('base64url').slice(0, 22))
})
