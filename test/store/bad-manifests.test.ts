// Each of the manifests in bad-manifests.ts is refused in words that help.
import { describe, expect, test } from '@jest/globals'
import { parseManifests } from '../../src/store/index.ts'
import { CASES, peer, router } from './bad-manifests.ts'

function told(text: string): readonly string[] {
  return parseManifests(text, 'm.yaml').manifests.flatMap(({ result }) => (result.ok ? [] : result.error.map(({ message }) => message)))
}

describe.each(Object.entries(CASES))('%s', (_, cases) => {
  const titled = cases.map(([text, ...fragments]) => [fragments.join(' … '), text, fragments] as const)
  test.each(titled)('%s', (_title, text, fragments) => {
    const messages = told(text)
    expect(messages.length).toBeGreaterThan(0)
    for (const message of messages) expect(message).toMatch(/^m\.yaml, document \d+, line \d+: /)
    for (const fragment of fragments) expect(messages.join('\n')).toContain(fragment)
  })
})

test('the table is as long as it has to be, and no case stands twice', () => {
  const texts = Object.values(CASES).flatMap((cases) => cases.map(([text]) => text))
  expect(texts.length).toBeGreaterThanOrEqual(80)
  expect(new Set(texts).size).toBe(texts.length)
})

test('one fault gives one message: what follows from it is not told as well', () => {
  expect(told(peer('peerIP: 10.0.0.1, asnumber: 65001'))).toHaveLength(1)
  expect(told(router('holdTime: nonsense, keepaliveTime: 3s'))).toHaveLength(1)
})

test('a file with a thousand faults does not tell them all', () => {
  const spec = Array.from({ length: 1000 }, (_, at) => `unknown${at}: 1`).join(', ')
  expect(told(router(spec)).length).toBeLessThanOrEqual(20)
})

test('text from a manifest is quoted and cut where it is shown', () => {
  const [message = ''] = told(router(`sourceAddress: "\\u001b[31m${'x'.repeat(500)}"`))
  expect(message).not.toContain('\u001b')
  expect(message.length).toBeLessThan(300)
})

test('a text beyond all measure is refused unread', () => {
  expect(told('x'.repeat(9 * 1024 * 1024))).toEqual(['m.yaml, document 1, line 1: larger than 8 MiB; split it into several files'])
})
