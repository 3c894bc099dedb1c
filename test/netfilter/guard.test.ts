import { describe, expect, test } from '@jest/globals'
import { cidr, ip } from '../../src/net/index.ts'
import { compose } from '../../src/netfilter/compose.ts'
import { emptyPrinted, planFamily } from '../../src/netfilter/plan.ts'
import { emptyFamily } from '../../src/netfilter/save.ts'
import { type GuardInput, renderGuards } from '../../src/routes/guard/index.ts'

const INPUT: GuardInput = {
  families: [4, 6],
  pools: [
    { range: cidr('10.244.0.0/16'), natOutgoing: true },
    { range: cidr('10.9.0.1/32'), natOutgoing: false },
    { range: cidr('fd00:244::/48'), natOutgoing: false },
  ],
  nodeAddresses: [ip('192.0.2.2'), ip('192.0.2.1'), ip('2001:db8::1')],
  tunnels: { 4: { device: 'fibipip', nodeAddresses: [ip('192.0.2.2')] }, 6: { device: 'fibip6tnl', nodeAddresses: [ip('2001:db8::2')] } },
}

/** What iptables-restore would get on an empty host. */
function restoreInput(input: GuardInput, family: 4 | 6): readonly string[] {
  const { wanted, refused } = compose([{ client: 'guards', ruleset: renderGuards(input) }])
  expect([...refused]).toEqual([])
  return planFamily(wanted.families[family], emptyFamily(), emptyPrinted(), { maySweep: true, rewrite: false, newFirst: true }).lines
}

function setsOf(input: GuardInput): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(renderGuards(input).sets.map(({ name, type, members }) => [`${name} ${type}`, [...members]]))
}

describe('rules of pods and tunnels', () => {
  test('IPv4 with outgoing NAT and a tunnel', () => {
    expect(restoreInput(INPUT, 4)).toEqual([
      '*raw',
      ':fib-from-pod - [0:0]',
      '-A fib-from-pod -i fibi+ -j RETURN',
      '-A fib-from-pod -p 4 -j DROP',
      '-A fib-from-pod -m rpfilter --validmark --invert -j DROP',
      '-I PREROUTING -i fib+ -m comment --comment fibula -j fib-from-pod',
      'COMMIT',
      '*mangle',
      ':fib-mss - [0:0]',
      '-A fib-mss -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu',
      '-I FORWARD -o fibipip -m comment --comment fibula -j fib-mss',
      '-I FORWARD -i fibipip -m comment --comment fibula -j fib-mss',
      'COMMIT',
      '*nat',
      ':fib-nat-out - [0:0]',
      '-A fib-nat-out -m set --match-set fib4-nat-pools src -m set ! --match-set fib4-pools dst -m set ! --match-set fib4-nodes dst -j MASQUERADE --random-fully',
      '-A POSTROUTING -m comment --comment fibula -j fib-nat-out',
      'COMMIT',
      '*filter',
      ':fib-accept-from - [0:0]',
      ':fib-accept-to - [0:0]',
      ':fib-tunnel-in - [0:0]',
      '-A fib-accept-from -i fibi+ -j RETURN',
      '-A fib-accept-from -j ACCEPT',
      '-A fib-accept-to -o fibi+ -j RETURN',
      '-A fib-accept-to -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      '-A fib-accept-to -j ACCEPT',
      '-A fib-tunnel-in -i fib+ -j DROP',
      '-A fib-tunnel-in -m set --match-set fib4-tunnel-nodes src -j ACCEPT',
      '-A fib-tunnel-in -j DROP',
      '-A FORWARD -i fib+ -m comment --comment fibula -j fib-accept-from',
      '-A FORWARD -o fib+ -m comment --comment fibula -j fib-accept-to',
      '-I INPUT -p 4 -m comment --comment fibula -j fib-tunnel-in',
      'COMMIT',
    ])
  })

  test('IPv6 without outgoing NAT has no table nat, and guards both protocols that ip6tnl takes', () => {
    const lines = restoreInput(INPUT, 6)
    expect(lines.filter((line) => line.startsWith('*'))).toEqual(['*raw', '*mangle', '*filter'])
    expect(lines.filter((line) => line.includes('INPUT'))).toEqual([
      '-I INPUT -p 4 -m comment --comment fibula -j fib-tunnel-in',
      '-I INPUT -p 41 -m comment --comment fibula -j fib-tunnel-in',
    ])
  })

  test("without a tunnel nothing is said about encapsulated packets: they are somebody else's", () => {
    const lines = restoreInput({ ...INPUT, tunnels: { 4: null, 6: null } }, 4)
    expect(lines.filter((line) => /-p 4|INPUT|mangle|fibipip/.test(line))).toEqual([])
  })

  test('a family the host does not speak has no rule and no set', () => {
    expect(restoreInput({ ...INPUT, families: [4] }, 6)).toEqual([])
    expect(Object.keys(setsOf({ ...INPUT, families: [4] })).filter((name) => name.startsWith('fib6'))).toEqual([])
  })

  test('sets hold what they name, in the spelling of ipset', () => {
    expect(setsOf(INPUT)).toEqual({
      'fib4-pools hash:net': ['10.244.0.0/16', '10.9.0.1'],
      'fib4-nat-pools hash:net': ['10.244.0.0/16'],
      'fib4-nodes hash:ip': ['192.0.2.1', '192.0.2.2'],
      'fib4-tunnel-nodes hash:ip': ['192.0.2.2'],
      'fib6-tunnel-nodes hash:ip': ['2001:db8::2'],
    })
  })

  test('the same input in another order gives the same ruleset', () => {
    const turned = { ...INPUT, pools: INPUT.pools.toReversed(), nodeAddresses: INPUT.nodeAddresses.toReversed() }
    expect(setsOf(turned)).toEqual(setsOf(INPUT))
    expect(renderGuards(turned).families).toEqual(renderGuards(INPUT).families)
  })
})
