import { describe, expect, test } from '@jest/globals'
import type { Rule, Ruleset } from '../../src/netfilter/index.ts'
import { mark, type Part, rulesetOf, set, setUp } from './set-up.ts'

describe('whatever the history', () => {
  /** A small generator of random numbers that a seed repeats (Numerical Recipes). */
  function generator(seed: number): (below: number) => number {
    let state = seed
    return (below) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
  }
  const FOREIGN = ['-i docker0 -j DROP', '-j KUBE-X', '-p tcp -j ACCEPT', '-j LOG']

  test.each(Array.from({ length: 60 }, (_, seed) => seed))('seed %d: ours is as wanted, and others have what they had', async (seed) => {
    const random = generator(seed)
    const pick = <T>(items: readonly T[]): T => items[random(items.length)] as T
    const { model, netfilter } = setUp()
    model.meddle('nft', 4, 'filter', ':KUBE-X - [0:0]', '-A KUBE-X -j RETURN')
    const randomRuleset = (): Ruleset => {
      const names = ['fib-a', 'fib-b', 'fib-c', 'fib-d'].filter(() => random(3) > 0)
      const setNames = ['fib4-r', 'fib4-s'].filter(() => random(3) > 0)
      const rule = (): Rule =>
        random(2) === 0 || setNames.length === 0
          ? ['-s', `10.0.0.${random(3)}`, '-j', pick([...names, 'DROP'])]
          : ['-m', 'set', '--match-set', pick(setNames), 'src', '-j', 'DROP']
      const parts = names.map((chain): Part => {
        const hook = pick(['first', 'last', undefined] as const)
        return {
          chain,
          rules: Array.from({ length: random(4) }, rule),
          ...(hook === undefined ? {} : { hook }),
          match: random(2) === 0 ? [] : ['-i', 'fib+'],
        }
      })
      const member = (): string => (random(2) === 0 ? `10.0.0.${random(5)}` : `10.0.${random(5)}.0/24`)
      return rulesetOf(
        parts,
        setNames.map((name) => ({ ...set(name, Array.from({ length: random(6) }, member)), type: 'hash:net' })),
      )
    }
    const foreign = (): readonly string[] =>
      ['INPUT', 'FORWARD', 'KUBE-X'].flatMap((chain) =>
        (model.chain('nft', 4, 'filter', chain) ?? []).filter((line) => !line.includes('fibula')),
      )
    for (let step = 0; step < 12; step++) {
      const ruleset = randomRuleset()
      for (let times = random(3); times > 0; times--) {
        model.meddle('nft', 4, 'filter', `${pick(['-A', '-I'])} ${pick(['INPUT', 'FORWARD'])} ${pick(FOREIGN)}`)
        const victim = pick(['fib-a', 'fib-b'])
        if (model.chain('nft', 4, 'filter', victim) !== undefined)
          model.meddle('nft', 4, 'filter', pick([`-F ${victim}`, `-A ${victim} -j RETURN`]))
        model.sets.get('fib4-r')?.members.delete('10.0.0.1')
      }
      const others = foreign()
      if (random(2) === 0) await netfilter.resync()
      expect(await netfilter.client('guards').apply(ruleset)).toMatchObject({ ok: true })
      await netfilter.resync()
      expect(foreign()).toEqual(others)
      const { chains, hooks } = ruleset.families[4]
      const ours = [...(model.rules.nft[4].get('filter') ?? [])]
        .filter(([name]) => name.startsWith('fib'))
        .map(([name, { rules }]) => [name, rules])
      expect(ours.sort()).toEqual(chains.map(({ name, rules }) => [name, rules.map((words) => words.join(' '))]).sort())
      const jumps = (model.chain('nft', 4, 'filter', 'FORWARD') ?? []).filter((line) => line.includes('fibula'))
      const line = ({ match, jumpTo }: (typeof hooks)[number]): string => [...match, mark(jumpTo)].join(' ')
      expect(jumps).toEqual([
        ...hooks.filter(({ position }) => position === 'first').map(line),
        ...hooks.filter(({ position }) => position === 'last').map(line),
      ])
      expect([...model.sets].map(([name, { members }]) => [name, [...members].sort()]).sort()).toEqual(
        ruleset.sets.map(({ name, members }) => [name, [...members].sort()]).sort(),
      )
    }
  })
})
