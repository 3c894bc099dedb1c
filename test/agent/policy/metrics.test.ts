// Metrics of policy as a scrape shows them.
import { expect, test } from '@jest/globals'
import { type PolicySample, policyMetrics } from '../../../src/agent/policy/metrics.ts'
import { Registry } from '../../../src/lib/prometheus.ts'

function sample(over: Partial<PolicySample> = {}): PolicySample {
  return { stage: 'listed', policies: 3, endpoints: 5, turns: 7, connectionsCut: 2, lastWriteMs: 250, drops: [], ...over }
}

/** The lines that have values, after each of the samples was read. */
async function scraped(...samples: readonly (PolicySample | null)[]): Promise<readonly string[]> {
  const registry = new Registry()
  const { read } = policyMetrics(registry)
  for (const each of samples) read(each)
  return (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
}

test('figures of this moment; times in seconds', async () => {
  expect(await scraped(sample())).toEqual([
    'fibula_policy_state 3',
    'fibula_policy_policies 3',
    'fibula_policy_endpoints 5',
    'fibula_policy_last_write_seconds 0.25',
    'fibula_policy_connections_cut_total 2',
  ])
})

test.each([
  ['unknown', 0],
  ['none', 1],
  ['listing', 2],
  ['listed', 3],
] as const)('stage %s is %d', async (stage, number) => {
  expect(await scraped(sample({ stage }))).toContain(`fibula_policy_state ${number}`)
})

test('drops by pod and direction; one that is told no more is not shown any more, and nothing adds up', async () => {
  const drop = { namespace: 'x', pod: 'a', direction: 'ingress', packets: 4 } as const
  const first = sample({ drops: [drop, { ...drop, direction: 'egress', packets: 1 }] })
  const lines = await scraped(first, sample({ drops: [{ ...drop, packets: 9 }] }))
  expect(lines.filter((line) => line.includes('dropped'))).toEqual([
    'fibula_policy_dropped_packets{namespace="x",pod="a",direction="ingress"} 9',
  ])
  expect(lines).toContain('fibula_policy_connections_cut_total 2')
})

test('before rules were ever written there is no time of it', async () => {
  expect(await scraped(sample({ lastWriteMs: null }))).toContain('fibula_policy_last_write_seconds 0')
})

test('where no policy is enforced, what was shown before is gone', async () => {
  expect(await scraped(sample({ drops: [{ namespace: 'x', pod: 'a', direction: 'egress', packets: 1 }] }), null)).toEqual([
    'fibula_policy_state 0',
    'fibula_policy_policies 0',
    'fibula_policy_endpoints 0',
    'fibula_policy_last_write_seconds 0',
    'fibula_policy_connections_cut_total 0',
  ])
})
