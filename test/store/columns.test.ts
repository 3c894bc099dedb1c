// Values of printer columns, as kubectl would show them.
import { expect, test } from '@jest/globals'
import { columnOf } from '../../src/store/index.ts'

const object = {
  metadata: { annotations: { 'a.b/c': 'note' } },
  spec: { name: 'x', on: false, list: ['a', 'b'] },
  status: {
    conditions: [
      { type: 'Ready', status: 'False', message: 'why' },
      { type: 'Healthy', status: 'True' },
      { type: 'Other', status: 'False', message: 'also' },
    ],
    addresses: [{ address: '10.0.0.1' }, { address: 'fd00::1' }],
  },
}

test.each([
  ['.spec.name', 'x'],
  ['.spec.on', 'false'],
  ['.spec.list', 'a,b'],
  ['.spec.nothing', ''],
  ['.spec.nothing.below', ''],
  ['.metadata.annotations["a.b/c"]', 'note'],
  ['.status.addresses[*].address', '10.0.0.1,fd00::1'],
  ['.status.conditions[?(@.type=="Ready")].status', 'False'],
  ['.status.conditions[?(@.type=="Healthy")].message', ''],
  ['.status.conditions[?(@.status=="False")].message', 'why,also'],
  ['.status.conditions[?(@.type=="None")].status', ''],
])('%s', (path, wanted) => {
  expect(columnOf(object, path)).toBe(wanted)
})
