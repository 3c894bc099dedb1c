// Scenarios of test/policy/scenarios by real packets on two nodes: every step, every pair of pods, every port, both families.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { PLACEMENT, PODS, PORTS, passes, type Scenario, stateOfStep } from '../../policy/scenarios/scenario.ts'
import { describeWith } from '../../support/tier.ts'
import { PolicyCluster, PROGRAMS } from './cluster.ts'

const START_MS = 300_000

/** A block of tests, one for each scenario, all in one cluster. */
export function runScenarios(name: string, scenarios: readonly Scenario[]): void {
  describeWith(PROGRAMS, name, () => {
    let cluster: PolicyCluster
    beforeAll(async () => {
      cluster = await PolicyCluster.start('scn', { nodes: ['n1', 'n2'], pods: PLACEMENT, ports: { tcp: [80, 81], udp: [80, 81] } })
      await cluster.meet(cluster.allProbes(PORTS, PODS))
    }, START_MS)
    afterAll(() => cluster?.[Symbol.asyncDispose]())

    test.each(scenarios)('$title', async ({ steps }) => {
      const probes = cluster.allProbes(PORTS, PODS)
      for (const [index, step] of steps.entries()) {
        await cluster.apply(stateOfStep(step, (key) => cluster.addressesOf(key)))
        const expected = probes.map(({ from, to, protocol, port }) => passes(step, from, to, [protocol, port]))
        const wrong = await cluster.differences(probes, expected)
        expect({ step: step.does ?? index, wrong }).toEqual({ step: step.does ?? index, wrong: [] })
      }
    })
  })
}
