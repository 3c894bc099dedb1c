// Reading back costs nothing while nobody changes anything, and still finds whatever somebody did. Changes do not wait for it.
import { describe, expect, test } from '@jest/globals'
import { ToolError } from '../../src/netfilter/failure.ts'
import type { NetfilterOutcome, Variant } from '../../src/netfilter/index.ts'
import { KnownState } from '../../src/netfilter/known-state.ts'
import { lastingParts } from '../../src/netfilter/save.ts'
import { KernelModel } from './kernel-model.ts'
import { ACCEPT, DROP, rulesetOf, set, settle, setUp } from './set-up.ts'

const MINUTE_MS = 60_000
const RULES = rulesetOf(
  [{ chain: 'fib-a', rules: [DROP, ['-m', 'set', '--match-set', 'fib4-s', 'src', '-j', 'ACCEPT']], hook: 'first' }],
  [set('fib4-s', ['10.0.0.1', '10.0.0.2'])],
)

/** After a write, a read-back that verifies it, and one that finds nothing new. */
async function quiet(variant: Variant, hasSocket: boolean) {
  const { model, clock, netfilter } = setUp({ variant })
  model.hasSocket = hasSocket
  model.meddle(variant, 4, 'filter', ':OTHER - [0:0]', '-A FORWARD -j LOG')
  await netfilter.client('guards').apply(RULES)
  await netfilter.resync()
  await netfilter.resync()
  const before = { saves: model.saves, setSaves: model.setSaves, inputs: model.inputs.length }
  return { model, clock, netfilter, before }
}

describe.each([
  ['nft', true],
  ['nft', false],
  ['legacy', true],
  ['legacy', false],
] as const)('read-backs of %s, with a socket: %s', (variant, hasSocket) => {
  test('that find nothing new list what cannot be told otherwise, and write nothing', async () => {
    const { model, netfilter, before } = await quiet(variant, hasSocket)
    await netfilter.resync()
    const { saves, setSaves } = model
    // Legacy, IPv4 and IPv6; without a socket nft as well.
    expect({ saves: saves - before.saves, setSaves: setSaves - before.setSaves }).toEqual(
      hasSocket ? { saves: 2, setSaves: 0 } : { saves: 4, setSaves: 1 },
    )
    expect(model.inputs.length).toBe(before.inputs)
    expect(netfilter.status().drifts).toBe(0)
  })

  test.each<[string, (model: KernelModel) => void, number]>([
    ['a rule that was added', (model) => model.meddle(variant, 4, 'filter', '-A fib-a -j RETURN'), 1],
    ['a chain that was emptied', (model) => model.meddle(variant, 4, 'filter', '-F fib-a'), 1],
    ['a jump that was removed', (model) => model.meddle(variant, 4, 'filter', '-D FORWARD -m comment --comment fibula -j fib-a'), 1],
    ['an accepting rule before the jump', (model) => model.meddle(variant, 4, 'filter', '-I FORWARD -j ACCEPT'), 1],
    ['a chain nobody asked for', (model) => model.meddle(variant, 6, 'filter', ':fib-left - [0:0]'), 0],
    ['a member that was removed', (model) => void model.sets.get('fib4-s')?.members.delete('10.0.0.1'), 1],
    ['a member in the place of another', (model) => swapMember(model), 1],
    [
      'a set nobody asked for',
      (model) =>
        void model.sets.set('fib4-left', { header: 'hash:ip family inet', type: 'hash:ip inet', maxElements: 9, members: new Set() }),
      0,
    ],
  ])('find %s, and put it right', async (_name, meddle, drifts) => {
    const { model, netfilter } = await quiet(variant, hasSocket)
    const before = stateOf(model, variant)
    const others = model.chain(variant, 4, 'filter', 'OTHER')
    meddle(model)
    await netfilter.resync()
    const after = stateOf(model, variant)
    expect(after).toEqual(before)
    expect(model.chain(variant, 4, 'filter', 'OTHER')).toEqual(others)
    expect(netfilter.status().drifts).toBe(drifts)
    // And once more, when what was put right has been read.
    await netfilter.resync()
    await netfilter.resync()
    meddle(model)
    await netfilter.resync()
    expect(stateOf(model, variant)).toEqual(before)
    expect(netfilter.status().drifts).toBe(2 * drifts)
  })

  test('find what somebody did at the time of our own write', async () => {
    const { model, netfilter } = await quiet(variant, hasSocket)
    const [chains, hooks] = [RULES.families[4].chains, RULES.families[4].hooks]
    const more = { table: 'filter' as const, name: 'fib-b', rules: [ACCEPT] }
    const asked = netfilter.client('guards').apply({ ...RULES, families: { ...RULES.families, 4: { chains: [...chains, more], hooks } } })
    model.meddle(variant, 4, 'filter', '-A fib-a -j RETURN')
    model.sets.get('fib4-s')?.members.add('10.9.9.9')
    await asked
    await netfilter.resync()
    expect(model.chain(variant, 4, 'filter', 'fib-a')?.length).toBe(2)
    expect(model.sets.get('fib4-s')?.members).toEqual(new Set(['10.0.0.1', '10.0.0.2']))
    expect(netfilter.status().drifts).toBe(2)
  })

  test('find that somebody took back what we wrote, so that everything is as at the last read-back', async () => {
    const { model, netfilter } = await quiet(variant, hasSocket)
    const [first] = RULES.families[4].chains
    if (first === undefined) throw new Error('no chain')
    const chains = [{ ...first, rules: [...first.rules, ACCEPT] }]
    const sets = [set('fib4-s', ['10.0.0.1', '10.0.0.2', '10.0.0.3'])]
    await netfilter.client('guards').apply({ sets, families: { ...RULES.families, 4: { ...RULES.families[4], chains } } })
    const wanted = stateOf(model, variant)
    model.meddle(variant, 4, 'filter', '-D fib-a -j ACCEPT')
    model.sets.get('fib4-s')?.members.delete('10.0.0.3')
    await netfilter.resync()
    expect(stateOf(model, variant)).toEqual(wanted)
  })

  function swapMember(model: KernelModel): void {
    model.sets.get('fib4-s')?.members.delete('10.0.0.2')
    model.sets.get('fib4-s')?.members.add('10.0.0.3')
  }
})

/** Everything of ours and where it stands; what others have put before our jumps is left out. */
function stateOf(model: KernelModel, variant: Variant): unknown {
  const chains = ([4, 6] as const).flatMap((family) =>
    [...(model.rules[variant][family].get('filter') ?? [])]
      .filter(([name]) => name.startsWith('fib'))
      .map(([name, { rules }]) => `${family} ${name} ${rules.join(' | ')}`),
  )
  const first = model.chain(variant, 4, 'filter', 'FORWARD')?.[0]
  return { chains, first, sets: [...model.sets].map(([name, { members }]) => [name, [...members].sort()]) }
}

describe('what is known', () => {
  const read = async (known: KnownState): Promise<void> => (await known.read('nft'))()

  test('is not taken apart again while the text is the same, whatever the time and the counters of built-in chains', async () => {
    const model = new KernelModel()
    model.hasSocket = false
    model.meddle('nft', 4, 'filter', ':fib-a - [0:0]', '-A fib-a -j DROP')
    const known = new KnownState(model)
    await read(known)
    const [rules, sets] = [known.stateOf('nft', 4), known.reading.sets]
    await read(known)
    expect(known.stateOf('nft', 4)).toBe(rules)
    expect(known.reading.sets).toBe(sets)
    model.meddle('nft', 4, 'filter', '-A fib-a -j ACCEPT')
    await read(known)
    expect(known.stateOf('nft', 4).tables.get('filter')?.chains.get('fib-a')).toEqual(['-j DROP', '-j ACCEPT'])
  })

  test.each([
    ['another time', '# Generated by iptables-save on Sun', true],
    ['other counters', ':INPUT ACCEPT [99:9999]', true],
    ['another policy', ':INPUT DROP [1:60]', false],
    ['another chain', ':fib-b - [0:0]', false],
    ['another rule', '-A fib-a -s 10.0.0.2/32 -j DROP', false],
    ['another table', '*nat', false],
  ])('%s: is it the same?', (_name, line, isSame) => {
    const text = (changed: string): string => {
      const lines = [
        '# Generated on Sat',
        '*filter',
        ':INPUT ACCEPT [1:60]',
        ':fib-a - [0:0]',
        '-A fib-a -s 10.0.0.1/32 -j DROP',
        'COMMIT',
        '# Completed on Sat',
      ]
      const key = /^(\W\w?)/.exec(changed)?.[1] ?? ''
      const at = lines.findIndex((each) => each.startsWith(key))
      return `${lines.with(at, changed).join('\n')}\n`
    }
    const parts = (changed: string): readonly string[] => [...lastingParts(text(changed))]
    expect(JSON.stringify(parts(line)) === JSON.stringify(parts('# Generated on Sat'))).toBe(isSame)
  })

  test('does not count sets that could not be read as none', async () => {
    const model = new KernelModel()
    model.sets.set('fib4-s', {
      header: 'hash:ip family inet maxelem 9',
      type: 'hash:ip inet',
      maxElements: 9,
      members: new Set(['10.0.0.1']),
    })
    const known = new KnownState(model)
    const saveSets = model.saveSets.bind(model)
    model.saveSets = async () => {
      throw new ToolError('LOCKED', 'held', null)
    }
    await read(known)
    expect(known.reading.setsFault?.message).toBe('held')
    model.saveSets = saveSets
    await read(known)
    expect({ fault: known.reading.setsFault, sets: [...known.reading.sets.keys()] }).toEqual({ fault: null, sets: ['fib4-s'] })
  })

  test('is read anew after a failure, sets too', async () => {
    const model = new KernelModel()
    model.sets.set('fib4-s', {
      header: 'hash:ip family inet maxelem 9',
      type: 'hash:ip inet',
      maxElements: 9,
      members: new Set(['10.0.0.1']),
    })
    const known = new KnownState(model)
    model.saveFault = new ToolError('LOCKED', 'held', null)
    await expect(known.read(null)).rejects.toThrow('held')
    expect(known.isInDoubt).toBe(true)
    model.saveFault = null
    await read(known)
    expect([...known.reading.sets.keys()]).toEqual(['fib4-s'])
    model.saveFault = new ToolError('LOCKED', 'held', null)
    model.meddle('nft', 4, 'filter', ':X - [0:0]')
    await expect(known.read('nft')).rejects.toThrow('held')
    expect(known.isInDoubt).toBe(true)
    model.saveFault = null
    const before = model.setSaves
    await read(known)
    expect(model.setSaves).toBe(before + 1)
  })
})

describe('a change during a read-back', () => {
  async function reading(overdueMs = 0) {
    const { model, clock, netfilter } = setUp()
    await netfilter.client('guards').apply(RULES)
    await netfilter.resync()
    const gate = Promise.withResolvers<void>()
    model.gate = gate.promise
    clock.advance(MINUTE_MS + overdueMs)
    await settle()
    return { model, clock, netfilter, gate }
  }
  const changed = rulesetOf([{ chain: 'fib-a', rules: [ACCEPT], hook: 'first' }])

  test('does not wait for it, and the read-back is made up for a second later', async () => {
    const { model, clock, netfilter, gate } = await reading()
    const { saves } = model
    const outcome: NetfilterOutcome = await netfilter.client('guards').apply(changed)
    expect(outcome).toEqual({ ok: true, changed: true })
    expect(model.chain('nft', 4, 'filter', 'fib-a')).toEqual(['-j ACCEPT'])
    model.meddle('nft', 4, 'filter', '-F fib-a')
    gate.resolve()
    await settle()
    expect(model.chain('nft', 4, 'filter', 'fib-a')).toEqual([]) // what the abandoned one has read is not used
    clock.advance(1_000)
    await settle()
    expect(model.chain('nft', 4, 'filter', 'fib-a')).toEqual(['-j ACCEPT'])
    expect(model.saves).toBeGreaterThan(saves)
    expect(netfilter.problems()).toEqual([])
  })

  test('is what the next change begins with, not what the abandoned read-back saw', async () => {
    const { model, netfilter, gate } = await reading()
    await netfilter.client('guards').apply(changed)
    gate.resolve()
    await settle()
    await netfilter.client('guards').apply(RULES)
    expect(model.chain('nft', 4, 'filter', 'fib-a')?.length).toBe(2)
  })

  test('does not hear of it if the abandoned one fails', async () => {
    const { model, clock, netfilter, gate } = await reading()
    await netfilter.client('guards').apply(changed)
    gate.reject(new ToolError('LOCKED', 'held', null))
    await settle()
    model.gate = null
    const { saves } = model
    expect(await netfilter.client('guards').apply(RULES)).toMatchObject({ ok: true })
    expect(model.saves).toBe(saves) // nothing is in doubt
    clock.advance(1_000)
    await settle()
    expect(model.saves).toBeGreaterThan(saves)
  })

  test('waits if changes have put it off for as long as there is between two', async () => {
    const { clock, model, netfilter, gate } = await reading()
    await netfilter.client('guards').apply(changed)
    for (let seconds = 0; seconds < 59; seconds++) {
      clock.advance(999)
      await netfilter.client('guards').apply(seconds % 2 === 0 ? RULES : changed)
    }
    clock.advance(2_000)
    let isDone = false
    const last = netfilter
      .client('guards')
      .apply(changed)
      .then(() => {
        isDone = true
      })
    await settle()
    expect(isDone).toBe(false)
    gate.resolve()
    await last
    expect(model.chain('nft', 4, 'filter', 'fib-a')).toEqual(['-j ACCEPT'])
  })

  test('is not needed for stopping', async () => {
    const { clock, netfilter } = await reading()
    await netfilter[Symbol.asyncDispose]()
    expect(clock.armed).toBe(0)
  })
})
