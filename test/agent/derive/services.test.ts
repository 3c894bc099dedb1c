// What a node makes of ranges of services: who takes part, what is originated and how, and what is guarded.
import { describe, expect, test } from '@jest/globals'
import { deriveServiceFacts } from '../../../src/agent/derive/index.ts'
import { stepsTo } from '../../../src/agent/order.ts'
import { NO_SERVICES, type ServicePlan } from '../../../src/agent/services/index.ts'
import { parseCommunity } from '../../../src/bgp/index.ts'
import { cidr, formatPrefix } from '../../../src/net/index.ts'
import { renderGuards } from '../../../src/routes/index.ts'
import { configuration, node, pool } from '../../store/objects.ts'
import { deriveFor, host, prefixes, problemsOf, snapshotOf } from './world.ts'

const HOST = host({ eth0: ['10.0.0.11/24', 'fd00::11/64'] })
const LABEL = 'node.kubernetes.io/exclude-from-external-load-balancers'
const RANGES = {
  serviceClusterIPs: [{ cidr: '10.96.0.0/16' }, { cidr: 'fd00:96::/112' }],
  serviceLoadBalancerIPs: [{ cidr: '192.0.2.0/24' }],
  serviceExternalIPs: [{ cidr: '198.51.100.0/24' }],
}
const CONFIGURATION = configuration('default', RANGES)

function cordoned(name: string) {
  return { ...node(name), spec: { unschedulable: true } }
}

describe('who takes part', () => {
  const factsOf = (...objects: readonly unknown[]) => deriveServiceFacts(snapshotOf(objects), 'n1')

  test('nobody, without a range', () => {
    expect(factsOf(node('n1'), configuration('default', { networks: ['10.0.0.0/8'] }))).toBeNull()
  })
  test('the ranges and classes of the configuration, overridden for this node alone', () => {
    const other = configuration('rack-a', {
      nodeSelector: { matchLabels: { rack: 'a' } },
      serviceClusterIPs: [],
      serviceLoadBalancerClasses: ['mine'],
    })
    const facts = factsOf(node('n1', [], { labels: { rack: 'a' } }), CONFIGURATION, other)
    expect(prefixes(facts?.clusterIPs ?? [])).toEqual([])
    expect(prefixes(facts?.loadBalancerIPs ?? [])).toEqual(['192.0.2.0/24'])
    expect(facts?.classes).toEqual(['mine'])
    expect(factsOf(node('n1'), CONFIGURATION, other)?.classes).toEqual(['fibula.network/bgp'])
  })
  test('the label excludes by its presence, whatever its value', () => {
    expect(factsOf(node('n1', [], { labels: { [LABEL]: '' } }), CONFIGURATION)?.standing).toBe('excluded')
    expect(factsOf(node('n1', [], { labels: { [LABEL]: 'false' } }), CONFIGURATION)?.standing).toBe('excluded')
    expect(factsOf(cordoned('n1'), CONFIGURATION)?.standing).toBe('cordoned')
    expect(factsOf(node('n1'), CONFIGURATION)?.standing).toBe('in')
    expect(factsOf(CONFIGURATION)?.standing).toBe('in')
  })
  test('others are nodes that take part themselves, are up, and have the same ranges', () => {
    const down = { ...node('n5'), status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } }
    const up = { ...node('n6'), status: { conditions: [{ type: 'Ready', status: 'True' }] } }
    const others = factsOf(
      node('n1'),
      node('n2'),
      node('n3', [], { labels: { [LABEL]: '' } }),
      cordoned('n4'),
      down,
      up,
      node('n7', [], { labels: { rack: 'a' } }),
      CONFIGURATION,
      configuration('rack-a', { nodeSelector: { matchLabels: { rack: 'a' } }, serviceLoadBalancerIPs: [] }),
    )?.others
    expect([...(others ?? [])]).toEqual(['n2', 'n6'])
  })
})

describe('what is originated', () => {
  const plan = (...routes: readonly (readonly [string, boolean, string])[]): ServicePlan => ({
    routes: routes.map(([text, isYielding, source]) => ({ prefix: cidr(text), isYielding, sources: [source] })),
    problems: [],
  })
  const derived = (services: ServicePlan, spec: object = {}) =>
    deriveFor('n1', [node('n1', ['10.0.0.11']), configuration('default', { ...RANGES, ...spec })], HOST, { services })

  test('routes of services, with the communities of their prefix; those that yield bear GRACEFUL_SHUTDOWN (RFC 8326)', () => {
    const { speaker, sources } = derived(
      plan(['192.0.2.10/32', false, 'Service/default/web'], ['192.0.2.11/32', true, 'Service/default/api']),
      {
        prefixAdvertisements: [{ cidr: '192.0.2.0/24', communities: ['64512:7'] }],
      },
    )
    const shown = speaker.originated.map(({ prefix, communities }) => [formatPrefix(prefix), communities])
    const [seven, graceful] = [parseCommunity('64512:7'), parseCommunity('65535:0')]
    expect(shown).toEqual([
      ['192.0.2.10/32', [seven]],
      ['192.0.2.11/32', [seven, graceful]],
    ])
    expect(sources.get('192.0.2.10/32')).toEqual(['Service/default/web'])
  })
  test('what is ours anyway does not yield with a service', () => {
    const { speaker, sources } = derived(plan(['192.0.2.10/32', true, 'Service/default/web']), { networks: ['192.0.2.10/32'] })
    expect(speaker.originated.map(({ communities }) => communities)).toEqual([[]])
    expect(sources.get('192.0.2.10/32')).toEqual(['networks', 'Service/default/web'])
  })
  test('a Host never believes anybody about these ranges', () => {
    expect(prefixes(derived(NO_SERVICES).speaker.serviceRanges)).toEqual([
      '10.96.0.0/16',
      'fd00:96::/112',
      '198.51.100.0/24',
      '192.0.2.0/24',
    ])
  })
  test('problems of services are shown with all others', () => {
    const problem = { severity: 'warning', subject: 'Service/default/web', message: 'is odd' } as const
    expect(problemsOf(derived({ routes: [], problems: [problem] }))).toContain('warning Service/default/web: is odd')
  })
})

describe('the guard against loops', () => {
  const guards = (...objects: readonly unknown[]) => deriveFor('n1', [node('n1', ['10.0.0.11', 'fd00::11']), ...objects], HOST)
  const ranges = (derived: ReturnType<typeof deriveFor>) => prefixes(derived.local.guards?.serviceRanges ?? [])

  test('covers all ranges, on a node without pods too', () => {
    expect(ranges(guards(CONFIGURATION))).toEqual(['10.96.0.0/16', 'fd00:96::/112', '198.51.100.0/24', '192.0.2.0/24'])
    expect(guards().local.guards).toBeNull()
  })
  test('is two chains and a set of each family, at the end of FORWARD, and leaves out what goes to pods', () => {
    const input = guards(CONFIGURATION).local.guards
    if (input === null) throw new Error('no guards')
    const { sets, families } = renderGuards(input)
    expect(sets.filter(({ name }) => name.endsWith('services')).map(({ name, members }) => [name, [...members]])).toEqual([
      ['fib4-services', ['10.96.0.0/16', '192.0.2.0/24', '198.51.100.0/24']],
      ['fib6-services', ['fd00:96::/112']],
    ])
    for (const family of [4, 6] as const) {
      const [hook] = families[family].hooks.filter(({ jumpTo }) => jumpTo === 'fib-services')
      expect(hook).toEqual({ table: 'filter', chain: 'FORWARD', position: 'last', jumpTo: 'fib-services', match: ['!', '-o', 'fib+'] })
      expect(families[family].chains.find(({ name }) => name === 'fib-services')?.rules).toEqual([
        ['-m', 'set', '--match-set', `fib${family}-services`, 'dst', '-j', 'DROP'],
      ])
      // Before our own accepting, which would let a pod's packets past it.
      const order = families[family].hooks.filter(({ chain }) => chain === 'FORWARD').map(({ jumpTo }) => jumpTo)
      expect(order.indexOf('fib-services')).toBeLessThan(order.indexOf('fib-accept-from'))
    }
  })
  test.each([
    ['a pool', [pool('pods', '10.96.128.0/17')], /overlaps IPPool\/pods/],
    ['a pool around it', [pool('pods', '10.0.0.0/8')], /overlaps IPPool\/pods/],
    ['a node', [configuration('default', { serviceClusterIPs: [{ cidr: '10.0.0.0/8' }] })], /overlaps the node address 10\.0\.0\.11/],
    ['everything', [configuration('default', { serviceClusterIPs: [{ cidr: '0.0.0.0/0' }] })], /overlaps the node address/],
  ] as const)('leaves out a range with %s in it, and says so: their packets must pass', (_, objects, problem) => {
    const derived = guards(CONFIGURATION, ...objects)
    expect(ranges(derived).filter((range) => range.startsWith('10.') || range === '0.0.0.0/0')).toEqual([])
    expect(problemsOf(derived).join('\n')).toMatch(problem)
  })
  test('is there before anything is advertised, and goes after it is withdrawn', () => {
    const [without, with_] = [guards(), guards(CONFIGURATION)]
    const shown = (steps: ReturnType<typeof stepsTo>) =>
      steps.map((step) => (step.to === 'bgp' ? 'bgp' : (step.local.guards?.serviceRanges?.length ?? 0)))
    expect(shown(stepsTo(with_, without.local))).toEqual([4, 'bgp'])
    expect(shown(stepsTo(without, with_.local))).toEqual([4, 'bgp', 0])
    const fewer = guards(configuration('default', { ...RANGES, serviceExternalIPs: [] }))
    expect(shown(stepsTo(fewer, with_.local))).toEqual([4, 'bgp', 3])
  })
  test('addresses of nodes that only Kubernetes knows count as well', () => {
    const derived = guards(CONFIGURATION, node('n2', ['192.0.2.77']))
    expect(ranges(derived)).not.toContain('192.0.2.0/24')
  })
})
