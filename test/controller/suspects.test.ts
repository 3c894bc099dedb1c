// Whose pod is nowhere: one address and the pod of its name.
import { expect, test } from '@jest/globals'
import { isLost, podFacts } from '../../src/controller/leaks/suspects.ts'
import type { BlockAllocation } from '../../src/ipam/index.ts'
import { ip } from '../../src/net/index.ts'
import { parseResource, type ResourceOf } from '../../src/store/index.ts'

const ADDRESS = ip('10.244.0.5')
const allocation = { pod: { namespace: 'x', name: 'a' }, address: ADDRESS } as unknown as BlockAllocation // all that is looked at

test.each([
  ['the pod is nowhere', null, true],
  ['the pod of that name is on another node', { node: 'n2', addresses: [] }, true],
  ['it is there, and reports this address', { node: 'n2', addresses: [ip('fd00::5'), ADDRESS] }, false],
  ['it is on no node yet', { node: null, addresses: [] }, false],
  ['it is on the node of the address', { node: 'n1', addresses: [] }, false],
  ['it is on the node, and reports another address: it may have two interfaces', { node: 'n1', addresses: [ip('10.244.0.6')] }, false],
])('%s', (_, pod, isGone) => {
  expect(isLost(allocation, 'n1', pod)).toBe(isGone)
})

test('what belongs to no pod is nobody’s to judge', () => {
  expect(isLost({ ...allocation, pod: null }, 'n1', null)).toBe(false)
})

test('a pod has all addresses that its status shows, in either of its fields', () => {
  const pod = (status: object) => {
    const parsed = parseResource({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'a' },
      spec: { nodeName: 'n1', containers: [] },
      status,
    })
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.error))
    return podFacts(parsed.value as ResourceOf<'Pod'>)
  }
  expect(pod({ podIP: '10.244.0.5' })).toEqual({ node: 'n1', addresses: [ADDRESS] })
  expect(pod({ podIPs: [{ ip: '10.244.0.5' }, { ip: 'fd00::5' }] }).addresses).toEqual([ADDRESS, ip('fd00::5')])
  expect(pod({ podIPs: [{ ip: 'nonsense' }] }).addresses).toEqual([])
})
