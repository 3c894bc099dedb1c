// Rendered rules, executed packet by packet, against the reference evaluator on random clusters.
import { describe, expect, test } from '@jest/globals'
import { viewOf } from '../../src/policy/cluster-view.ts'
import { type Flow, PolicyEngine, type PolicySettings, type PolicyState, RulesetMirror } from '../../src/policy/index.ts'
import { evaluate } from '../../src/policy/verdict.ts'
import { Interpreter } from './interpreter.ts'
import { OWN_NODE, Random, randomChange, randomCluster, randomFlow, stateAfter } from './random.ts'
import { wayOf } from './way.ts'

/** What the evaluator says of the stages that this node enforces. */
function isAllowedByEvaluator(flow: Flow, state: PolicyState, settings: PolicySettings): boolean {
  const view = viewOf(state, settings)
  const isLocal = {
    egress: (view.holderOf(flow.source)?.endpoint ?? null) !== null,
    ingress: (view.holderOf(flow.destination)?.endpoint ?? null) !== null,
  }
  return evaluate(view, flow).stages.every(({ direction, allowed }) => allowed || !isLocal[direction])
}

const SETTINGS: readonly PolicySettings[] = [
  { node: OWN_NODE, ownNodeEgress: 'allow', missingPods: 'deny' },
  { node: OWN_NODE, ownNodeEgress: 'police', missingPods: 'unlabelled' },
]

describe.each(SETTINGS)('own node: $ownNodeEgress, missing pods: $missingPods', (settings) => {
  test.each(Array.from({ length: 30 }, (_, at) => at + 1))(
    'seed %i: every packet is treated as the evaluator says [policy 7, 9, 28]',
    (seed) => {
      const random = new Random(seed)
      const engine = new PolicyEngine({ ...settings, families: [4, 6] })
      const mirror = new RulesetMirror()
      const changes = [...randomCluster(random)]
      mirror.apply(engine.update(changes).ruleset)
      const seen = { pass: 0, drop: 0 }
      for (let turn = 0; turn < 4; turn++) {
        const state = stateAfter(changes)
        const interpreter = new Interpreter(mirror.ruleset())
        for (let count = 0; count < 120; count++) {
          const flow = randomFlow(random, state)
          const way = wayOf(flow, state, OWN_NODE)
          if (way === null) continue
          const outcome = interpreter.run(way.hook, way.packet)
          const expected = isAllowedByEvaluator(flow, state, settings)
          seen[outcome.verdict]++
          if ((outcome.verdict === 'pass') !== expected) {
            const stages = evaluate(viewOf(state, settings), flow).stages
            throw new Error(
              JSON.stringify({ flow, way, outcome, stages }, (_, value) => (typeof value === 'bigint' ? value.toString(16) : value), 1),
            )
          }
          expect(engine.isAllowedHere(flow)).toBe(expected)
          if (outcome.verdict === 'pass') expect(outcome.mark).toBe(0)
        }
        const more = Array.from({ length: 3 }, () => randomChange(random))
        changes.push(...more)
        mirror.apply(engine.update(more).ruleset)
      }
      expect(seen.pass + seen.drop).toBeGreaterThan(20)
    },
  )
})
