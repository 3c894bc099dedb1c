import { describe, expect, test } from '@jest/globals'
import { FakeClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { ToolError } from '../../src/netfilter/failure.ts'
import { Netfilter, type Rule, type Ruleset } from '../../src/netfilter/index.ts'
import { ACCEPT, DROP, mark, NOTHING, type Part, rulesetOf, set, settle, setUp } from './set-up.ts'

describe('one transaction', () => {
  test('is one restore input: sets, then declarations, rules and jumps of the tables that are needed', async () => {
    const { model, netfilter } = setUp()
    const parts: Part[] = [
      { chain: 'fib-a', rules: [['-m', 'set', '--match-set', 'fib4-s', 'src', '-j', 'fib-b']], hook: 'first' },
      { chain: 'fib-b', rules: [DROP, ['-m', 'comment', '--comment', 'a b', '-j', 'ACCEPT']] },
      { chain: 'fib-z', rules: [ACCEPT], hook: 'last', match: ['-i', 'fib+'] },
    ]
    expect(await netfilter.client('guards').apply(rulesetOf(parts, [set('fib4-s', ['10.0.0.1', '10.0.0.2'])]))).toEqual({
      ok: true,
      changed: true,
    })
    expect(model.inputs).toEqual([
      'create fib4-s hash:ip family inet hashsize 64 maxelem 1048576\nadd fib4-s 10.0.0.1\nadd fib4-s 10.0.0.2\n',
      `*filter
:fib-a - [0:0]
:fib-b - [0:0]
:fib-z - [0:0]
-A fib-a -m set --match-set fib4-s src -j fib-b
-A fib-b -j DROP
-A fib-b -m comment --comment "a b" -j ACCEPT
-A fib-z -j ACCEPT
-I FORWARD -m comment --comment fibula -j fib-a
-A FORWARD -i fib+ -m comment --comment fibula -j fib-z
COMMIT
`,
    ])
    expect([...model.rules.nft[4].keys()]).toEqual(['filter'])
    expect(model.rules.nft[6].size).toBe(0)
  })

  test('of what the kernel holds already is none', async () => {
    const { model, netfilter } = setUp()
    const ruleset = (): Ruleset => rulesetOf([{ chain: 'fib-a', rules: [DROP], hook: 'first' }], [set('fib4-s', ['10.0.0.1'])])
    await netfilter.client('guards').apply(ruleset())
    const before = model.inputs.length
    expect(await netfilter.client('guards').apply(ruleset())).toEqual({ ok: true, changed: false })
    await netfilter.resync()
    expect(model.inputs.length).toBe(before)
  })

  test('names changed chains only, and members as deltas', async () => {
    const { model, netfilter } = setUp()
    const kept = [DROP]
    const ask = (rules: readonly Rule[], members: readonly string[]) =>
      netfilter.client('guards').apply(
        rulesetOf(
          [
            { chain: 'fib-a', rules: kept, hook: 'first' },
            { chain: 'fib-b', rules },
          ],
          [set('fib4-s', members)],
        ),
      )
    await ask([ACCEPT], ['10.0.0.1', '10.0.0.2'])
    await ask([DROP, ACCEPT], ['10.0.0.2', '10.0.0.3'])
    expect(model.inputs.slice(2)).toEqual([
      'add fib4-s 10.0.0.3\n',
      '*filter\n:fib-b - [0:0]\n-A fib-b -j DROP\n-A fib-b -j ACCEPT\nCOMMIT\n',
      'del fib4-s 10.0.0.1\n',
    ])
  })

  test('deletes members before chains where a chain that is written looks into the set, and at once where no chain is', async () => {
    const { model, netfilter } = setUp()
    const look: Rule = ['-m', 'set', '--match-set', 'fib4-s', 'src', '-j', 'ACCEPT']
    const ask = (rules: readonly Rule[], members: readonly string[]) =>
      netfilter.client('guards').apply(rulesetOf([{ chain: 'fib-a', rules, hook: 'first' }], [set('fib4-s', members)]))
    await ask([DROP], ['10.0.0.1', '10.0.0.2'])
    const looking = [look]
    await ask(looking, ['10.0.0.2', '10.0.0.3'])
    await ask(looking, ['10.0.0.4'])
    const chain = `*filter\n:fib-a - [0:0]\n-A fib-a ${look.join(' ')}\nCOMMIT\n`
    expect(model.inputs.slice(2)).toEqual([
      'add fib4-s 10.0.0.3\ndel fib4-s 10.0.0.1\n',
      chain,
      'add fib4-s 10.0.0.4\ndel fib4-s 10.0.0.2\ndel fib4-s 10.0.0.3\n',
    ])
  })

  test('without something takes it away: jumps, chains that refer to one another, then sets', async () => {
    const { model, netfilter } = setUp()
    const parts: Part[] = [
      { chain: 'fib-a', rules: [['-m', 'set', '--match-set', 'fib4-s', 'src', '-j', 'fib-b']], hook: 'first' },
      { chain: 'fib-b', rules: [DROP] },
    ]
    await netfilter.client('guards').apply(rulesetOf(parts, [set('fib4-s', [])]))
    expect(await netfilter.client('guards').apply(NOTHING)).toEqual({ ok: true, changed: true })
    expect(model.inputs.slice(2)).toEqual([
      `*filter\n-D FORWARD ${mark('fib-a')}\n-F fib-a\n-F fib-b\n-X fib-a\n-X fib-b\nCOMMIT\n`,
      'destroy fib4-s\n',
    ])
    expect(model.sets.size).toBe(0)
  })

  test('takes all requests that were made in the same breath', async () => {
    const { model, netfilter } = setUp({ clients: ['a', 'b'] })
    await Promise.all([
      netfilter.client('a').apply(rulesetOf([{ chain: 'fib-a', rules: [DROP], hook: 'first' }])),
      netfilter.client('b').apply(rulesetOf([{ chain: 'fib-b', rules: [DROP], hook: 'first' }])),
    ])
    expect(model.inputs.length).toBe(1)
    expect(model.chain('nft', 4, 'filter', 'FORWARD')).toEqual([mark('fib-a'), mark('fib-b')])
  })

  test('a host without IPv6 is asked nothing about it', async () => {
    const { model, netfilter } = setUp()
    model.present = [4]
    const six = { chains: [{ table: 'filter' as const, name: 'fib-a', rules: [DROP] }], hooks: [] }
    expect(await netfilter.client('guards').apply({ ...NOTHING, families: { ...NOTHING.families, 6: six } })).toEqual({
      ok: true,
      changed: false,
    })
    expect(netfilter.problems()).toEqual([])
  })
})

describe('what a former process left', () => {
  test('stays until every client has asked, then only what is wanted does', async () => {
    const { model, netfilter } = setUp({ clients: ['guards', 'policy'] })
    model.meddle('nft', 4, 'filter', ':fib-old - [0:0]', '-A fib-old -j DROP', `-A FORWARD ${mark('fib-old')}`)
    await netfilter.client('guards').apply(rulesetOf([{ chain: 'fib-a', rules: [DROP], hook: 'first' }]))
    expect(model.chain('nft', 4, 'filter', 'FORWARD')).toEqual([mark('fib-a'), mark('fib-old')])
    expect(model.chain('nft', 4, 'filter', 'fib-old')).toEqual(['-j DROP'])
    await netfilter.client('policy').apply(NOTHING)
    expect(model.chain('nft', 4, 'filter', 'FORWARD')).toEqual([mark('fib-a')])
    expect(model.chain('nft', 4, 'filter', 'fib-old')).toBeUndefined()
  })

  test('and is wanted as it is, is not written again', async () => {
    const { model, netfilter } = setUp()
    const ruleset = rulesetOf([{ chain: 'fib-a', rules: [DROP], hook: 'first' }], [set('fib4-s', ['10.0.0.1'])])
    await netfilter.client('guards').apply(ruleset)
    const again = new Netfilter({ clients: ['guards'], log: silentLog, clock: new FakeClock(), tools: model })
    expect(
      await again.client('guards').apply(rulesetOf([{ chain: 'fib-a', rules: [DROP], hook: 'first' }], [set('fib4-s', ['10.0.0.1'])])),
    ).toEqual({ ok: true, changed: false })
  })

  test('a chain of ours that a rule of another jumps to is emptied, since nobody can remove it', async () => {
    const { model, netfilter } = setUp()
    model.meddle('nft', 4, 'filter', ':fib-old - [0:0]', '-A fib-old -j DROP', '-A INPUT -j fib-old')
    expect((await netfilter.client('guards').apply(NOTHING)).ok).toBe(true)
    expect(model.chain('nft', 4, 'filter', 'fib-old')).toEqual([])
    expect(model.chain('nft', 4, 'filter', 'INPUT')).toEqual(['-j fib-old'])
    await netfilter.resync()
    expect(model.inputs.length).toBe(1)
  })

  test('in the other variant goes once ours are in place; other rules there stay', async () => {
    const { model, netfilter } = setUp()
    model.meddle('nft', 4, 'mangle', ':KUBE-IPTABLES-HINT - [0:0]')
    model.meddle(
      'legacy',
      4,
      'filter',
      ':fib-a - [0:0]',
      '-A fib-a -j DROP',
      `-A FORWARD ${mark('fib-a')}`,
      '-A FORWARD -i docker0 -j DROP',
    )
    await netfilter.client('guards').apply(rulesetOf([{ chain: 'fib-a', rules: [DROP], hook: 'first' }]))
    expect(netfilter.status().variant).toBe('nft')
    expect(model.chain('nft', 4, 'filter', 'FORWARD')).toEqual([mark('fib-a')])
    expect(model.chain('legacy', 4, 'filter', 'FORWARD')).toEqual(['-i docker0 -j DROP'])
    expect(model.chain('legacy', 4, 'filter', 'fib-a')).toBeUndefined()
  })

  test('kubelet shows up in the other variant: all of ours follows at the next look', async () => {
    const { model, clock, netfilter } = setUp()
    await netfilter.client('guards').apply(rulesetOf([{ chain: 'fib-a', rules: [DROP], hook: 'first' }]))
    expect(netfilter.status().variant).toBe('nft')
    model.meddle('legacy', 4, 'mangle', ':KUBE-KUBELET-CANARY - [0:0]')
    clock.advance(60_000)
    await settle()
    expect(netfilter.status()).toMatchObject({ variant: 'legacy', drifts: 0 })
    expect(model.chain('legacy', 4, 'filter', 'FORWARD')).toEqual([mark('fib-a')])
    expect(model.chain('nft', 4, 'filter', 'FORWARD')).toEqual([])
  })
})

describe('drift', () => {
  const parts: readonly Part[] = [
    { chain: 'fib-a', rules: [DROP, ACCEPT], hook: 'first' },
    { chain: 'fib-z', rules: [ACCEPT], hook: 'last' },
  ]
  test.each<[string, readonly string[], number]>([
    ['a rule added to our chain', ['-A fib-a -j RETURN'], 1],
    ['our chain flushed', ['-F fib-z'], 1],
    ['our jump removed', [`-D FORWARD ${mark('fib-a')}`], 1],
    ['our jump doubled', [`-A FORWARD ${mark('fib-z')}`], 1],
    ['an accepting rule before our first jump', ['-I FORWARD -j ACCEPT'], 1],
    ['our last jump moved before the first', [`-D FORWARD ${mark('fib-z')}`, `-I FORWARD ${mark('fib-z')}`], 1],
    ['everything flushed', ['-F FORWARD', '-F fib-a', '-F fib-z'], 3],
  ])('%s is put right at the next look and counted', async (_name, meddling, drifts) => {
    const { model, clock, netfilter } = setUp()
    model.meddle('nft', 4, 'filter', '-A FORWARD -i docker0 -j DROP')
    await netfilter.client('guards').apply(rulesetOf(parts))
    clock.advance(60_000) // the first look verifies what was written
    await settle()
    model.meddle('nft', 4, 'filter', ...meddling)
    clock.advance(60_000)
    await settle()
    expect(model.chain('nft', 4, 'filter', 'fib-a')).toEqual(['-j DROP', '-j ACCEPT'])
    expect(model.chain('nft', 4, 'filter', 'fib-z')).toEqual(['-j ACCEPT'])
    const jumps = model.chain('nft', 4, 'filter', 'FORWARD') ?? []
    expect(jumps[0]).toBe(mark('fib-a'))
    expect(jumps.filter((rule) => rule.includes('fibula'))).toEqual([mark('fib-a'), mark('fib-z')])
    expect(netfilter.status().drifts).toBe(drifts)
  })

  test('of members is put right', async () => {
    const { model, clock, netfilter } = setUp()
    await netfilter.client('guards').apply({ ...NOTHING, sets: [set('fib4-s', ['10.0.0.1', '10.0.0.2'])] })
    model.sets.get('fib4-s')?.members.delete('10.0.0.1')
    model.sets.get('fib4-s')?.members.add('10.9.9.9')
    clock.advance(60_000)
    await settle()
    expect([...(model.sets.get('fib4-s')?.members ?? [])].sort()).toEqual(['10.0.0.1', '10.0.0.2'])
    expect(netfilter.status().drifts).toBe(1)
  })

  test('is no rule of another that cannot let a packet past ours', async () => {
    const { model, clock, netfilter } = setUp()
    await netfilter.client('guards').apply(rulesetOf(parts))
    model.meddle('nft', 4, 'filter', '-I FORWARD -i eth9 -j DROP', '-I FORWARD -j LOG', '-A FORWARD -j ACCEPT')
    const before = model.inputs.length
    clock.advance(60_000)
    await settle()
    expect(model.inputs.length).toBe(before)
  })

  test('again and again of the same jump names a quarrel, until it ends', async () => {
    const { model, clock, netfilter } = setUp()
    await netfilter.client('guards').apply(rulesetOf(parts))
    clock.advance(60_000)
    await settle()
    for (let round = 0; round < 2; round++) {
      model.meddle('nft', 4, 'filter', '-I FORWARD -j ACCEPT')
      await netfilter.resync()
    }
    expect(netfilter.problems()).toEqual([])
    model.meddle('nft', 4, 'filter', '-I FORWARD -j ACCEPT')
    await netfilter.resync()
    expect(netfilter.problems()).toMatchObject([{ severity: 'warning', message: expect.stringContaining('IPv4 filter FORWARD') }])
    await netfilter.resync()
    expect(netfilter.problems()).toEqual([])
  })
})

describe('a tool that spells rules its own way', () => {
  test('costs one more write, then there is peace', async () => {
    const { model, netfilter } = setUp()
    model.spell = (rule) => rule.replace('--dport 080', '-m tcp --dport 80').replace('-s 10.0.0.0/255.0.0.0', '-s 10.0.0.0/8')
    const ask = () =>
      netfilter.client('guards').apply(
        rulesetOf([
          {
            chain: 'fib-a',
            rules: [['-p', 'tcp', '--dport', '080', '-j', 'DROP'], DROP],
            hook: 'first',
            match: ['-s', '10.0.0.0/255.0.0.0'],
          },
        ]),
      )
    await ask()
    await netfilter.resync()
    expect(model.inputs.length).toBe(2)
    for (let round = 0; round < 3; round++) await netfilter.resync()
    expect(await ask()).toEqual({ ok: true, changed: false })
    expect(model.inputs.length).toBe(2)
    expect(netfilter.status().drifts).toBe(0)
    model.meddle('nft', 4, 'filter', '-A fib-a -j RETURN', '-F FORWARD')
    await netfilter.resync()
    expect(netfilter.status().drifts).toBe(2)
    expect(model.chain('nft', 4, 'filter', 'fib-a')?.length).toBe(2)
    expect(model.chain('nft', 4, 'filter', 'FORWARD')?.length).toBe(1)
    expect(await netfilter.client('guards').apply(NOTHING)).toEqual({ ok: true, changed: true })
    expect(model.chain('nft', 4, 'filter', 'FORWARD')).toEqual([])
  })
})

describe('failures', () => {
  const good = rulesetOf([{ chain: 'fib-a', rules: [DROP], hook: 'first' }])
  const bad = rulesetOf([{ chain: 'fib-b', rules: [['-m', 'BROKEN']], hook: 'first' }])

  test('a refused input is followed by a look and a full rewrite of ours', async () => {
    const { model, netfilter } = setUp()
    await netfilter.client('guards').apply(good)
    model.rules.nft[4].get('filter')?.delete('fib-a') // and nobody told us
    model.rules.nft[4].get('filter')?.get('FORWARD')?.rules.splice(0)
    const wider = rulesetOf([
      { chain: 'fib-a', rules: [DROP], hook: 'first' },
      { chain: 'fib-b', rules: [['-j', 'fib-a']] },
    ])
    expect(await netfilter.client('guards').apply(wider)).toEqual({ ok: true, changed: true })
    expect(model.chain('nft', 4, 'filter', 'FORWARD')).toEqual([mark('fib-a')])
    expect(model.chain('nft', 4, 'filter', 'fib-b')).toEqual(['-j fib-a'])
  })

  test('one client whose rule is refused does not keep others from theirs, and hears the line and the words', async () => {
    const { model, netfilter } = setUp({ clients: ['guards', 'policy'] })
    const [guards, policy] = await Promise.all([netfilter.client('guards').apply(good), netfilter.client('policy').apply(bad)])
    expect(guards).toEqual({ ok: true, changed: true })
    expect(policy).toMatchObject({
      ok: false,
      problems: [{ subject: 'netfilter/policy', message: expect.stringMatching(/BROKEN.*"-A fib-b -m BROKEN" \(chain fib-b\)/) }],
    })
    expect(netfilter.problems().length).toBe(1)
    expect(netfilter.status().hasSynced).toBe(false)
    expect(model.chain('nft', 4, 'filter', 'FORWARD')).toEqual([mark('fib-a')])
  })

  test('where the tools do not say whose rule it was, each client is tried without the others', async () => {
    const { model, netfilter } = setUp({ clients: ['guards', 'policy', 'third'] })
    const restore = model.restoreRules.bind(model)
    model.restoreRules = async (...args) => {
      if (args[2].includes('BROKEN')) throw new ToolError('REFUSED', 'line 9 failed', 999)
      await restore(...args)
    }
    const outcomes = await Promise.all([
      netfilter.client('guards').apply(good),
      netfilter.client('policy').apply(bad),
      netfilter.client('third').apply(rulesetOf([{ chain: 'fib-c', rules: [DROP], hook: 'first' }])),
    ])
    expect(outcomes.map(({ ok }) => ok)).toEqual([true, false, true])
    expect(model.chain('nft', 4, 'filter', 'FORWARD')).toEqual([mark('fib-a'), mark('fib-c')])
  })

  test('a client whose rules are refused keeps neither itself nor others from taking theirs away', async () => {
    const { model, netfilter } = setUp({ clients: ['guards', 'policy'] })
    const policy = netfilter.client('policy')
    await Promise.all([netfilter.client('guards').apply(good), policy.apply(rulesetOf([{ chain: 'fib-c', rules: [DROP], hook: 'first' }]))])
    const [guards, refused] = await Promise.all([netfilter.client('guards').apply(NOTHING), policy.apply(bad)])
    expect([guards.ok, refused.ok]).toEqual([true, false])
    expect(model.chain('nft', 4, 'filter', 'FORWARD')).toEqual([mark('fib-c')])
    expect(model.chain('nft', 4, 'filter', 'fib-a')).toBeUndefined()
  })

  test('what a former process left of a client stays while its first rules are refused', async () => {
    const { model, netfilter } = setUp()
    model.meddle('nft', 4, 'filter', ':fib-old - [0:0]', '-A fib-old -j DROP', `-A FORWARD ${mark('fib-old')}`)
    expect((await netfilter.client('guards').apply(bad)).ok).toBe(false)
    expect(model.chain('nft', 4, 'filter', 'FORWARD')).toEqual([mark('fib-old')])
  })

  test('what a client had before stays when its new rules are refused, and is tried again with back-off', async () => {
    const { model, clock, netfilter } = setUp()
    await netfilter.client('guards').apply(good)
    expect((await netfilter.client('guards').apply(bad)).ok).toBe(false)
    expect(model.chain('nft', 4, 'filter', 'fib-a')).toEqual(['-j DROP'])
    expect(model.chain('nft', 4, 'filter', 'FORWARD')).toEqual([mark('fib-a')])
    const before = model.inputs.length
    clock.advance(250)
    await settle()
    expect(model.inputs.length).toBeGreaterThan(before)
    expect((await netfilter.client('guards').apply(good)).ok).toBe(true)
    expect(netfilter.problems()).toEqual([])
  })

  test.each(['LOCKED', 'UNSUPPORTED', 'MISSING', 'FAILED'] as const)(
    '%s: nothing is given up, it is tried again until it works',
    async (code) => {
      const { model, clock, netfilter } = setUp()
      model.faults.push(new ToolError(code, 'the remedy', null))
      expect(await netfilter.client('guards').apply(good)).toEqual({
        ok: false,
        problems: [{ severity: 'error', subject: 'netfilter/guards', message: 'the remedy' }],
      })
      clock.advance(250)
      await settle()
      expect(netfilter.problems()).toEqual([])
      expect(netfilter.status().hasSynced).toBe(true)
      expect(model.chain('nft', 4, 'filter', 'fib-a')).toEqual(['-j DROP'])
    },
  )

  test('no tools at all is a problem with its remedy, and nothing throws', async () => {
    const { model, netfilter } = setUp()
    model.saveRules = async () => {
      throw new ToolError('MISSING', 'iptables is not installed', null)
    }
    expect(await netfilter.client('guards').apply(good)).toMatchObject({
      ok: false,
      problems: [{ message: expect.stringContaining('install the package iptables') }],
    })
  })

  test('no ipset fails only those who want sets', async () => {
    const { model, netfilter } = setUp({ clients: ['guards', 'policy'] })
    model.saveSets = async () => {
      throw new ToolError('MISSING', 'ipset is not installed: install the package ipset', null)
    }
    const [guards, policy] = await Promise.all([
      netfilter.client('guards').apply(good),
      netfilter.client('policy').apply({ ...NOTHING, sets: [set('fib4-s', [])] }),
    ])
    expect(guards).toEqual({ ok: true, changed: true })
    expect(policy).toMatchObject({ ok: false, problems: [{ message: expect.stringContaining('install the package ipset') }] })
  })

  test.each<[string, Ruleset, RegExp]>([
    ['a foreign name', rulesetOf([{ chain: 'KUBE-x', rules: [] }]), /begins with fib/],
    ['a long name', rulesetOf([{ chain: `fib-${'x'.repeat(25)}`, rules: [] }]), /28 characters/],
    ['a name that is taken', rulesetOf([{ chain: 'fib-a', rules: [] }]), /name is taken/],
    [
      'a jump to nowhere',
      {
        ...NOTHING,
        families: {
          ...NOTHING.families,
          4: { chains: [], hooks: [{ table: 'filter', chain: 'INPUT', position: 'first', jumpTo: 'fib-q', match: [] }] },
        },
      },
      /no such chain/,
    ],
    ['a line break', rulesetOf([{ chain: 'fib-b', rules: [['--comment', 'x\n-F INPUT']] }]), /control character/],
    ['a set name of our own', { ...NOTHING, sets: [set('fib~s', [])] }, /begins with fib/],
  ])('a ruleset with %s is refused as a whole; others stand', async (_name, ruleset, why) => {
    const { model, netfilter } = setUp({ clients: ['guards', 'policy'] })
    const [guards, policy] = await Promise.all([netfilter.client('guards').apply(good), netfilter.client('policy').apply(ruleset)])
    expect(guards.ok).toBe(true)
    expect(policy).toMatchObject({ ok: false, problems: [{ message: expect.stringMatching(why) }] })
    expect(model.inputs.length).toBe(1)
  })

  test('a client nobody announced is a bug', () => {
    expect(() => setUp().netfilter.client('policy')).toThrow(RangeError)
  })

  test('closing ends timers, and a request after that is answered', async () => {
    const { clock, netfilter } = setUp()
    await netfilter.client('guards').apply(good)
    await netfilter[Symbol.asyncDispose]()
    expect(clock.armed).toBe(0)
    expect(await netfilter.client('guards').apply(NOTHING)).toMatchObject({ ok: false })
    expect(clock.armed).toBe(0)
  })
})
