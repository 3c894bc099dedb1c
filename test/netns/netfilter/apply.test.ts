import { describe, expect, test } from '@jest/globals'
import { cidr, ip } from '../../../src/net/index.ts'
import type { IpSet, Rule, Ruleset } from '../../../src/netfilter/index.ts'
import { renderGuards } from '../../../src/routes/guard/index.ts'
import { buildNetns } from '../../support/netns.ts'
import { until } from '../../support/poll.ts'
import { Host, NOTHING, oneChain } from './host.ts'

const GUARDS = renderGuards({
  families: [4, 6],
  pools: [
    { range: cidr('10.244.0.0/16'), natOutgoing: true },
    { range: cidr('fd00:244::/48'), natOutgoing: true },
  ],
  nodeAddresses: [ip('192.0.2.1'), ip('2001:db8::1')],
  tunnels: { 4: { device: 'fibipip', nodeAddresses: [ip('192.0.2.1')] }, 6: { device: 'fibip6tnl', nodeAddresses: [ip('2001:db8::1')] } },
})
const DROP: Rule = ['-j', 'DROP']
const OTHER = { nft: 'legacy', legacy: 'nft' } as const

/** As kube-proxy and Docker lay out theirs. */
const KUBE_PROXY = [
  '*nat',
  ':KUBE-SERVICES - [0:0]',
  ':KUBE-POSTROUTING - [0:0]',
  ':KUBE-MARK-MASQ - [0:0]',
  '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
  '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
  '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
  '-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000',
  '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN',
  '-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0',
  '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
  'COMMIT',
  '*filter',
  ':FORWARD DROP [0:0]',
  ':KUBE-FORWARD - [0:0]',
  ':DOCKER-USER - [0:0]',
  '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
  '-A FORWARD -j DOCKER-USER',
  '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
  '-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
  'COMMIT',
]

function addresses(count: number, from = 0): ReadonlySet<string> {
  return new Set(
    Array.from({ length: count }, (_, index) => `10.${(index + from) >> 16}.${((index + from) >> 8) & 255}.${(index + from) & 255}`),
  )
}

function ipSet(name: string, members: ReadonlySet<string>, type: IpSet['type'] = 'hash:ip'): IpSet {
  return { name, type, family: 4, members }
}

describe.each(['nft', 'legacy'] as const)('iptables-%s', (variant) => {
  test('guards are applied once: a second request, a read-back and a new process find nothing to write', async () => {
    await using net = await buildNetns('netfilter', { nodes: ['a'] })
    using host = new Host(net, 'a')
    const netfilter = host.netfilter({ variant })
    expect(await netfilter.client('guards').apply(GUARDS)).toEqual({ ok: true, changed: true })
    expect((await host.rules(variant, 4)).length).toBe(26)
    expect((await host.rules(variant, 6)).length).toBe(28)
    expect(await host.members('fib6-pools')).toEqual(['fd00:244::/48'])
    const { transactions } = netfilter.status()
    expect(await netfilter.client('guards').apply({ ...GUARDS })).toEqual({ ok: true, changed: false })
    await netfilter.resync()
    await netfilter.resync()
    expect(netfilter.status()).toMatchObject({ transactions, drifts: 0, failures: 0, hasSynced: true, variant })
    await using restarted = host.netfilter({ variant })
    expect(await restarted.client('guards').apply(GUARDS)).toEqual({ ok: true, changed: false })
  })

  test('rules of others stay what and where they are while ours come, are repaired and go', async () => {
    await using net = await buildNetns('netfilter', { nodes: ['a'] })
    using host = new Host(net, 'a')
    await host.load(variant, 4, ...KUBE_PROXY)
    await host.exec('ipset', ['create', 'KUBE-LOOP-BACK', 'hash:ip'])
    const others = await host.rules(variant, 4, 'others')
    await using netfilter = host.netfilter()
    expect((await netfilter.client('guards').apply(GUARDS)).ok).toBe(true)
    expect(netfilter.status().variant).toBe(variant)
    const ours = await host.rules(variant, 4, 'ours')
    expect(await host.rules(variant, 4, 'others')).toEqual(others)
    await netfilter.resync()
    await host.load(
      variant,
      4,
      '*filter',
      '-F fib-accept-to',
      '-A fib-tunnel-in -j RETURN',
      '-D FORWARD -i fib+ -m comment --comment fibula -j fib-accept-from',
      'COMMIT',
    )
    await host.exec('ipset', ['flush', 'fib4-pools'])
    await host.exec('ipset', ['add', 'fib4-nodes', '10.9.9.9'])
    await netfilter.resync()
    expect([...(await host.rules(variant, 4, 'ours'))].sort()).toEqual([...ours].sort())
    expect(await host.members('fib4-pools')).toEqual(['10.244.0.0/16'])
    expect(await host.members('fib4-nodes')).toEqual(['192.0.2.1'])
    expect(netfilter.status().drifts).toBe(5)
    expect((await netfilter.client('guards').apply(NOTHING)).ok).toBe(true)
    expect(await host.rules(variant, 4)).toEqual(others)
    await until('the kernel lets go of our sets', async () => {
      await netfilter.resync()
      return (await host.setNames()).join() === 'KUBE-LOOP-BACK'
    })
  })

  test('an accepting rule before our first jump is left behind, a dropping one is left alone', async () => {
    await using net = await buildNetns('netfilter', { nodes: ['a'] })
    using host = new Host(net, 'a')
    await using netfilter = host.netfilter({ variant })
    await netfilter.client('guards').apply(oneChain('fib-in', [DROP]))
    await host.load(variant, 4, '*filter', '-I INPUT -s 10.0.0.1 -j DROP', 'COMMIT')
    await netfilter.resync()
    const jump = 'filter -A INPUT -m comment --comment fibula -j fib-in'
    const builtin = async (): Promise<readonly string[]> =>
      (await host.rules(variant, 4)).filter((line) => line.startsWith('filter -A INPUT'))
    expect(await builtin()).toEqual(['filter -A INPUT -s 10.0.0.1/32 -j DROP', jump])
    await host.load(variant, 4, '*filter', '-I INPUT -s 10.0.0.2 -j ACCEPT', 'COMMIT')
    await netfilter.resync()
    expect(await builtin()).toEqual([jump, 'filter -A INPUT -s 10.0.0.2/32 -j ACCEPT', 'filter -A INPUT -s 10.0.0.1/32 -j DROP'])
  })

  test('rules spelled otherwise than iptables-save prints them are written twice and then left in peace', async () => {
    await using net = await buildNetns('netfilter', { nodes: ['a'] })
    using host = new Host(net, 'a')
    await using netfilter = host.netfilter({ variant })
    const rules: readonly Rule[] = [
      ['--protocol', 'tcp', '--dport', 'http', '--source', '10.1.2.3/255.0.0.0', '--jump', 'DROP'],
      ['-s', '10.0.0.1,10.0.0.2', '-j', 'ACCEPT'],
      ['-m', 'comment', '--comment', 'a "quoted" word'],
    ]
    const four = oneChain('fib-in', rules).families[4]
    await netfilter.client('guards').apply({
      ...NOTHING,
      families: {
        ...NOTHING.families,
        4: { ...four, hooks: four.hooks.map((hook) => ({ ...hook, match: ['--source', '10.0.0.0/255.0.0.0'] })) },
      },
    })
    await netfilter.resync()
    const { transactions } = netfilter.status()
    expect(transactions).toBe(2)
    await netfilter.resync()
    await netfilter.resync()
    expect(netfilter.status()).toMatchObject({ transactions, drifts: 0 })
    await host.load(variant, 4, '*filter', '-D fib-in 2', 'COMMIT')
    await netfilter.resync()
    expect(netfilter.status()).toMatchObject({ transactions: transactions + 1, drifts: 1 })
    expect((await host.rules(variant, 4)).filter((line) => line.startsWith('filter -A fib-in')).length).toBe(4)
  })

  test.each<[string, Rule, RegExp]>([
    ['a target that does not exist', ['-j', 'NOSUCH'], /NOSUCH.*"-A fib-bad -j NOSUCH" \(chain fib-bad\)/],
    ['a set that does not exist', ['-m', 'set', '--match-set', 'fib4-none', 'src', '-j', 'DROP'], /fib4-none doesn't exist.*chain fib-bad/],
    ['what only the kernel refuses', ['-j', 'fib-bad'], /iptables-.*restore/],
  ])('%s: its client hears of it, the other has its rules, and the last good ones stay', async (_name, bad, words) => {
    await using net = await buildNetns('netfilter', { nodes: ['a'] })
    using host = new Host(net, 'a')
    await host.load(variant, 4, ...KUBE_PROXY)
    const others = await host.rules(variant, 4, 'others')
    await using netfilter = host.netfilter({ clients: ['guards', 'policy'], variant })
    const policy = netfilter.client('policy')
    const [guards, first] = await Promise.all([netfilter.client('guards').apply(GUARDS), policy.apply(oneChain('fib-bad', [bad]))])
    expect(guards).toEqual({ ok: true, changed: true })
    expect(first).toMatchObject({
      ok: false,
      problems: [{ severity: 'error', subject: 'netfilter/policy', message: expect.stringMatching(words) }],
    })
    expect((await host.rules(variant, 4, 'ours')).length).toBe(26)
    expect(await policy.apply(oneChain('fib-bad', [DROP]))).toEqual({ ok: true, changed: true })
    expect((await policy.apply(oneChain('fib-bad', [bad, DROP]))).ok).toBe(false)
    expect((await host.rules(variant, 4)).filter((line) => line.startsWith('filter -A fib-bad'))).toEqual(['filter -A fib-bad -j DROP'])
    expect(await host.rules(variant, 4, 'others')).toEqual(others)
  })

  test('rules that somebody else removed while we thought them there: refused, read, rewritten', async () => {
    await using net = await buildNetns('netfilter', { nodes: ['a'] })
    using host = new Host(net, 'a')
    await using netfilter = host.netfilter({ variant })
    await netfilter.client('guards').apply(oneChain('fib-in', [DROP]))
    await host.load(variant, 4, '*filter', '-F', '-X', 'COMMIT')
    const { families } = oneChain('fib-in', [DROP])
    const more = { ...families[4], chains: [...families[4].chains, { table: 'filter' as const, name: 'fib-x', rules: [['-j', 'fib-in']] }] }
    expect(await netfilter.client('guards').apply({ ...NOTHING, families: { ...families, 4: more } })).toEqual({ ok: true, changed: true })
    expect((await host.rules(variant, 4)).filter((line) => line.startsWith('filter -A'))).toEqual([
      'filter -A INPUT -m comment --comment fibula -j fib-in',
      'filter -A fib-in -j DROP',
      'filter -A fib-x -j fib-in',
    ])
  })

  test('kubelet shows up in the other variant: ours move there and nothing of ours is left behind', async () => {
    await using net = await buildNetns('netfilter', { nodes: ['a'] })
    using host = new Host(net, 'a')
    const other = OTHER[variant]
    await host.load(variant, 4, '*filter', '-A INPUT -i docker0 -j ACCEPT', 'COMMIT')
    await using netfilter = host.netfilter()
    await netfilter.client('guards').apply(GUARDS)
    expect(netfilter.status().variant).toBe(variant)
    const [four, six] = [await host.rules(variant, 4, 'ours'), await host.rules(variant, 6, 'ours')]
    if (variant === 'nft') await host.load(other, 4, '*mangle', ':KUBE-IPTABLES-HINT - [0:0]', 'COMMIT')
    else await host.load(other, 6, '*mangle', ':KUBE-KUBELET-CANARY - [0:0]', 'COMMIT')
    await netfilter.resync()
    expect(netfilter.status()).toMatchObject({ variant: other, hasSynced: true })
    expect([...(await host.rules(other, 4, 'ours'))].sort()).toEqual([...four].sort())
    expect([...(await host.rules(other, 6, 'ours'))].sort()).toEqual([...six].sort())
    expect(await host.rules(variant, 4)).toEqual(['filter -A INPUT -i docker0 -j ACCEPT'])
    expect(await host.rules(variant, 6)).toEqual([])
  })

  test('a set of another type is replaced under the rules that use it', async () => {
    await using net = await buildNetns('netfilter', { nodes: ['a'] })
    using host = new Host(net, 'a')
    await using netfilter = host.netfilter({ variant })
    const ask = (set: IpSet) => {
      const families = {
        ...NOTHING.families,
        4: oneChain('fib-in', [['-m', 'set', '--match-set', 'fib4-s', 'src', '-j', 'DROP']]).families[4],
      }
      return netfilter.client('guards').apply({ sets: [set], families })
    }
    expect((await ask(ipSet('fib4-s', new Set(['10.0.0.1'])))).ok).toBe(true)
    await ask(ipSet('fib4-s', new Set(['10.0.0.0/8']), 'hash:net'))
    await until('the new set is in place and nothing else', async () => {
      await netfilter.resync()
      return (await host.setNames()).join() === 'fib4-s' && (await host.members('fib4-s')).join() === '10.0.0.0/8'
    })
    expect(await host.rules(variant, 4)).toEqual([
      'filter :fib-in -',
      'filter -A INPUT -m comment --comment fibula -j fib-in',
      'filter -A fib-in -m set --match-set fib4-s src -j DROP',
    ])
    expect(netfilter.problems()).toEqual([])
  })

  test('10,000 rules in 200 chains: one chain that changes is all that is written', async () => {
    await using net = await buildNetns('netfilter', { nodes: ['a'] })
    using host = new Host(net, 'a')
    await using netfilter = host.netfilter({ variant })
    const rulesOf = (chain: number): readonly Rule[] =>
      Array.from({ length: 50 }, (_, index) => [
        '-s',
        `10.${chain}.${index}.0/24`,
        '-p',
        'tcp',
        '-m',
        'tcp',
        '--dport',
        '80',
        '-j',
        'ACCEPT',
      ])
    const chains = Array.from({ length: 200 }, (_, index) => ({ table: 'filter' as const, name: `fib-p-${index}`, rules: rulesOf(index) }))
    const ask = (all: typeof chains) =>
      netfilter.client('guards').apply({ ...NOTHING, families: { ...NOTHING.families, 4: { chains: all, hooks: [] } } })
    expect(await ask(chains)).toEqual({ ok: true, changed: true })
    expect((await host.rules(variant, 4)).length).toBe(10_200)
    host.inputs.length = 0
    expect(await ask(chains.with(7, { table: 'filter', name: 'fib-p-7', rules: [DROP] }))).toEqual({ ok: true, changed: true })
    expect(host.inputs).toEqual(['*filter\n:fib-p-7 - [0:0]\n-A fib-p-7 -j DROP\nCOMMIT\n'])
    await netfilter.resync()
    expect(host.inputs.length).toBe(1)
    expect((await host.rules(variant, 4)).length).toBe(10_151)
  })
})

describe('ipset', () => {
  test('10,000 members: creation in one run, changes as deltas, growth beyond what was made for it', async () => {
    await using net = await buildNetns('netfilter', { nodes: ['a'] })
    using host = new Host(net, 'a')
    await using netfilter = host.netfilter()
    const ask = (members: ReadonlySet<string>) => netfilter.client('guards').apply({ ...NOTHING, sets: [ipSet('fib4-s', members)] })
    expect(await ask(addresses(10_000))).toEqual({ ok: true, changed: true })
    expect(host.inputs.length).toBe(1)
    expect(new Set(await host.members('fib4-s'))).toEqual(addresses(10_000))
    expect(await ask(addresses(10_000, 3))).toEqual({ ok: true, changed: true })
    expect(host.inputs[1]?.split('\n')).toEqual([
      ...[16, 17, 18].map((last) => `add fib4-s 10.0.39.${last}`), // first: who moves between two sets is always in one
      ...[0, 1, 2].map((last) => `del fib4-s 10.0.0.${last}`),
      '',
    ])
    expect(new Set(await host.members('fib4-s'))).toEqual(addresses(10_000, 3))
    await netfilter.resync()
    expect(host.inputs.length).toBe(2)
  })

  test('a small set left by somebody is swapped for a larger one under the rules that use it', async () => {
    await using net = await buildNetns('netfilter', { nodes: ['a'] })
    using host = new Host(net, 'a')
    await host.exec('ipset', ['create', 'fib4-s', 'hash:ip', 'maxelem', '4'])
    const rule: Rule = ['-m', 'set', '--match-set', 'fib4-s', 'src', '-j', 'DROP']
    await host.load('nft', 4, '*filter', ':fib-in - [0:0]', `-A fib-in ${rule.join(' ')}`, 'COMMIT')
    await using netfilter = host.netfilter()
    const { families } = oneChain('fib-in', [rule])
    expect(
      await netfilter
        .client('guards')
        .apply({ sets: [ipSet('fib4-s', addresses(100))], families: { ...NOTHING.families, 4: families[4] } }),
    ).toEqual({ ok: true, changed: true })
    expect((await host.members('fib4-s')).length).toBe(100)
    expect(await host.setNames()).toEqual(['fib4-s'])
  })

  test('members come back as they were asked for, however ipset spells them', async () => {
    await using net = await buildNetns('netfilter', { nodes: ['a'] })
    using host = new Host(net, 'a')
    await using netfilter = host.netfilter()
    const six = (name: string, type: IpSet['type'], members: readonly string[]): IpSet => ({
      name,
      type,
      family: 6,
      members: new Set(members),
    })
    const sets: Ruleset['sets'] = [
      ipSet('fib4-n', new Set(['10.0.0.0/8', '10.1.0.0/16 nomatch', '10.2.3.4/32', '0.0.0.0/0']), 'hash:net'),
      ipSet('fib4-p', new Set(['10.0.0.1,tcp:80', '10.0.0.1,udp:53', '10.0.0.1,sctp:36412']), 'hash:ip,port'),
      ipSet('fib4-np', new Set(['10.0.0.0/8,tcp:80', '0.0.0.0/0,udp:53']), 'hash:net,port'),
      six('fib6-a', 'hash:ip', ['::ffff:1.2.3.4', '2001:DB8::1', '64:ff9b::1.2.3.4']),
      six('fib6-n', 'hash:net', ['::/0', 'fd00::/64', '2001:db8::1/128']),
    ]
    expect(await netfilter.client('guards').apply({ ...NOTHING, sets })).toEqual({ ok: true, changed: true })
    expect(host.inputs.length).toBe(1)
    await netfilter.resync()
    await netfilter.resync()
    expect(host.inputs.length).toBe(1)
    expect(netfilter.status()).toMatchObject({ drifts: 0, sets: 5 })
    expect(netfilter.problems()).toEqual([])
    expect([...(await host.members('fib4-n'))].sort()).toEqual([
      '0.0.0.0/1',
      '10.0.0.0/8',
      '10.1.0.0/16 nomatch',
      '10.2.3.4',
      '128.0.0.0/1',
    ])
  })
})

test('the xtables lock of another program is waited for', async () => {
  await using net = await buildNetns('netfilter', { nodes: ['a'] })
  using host = new Host(net, 'a')
  const holder = net.spawn('a', 'flock', [host.lockFile, 'sh', '-c', 'echo held; read _'], { stdio: ['pipe', 'pipe', 'inherit'] })
  await new Promise((resolve) => holder.stdout?.once('data', resolve))
  await using netfilter = host.netfilter({ variant: 'legacy' })
  let isDone = false
  const outcome = netfilter
    .client('guards')
    .apply(oneChain('fib-in', [DROP]))
    .finally(() => {
      isDone = true
    })
  await until('the restore waits', async () => host.inputs.length > 0)
  expect(isDone).toBe(false)
  holder.stdin?.end('\n')
  expect(await outcome).toEqual({ ok: true, changed: true })
})
