import { describe, expect, test } from '@jest/globals'
import { changeMembers } from '../../src/netfilter/index.ts'
import { NOTHING, type Part, rulesetOf, set, settle, setUp } from './set-up.ts'

describe('sets', () => {
  const using = (name: string): Part => ({
    chain: 'fib-a',
    rules: [['-m', 'set', '--match-set', name, 'src', '-j', 'DROP']],
    hook: 'first',
  })

  test('one that is too small is swapped for a larger one', async () => {
    const { model, netfilter } = setUp()
    model.sets.set('fib4-s', {
      header: 'hash:ip family inet hashsize 64 maxelem 2',
      type: 'hash:ip inet',
      maxElements: 2,
      members: new Set(['10.0.0.1', '10.0.0.2']),
    })
    expect(
      await netfilter.client('guards').apply(rulesetOf([using('fib4-s')], [set('fib4-s', ['10.0.0.1', '10.0.0.2', '10.0.0.3'])])),
    ).toEqual({ ok: true, changed: true })
    expect(model.sets.get('fib4-s')).toMatchObject({ maxElements: 1_048_576, members: new Set(['10.0.0.1', '10.0.0.2', '10.0.0.3']) })
    expect([...model.sets.keys()]).toEqual(['fib4-s'])
  })

  test('one of another type: rules look at a stand-in until the new one is there, and never at none', async () => {
    const { model, netfilter } = setUp()
    await netfilter.client('guards').apply(rulesetOf([using('fib4-s')], [set('fib4-s', ['10.0.0.1'])]))
    const seen: string[] = []
    const restore = model.restoreRules.bind(model)
    model.restoreRules = async (...args) => {
      await restore(...args)
      seen.push(/--match-set (\S+)/.exec(model.chain('nft', 4, 'filter', 'fib-a')?.[0] ?? '')?.[1] ?? 'none')
    }
    expect(await netfilter.client('guards').apply(rulesetOf([using('fib4-s')], [set('fib4-s', ['10.0.0.0/8'], 'hash:net')]))).toEqual({
      ok: true,
      changed: true,
    })
    expect(seen).toEqual([expect.stringMatching(/^fib~t/), 'fib4-s'])
    expect(model.sets.get('fib4-s')).toMatchObject({ type: 'hash:net inet', members: new Set(['10.0.0.0/8']) })
    expect([...model.sets.keys()]).toEqual(['fib4-s'])
  })

  test('one that the kernel still holds is tried again soon', async () => {
    const { model, clock, netfilter } = setUp()
    await netfilter.client('guards').apply({ ...NOTHING, sets: [set('fib4-r', []), set('fib4-s', []), set('fib4-t', [])] })
    model.meddle('nft', 4, 'filter', '-A INPUT -m set --match-set fib4-s src -j DROP')
    expect((await netfilter.client('guards').apply(NOTHING)).ok).toBe(true)
    expect([...model.sets.keys()]).toEqual(['fib4-s'])
    model.meddle('nft', 4, 'filter', '-F INPUT')
    clock.advance(1_000)
    await settle()
    expect([...model.sets.keys()]).toEqual([])
  })

  test('a change that says what it is costs what it changes, and one that was skipped is compared as a whole', async () => {
    const { model, netfilter } = setUp()
    const client = netfilter.client('guards')
    const members = (): readonly string[] => [...(model.sets.get('fib4-s')?.members ?? [])].sort()
    const ask = (wanted: ReadonlySet<string>) => client.apply({ ...NOTHING, sets: [{ ...set('fib4-s', []), members: wanted }] })
    const one = new Set(['10.0.0.1', '10.0.0.2', '10.0.0.3'])
    await ask(one)
    const two = changeMembers(one, { add: ['10.0.0.4', '10.0.0.2'], remove: ['10.0.0.1', '10.0.0.2', '10.0.0.9'] })
    expect(two).toEqual(new Set(['10.0.0.2', '10.0.0.3', '10.0.0.4']))
    await ask(two)
    expect(members()).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.4'])
    const three = changeMembers(two, { add: ['10.0.0.5'], remove: [] })
    await ask(changeMembers(three, { add: ['10.0.0.6'], remove: ['10.0.0.3'] }))
    expect(members()).toEqual(['10.0.0.2', '10.0.0.4', '10.0.0.5', '10.0.0.6'])
    await ask(two)
    expect(members()).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.4'])
  })

  test('members that are none are left out and named, for as long as they are asked for', async () => {
    const { model, netfilter } = setUp()
    const sets = [set('fib4-s', ['10.0.0.1', 'nonsense', 'fd00::1'])]
    expect((await netfilter.client('guards').apply({ ...NOTHING, sets })).ok).toBe(true)
    expect([...(model.sets.get('fib4-s')?.members ?? [])]).toEqual(['10.0.0.1'])
    await netfilter.resync()
    expect(netfilter.problems()).toMatchObject([{ severity: 'warning', message: expect.stringContaining('"nonsense", "fd00::1"') }])
    await netfilter.client('guards').apply({ ...NOTHING, sets: [set('fib4-s', ['10.0.0.1'])] })
    expect(netfilter.problems()).toEqual([])
  })

  test('one removed by another is made again', async () => {
    const { model, netfilter } = setUp()
    await netfilter.client('guards').apply({ ...NOTHING, sets: [set('fib4-s', ['10.0.0.1'])] })
    model.sets.delete('fib4-s')
    expect((await netfilter.client('guards').apply({ ...NOTHING, sets: [set('fib4-s', ['10.0.0.1', '10.0.0.2'])] })).ok).toBe(true)
    expect([...(model.sets.get('fib4-s')?.members ?? [])]).toEqual(['10.0.0.1', '10.0.0.2'])
  })
})
