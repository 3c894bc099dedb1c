// What is advertised is ready before, and what is withdrawn is taken down after.
import { expect, test } from '@jest/globals'
import { type Step, stepsTo } from '../../src/agent/order.ts'
import { formatPrefix } from '../../src/net/index.ts'
import { block, node, pool } from '../store/objects.ts'
import { deriveFor } from './derive/world.ts'

const N1 = node('n1', ['10.0.0.11'])
const POOL = pool('pods', '10.244.0.0/16')

function withBlocks(...cidrs: readonly string[]) {
  return deriveFor('n1', [N1, POOL, ...cidrs.map((each) => block(each, 'n1'))])
}

/** `dataplane BLACKHOLES`, `bgp ORIGINATED`. */
function shown(steps: readonly Step[]): readonly string[] {
  return steps.map((step) => {
    const prefixes = step.to === 'bgp' ? step.speaker.originated.map(({ prefix }) => prefix) : step.local.routes.blackholes
    return `${step.to} ${prefixes.map(formatPrefix).sort().join(' ')}`
  })
}

test('at first, and when blocks are added, the dataplane comes before BGP', () => {
  const one = withBlocks('10.244.0.0/26')
  const two = withBlocks('10.244.0.0/26', '10.244.0.64/26')
  expect(shown(stepsTo(one, null))).toEqual(['dataplane 10.244.0.0/26', 'bgp 10.244.0.0/26'])
  expect(shown(stepsTo(two, one.local))).toEqual(['dataplane 10.244.0.0/26 10.244.0.64/26', 'bgp 10.244.0.0/26 10.244.0.64/26'])
})

test('a block that goes keeps its blackhole until it is withdrawn, also while another comes', () => {
  const before = withBlocks('10.244.0.0/26')
  const after = withBlocks('10.244.0.64/26')
  expect(shown(stepsTo(after, before.local))).toEqual([
    'dataplane 10.244.0.0/26 10.244.0.64/26',
    'bgp 10.244.0.64/26',
    'dataplane 10.244.0.64/26',
  ])
})
