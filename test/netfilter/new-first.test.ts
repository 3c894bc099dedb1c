// With nft, chains that nobody jumps to yet are a step before the one that takes something away: so one family does not wait until what the
// other has taken away is gone.
import { expect, test } from '@jest/globals'
import { ACCEPT, DROP, mark, rulesetOf, setUp } from './set-up.ts'

const before = rulesetOf([
  { chain: 'fib-endpoint', rules: [['-j', 'fib-old']], hook: 'first' },
  { chain: 'fib-old', rules: [DROP] },
])
const after = rulesetOf([
  { chain: 'fib-endpoint', rules: [['-j', 'fib-new']], hook: 'first' },
  { chain: 'fib-new', rules: [['-j', 'fib-newer']] },
  { chain: 'fib-newer', rules: [ACCEPT] },
])
const FRESH = [':fib-new - [0:0]', ':fib-newer - [0:0]', '-A fib-new -j fib-newer', '-A fib-newer -j ACCEPT']

test('nft: new chains, then those that change and what goes, in one input', async () => {
  const { model, netfilter } = setUp({ variant: 'nft' })
  await netfilter.client('guards').apply(before)
  await netfilter.client('guards').apply(after)
  expect(model.inputs[1]?.trim().split('\n')).toEqual([
    '*filter',
    ...FRESH,
    'COMMIT',
    '*filter',
    ':fib-endpoint - [0:0]',
    '-A fib-endpoint -j fib-new',
    '-F fib-old',
    '-X fib-old',
    'COMMIT',
  ])
  await netfilter.resync()
  expect(netfilter.status()).toMatchObject({ drifts: 0, transactions: 2 })
})

test('legacy: one step, since each costs what all rules cost', async () => {
  const { model, netfilter } = setUp({ variant: 'legacy' })
  await netfilter.client('guards').apply(before)
  await netfilter.client('guards').apply(after)
  expect(model.inputs[1]?.split('\n').filter((line) => line === 'COMMIT').length).toBe(1)
})

test('nft: where nothing is taken away it is one step, jumps included', async () => {
  const { model, netfilter } = setUp({ variant: 'nft' })
  await netfilter.client('guards').apply(before)
  const parts = rulesetOf([
    { chain: 'fib-endpoint', rules: [['-j', 'fib-old']], hook: 'first' },
    { chain: 'fib-old', rules: [DROP] },
    { chain: 'fib-more', rules: [ACCEPT], hook: 'last' },
  ])
  await netfilter.client('guards').apply(parts)
  expect(model.inputs[1]).toBe(`*filter\n:fib-more - [0:0]\n-A fib-more -j ACCEPT\n-A FORWARD ${mark('fib-more')}\nCOMMIT\n`)
})

test.each(['fib-new', 'fib-endpoint'])('a refusal in %s leaves nothing behind, and names the client', async (chain) => {
  const { model, netfilter } = setUp({ variant: 'nft', clients: ['guards', 'policy'] })
  await Promise.all([
    netfilter.client('policy').apply(before),
    netfilter.client('guards').apply(rulesetOf([{ chain: 'fib-g', rules: [DROP] }])),
  ])
  const { chains, hooks } = after.families[4]
  const broken = chains.map((each) => (each.name === chain ? { ...each, rules: [...each.rules, ['-j', 'BROKEN']] } : each))
  const outcome = await netfilter.client('policy').apply({ ...after, families: { ...after.families, 4: { chains: broken, hooks } } })
  expect(outcome).toMatchObject({ ok: false, problems: [{ subject: 'netfilter/policy' }] })
  expect(
    [...(model.rules.nft[4].get('filter') ?? [])].filter(([name]) => name.startsWith('fib')).map(([name, { rules }]) => [name, rules]),
  ).toEqual([
    ['fib-g', ['-j DROP']],
    ['fib-endpoint', ['-j fib-old']],
    ['fib-old', ['-j DROP']],
  ])
})
