// After any sequence of changes the engine holds what a fresh one makes of the outcome; and its deltas, applied one by one, lead there.
import { describe, expect, test } from '@jest/globals'
import type { Ruleset } from '../../src/netfilter/index.ts'
import { viewOf } from '../../src/policy/cluster-view.ts'
import { type PolicyDelta, PolicyEngine, type PolicyEngineOptions, RulesetMirror } from '../../src/policy/index.ts'
import { evaluate } from '../../src/policy/verdict.ts'
import { changesTo, OWN_NODE, Random, randomChange, randomCluster, randomFlow, stateAfter } from './random.ts'

/** In one order: chains and sets by name, members too. */
function inOrder({ sets, families }: Ruleset) {
  const ofFamily = (family: 4 | 6) => ({
    chains: new Map(
      [...families[family].chains].sort((a, b) => (a.name < b.name ? -1 : 1)).map(({ name, table, rules }) => [name, { table, rules }]),
    ),
    hooks: families[family].hooks,
  })
  return {
    sets: new Map(
      [...sets].sort((a, b) => (a.name < b.name ? -1 : 1)).map((set) => [set.name, { ...set, members: [...set.members].sort() }]),
    ),
    families: { 4: ofFamily(4), 6: ofFamily(6) },
  }
}

/** Everything in a delta is a change. */
function expectNoIdleTalk(before: Ruleset, { ruleset }: PolicyDelta): void {
  const sets = new Map(before.sets.map((set) => [set.name, set]))
  for (const { name } of ruleset.sets.put) expect(sets.has(name)).toBe(false)
  for (const { name, add, remove } of ruleset.sets.changed) {
    expect(add.length + remove.length).toBeGreaterThan(0)
    for (const member of add) expect(sets.get(name)?.members.has(member)).toBe(false)
    for (const member of remove) expect(sets.get(name)?.members.has(member)).toBe(true)
  }
  for (const name of ruleset.sets.removed) expect(sets.has(name)).toBe(true)
  for (const family of [4, 6] as const) {
    const chains = new Map(before.families[family].chains.map(({ name, rules }) => [name, rules]))
    for (const { name, rules } of ruleset.families[family].put) expect(chains.get(name)).not.toEqual(rules)
    for (const name of ruleset.families[family].removed) expect(chains.has(name)).toBe(true)
  }
}

/** No chain is jumped to, and no set looked into, that is not there; and there is none that nobody uses. */
function expectWhole(ruleset: Ruleset): void {
  const used = new Set<string>()
  for (const family of [4, 6] as const) {
    const { chains, hooks } = ruleset.families[family]
    const jumps = new Set(hooks.map(({ jumpTo }) => jumpTo))
    for (const { rules } of chains) {
      for (const rule of rules) {
        const target = rule[rule.findIndex((word) => word === '-j' || word === '-g') + 1] ?? ''
        if (target.startsWith('fib')) jumps.add(target)
        for (const [at, word] of rule.entries()) if (word === '--match-set') used.add(rule[at + 1] ?? '')
      }
    }
    const marks = chains.length === 0 ? [] : ['fib-policy-accept', 'fib-policy-clear', 'fib-policy-deny', 'fib-policy-pass']
    expect([...new Set([...jumps, ...marks])].sort()).toEqual(chains.map(({ name }) => name).sort())
  }
  const names = new Set(ruleset.sets.map(({ name }) => name))
  // A named port may belong to a rule whose peers are all of the other family.
  const needed = [...names].filter((name) => used.has(name) || !/^fib[46]-a-/.test(name))
  expect(needed.sort()).toEqual([...used].sort())
}

const OPTIONS: readonly PolicyEngineOptions[] = [
  { node: OWN_NODE, ownNodeEgress: 'allow', missingPods: 'deny', families: [4, 6] },
  { node: OWN_NODE, ownNodeEgress: 'police', missingPods: 'unlabelled', families: [6] },
]

describe.each(OPTIONS)('missing pods: $missingPods', (options) => {
  test.each(Array.from({ length: 16 }, (_, at) => at + 1000))(
    'seed %i: step by step is the same as all at once [policy 12, 14, 15, 16, 37, 80, 114]',
    (seed) => {
      const random = new Random(seed)
      const engine = new PolicyEngine(options)
      const mirror = new RulesetMirror()
      const changes = [...(random.chance(0.5) ? randomCluster(random) : [])]
      mirror.apply(engine.update(changes).ruleset)
      for (let turn = 0; turn < 8; turn++) {
        const more = Array.from({ length: 1 + random.below(4) }, () => randomChange(random))
        changes.push(...more)
        const before = mirror.ruleset()
        const delta = engine.update(more)
        expectNoIdleTalk(before, delta)
        const after = mirror.apply(delta.ruleset)
        if (!delta.changesRules) expect(inOrder(after)).toEqual(inOrder(before))
        expectWhole(after)

        const state = stateAfter(changes)
        const fresh = new PolicyEngine(options)
        const whole = new RulesetMirror().apply(fresh.update(random.shuffle(changesTo(state))).ruleset)
        expect(inOrder(after)).toEqual(inOrder(whole))
        expect(inOrder(new RulesetMirror().reset(engine.ruleset()))).toEqual(inOrder(after))
        expect(engine.state).toEqual(state)
        expect(engine.counters().length).toBe(fresh.counters().length)
        for (const name of state.endpoints.keys()) {
          expect(engine.policiesOf(name)).toEqual(fresh.policiesOf(name))
          expect(engine.endpointState(name)).toEqual(fresh.endpointState(name))
        }
        const view = viewOf(state, options)
        for (let count = 0; count < 20; count++) {
          const flow = randomFlow(random, state)
          expect(engine.explain(flow)).toEqual(evaluate(view, flow)) // addresses by index, and from scratch
        }
      }
    },
  )
})

test('the same changes again change nothing', () => {
  const random = new Random(7)
  const engine = new PolicyEngine({ node: OWN_NODE, ownNodeEgress: 'allow', missingPods: 'deny', families: [4, 6] })
  const changes = randomCluster(random)
  engine.update(changes)
  const again = engine.update(changesTo(stateAfter(changes)).map((change) => structuredClone(change)))
  expect(again.changesRules).toBe(false)
  expect(again.affected).toEqual([])
  expect([...again.endpoints]).toEqual([])
})

test('deltas cross threads', () => {
  const engine = new PolicyEngine({ node: OWN_NODE, ownNodeEgress: 'allow', missingPods: 'deny', families: [4, 6] })
  const delta = engine.update(randomCluster(new Random(3)))
  expect(structuredClone(delta)).toEqual(delta)
})
