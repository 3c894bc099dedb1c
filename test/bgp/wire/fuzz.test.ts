import { expect, test } from '@jest/globals'
import { WireFuzzer } from './fuzz-target.ts'

test('mutated messages never throw, and what comes out holds together (a slice of test/fuzz/wire.ts)', () => {
  const report = new WireFuzzer(20_250_520).run(30_000)
  expect(report.messages).toBe(30_000)
  // Mutants that are all refused, or all accepted, would test nothing.
  expect(report.decoded).toBeGreaterThan(3_000)
  expect(report.refused).toBeGreaterThan(3_000)
})
