import { expect, test } from '@jest/globals'
import { DEFAULT_RUN_DIR, defaultStateDir } from '../../src/agent/options.ts'

test('an agent with a run directory of its own keeps its state there: two agents never share one', () => {
  expect(defaultStateDir(DEFAULT_RUN_DIR)).toBe('/var/lib/fibula')
  expect(defaultStateDir('/run/lab/node-1')).toBe('/run/lab/node-1/state')
})
