// Whether there were policies when that was last known.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { PolicyMemory } from '../../../src/agent/policy/memory.ts'
import { silentLog } from '../../../src/lib/log.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fib-memory-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('what is remembered outlives the process, the last word counts, and no other file stays', () => {
  const memory = new PolicyMemory(folder, silentLog)
  expect(memory.hadPolicies).toBeNull()
  for (const hasPolicies of [true, false, true]) {
    memory.remember(hasPolicies)
    expect([memory.hadPolicies, new PolicyMemory(folder, silentLog).hadPolicies]).toEqual([hasPolicies, hasPolicies])
  }
  expect(readdirSync(folder)).toEqual(['policy.json'])
})

test.each(['', '{', 'true', 'null', '{}', '{"hasPolicies":"false"}', '{"hasPolicies":0}', '[false]'])(
  'a file that says %j is not known, which has to be taken for yes',
  (text) => {
    writeFileSync(join(folder, 'policy.json'), text)
    expect(new PolicyMemory(folder, silentLog).hadPolicies).toBeNull()
  },
)

test('where it cannot be written that is logged once, and it holds as long as the process', () => {
  const errors: string[] = []
  mkdirSync(join(folder, 'policy.json.new')) // a folder in the place of the file
  const memory = new PolicyMemory(folder, { ...silentLog, error: (event) => void errors.push(event) })
  memory.remember(true)
  memory.remember(true)
  expect([memory.hadPolicies, errors]).toEqual([true, ['agent.policy.memoryFailed']])
})
