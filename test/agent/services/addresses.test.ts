// Which addresses of a service are advertised.
import { describe, expect, test } from '@jest/globals'
import { offerOf } from '../../../src/agent/services/addresses.ts'
import { FACTS, service } from './world.ts'

type Options = Parameters<typeof service>[1]

function offered(options: Options): readonly string[] {
  return offerOf(service('web', options), FACTS).addresses.map(({ key, policy }) => `${key} ${policy}`)
}

const BOTH = ['10.96.0.7', 'fd00:96::7']

describe('cluster IPs', () => {
  test.each<readonly [string, Options, readonly string[]]>([
    ['policy Cluster: the range leads to them', { spec: { clusterIPs: BOTH } }, []],
    [
      'internalTrafficPolicy Local, both families',
      { spec: { clusterIPs: BOTH, internalTrafficPolicy: 'Local' } },
      ['10.96.0.7/32 Local', 'fd00:96::7/128 Local'],
    ],
    [
      'externalTrafficPolicy Local',
      { spec: { type: 'NodePort', clusterIPs: BOTH, externalTrafficPolicy: 'Local' } },
      ['10.96.0.7/32 Local', 'fd00:96::7/128 Local'],
    ],
    ['only clusterIP is written', { spec: { clusterIP: '10.96.0.7', internalTrafficPolicy: 'Local' } }, ['10.96.0.7/32 Local']],
    ['outside the range', { spec: { clusterIPs: ['10.97.0.7'], internalTrafficPolicy: 'Local' } }, []],
    ['headless', { spec: { clusterIP: 'None', clusterIPs: ['None'], internalTrafficPolicy: 'Local' } }, []],
    ['ExternalName', { spec: { type: 'ExternalName', clusterIPs: BOTH, internalTrafficPolicy: 'Local' } }, []],
  ])('%s', (_, options, expected) => expect(offered(options)).toEqual(expected))
})

describe('external IPs', () => {
  test.each<readonly [string, Options, readonly string[]]>([
    [
      'in a range, both families',
      { spec: { externalIPs: ['198.51.100.9', '2001:db8:e::9'] } },
      ['198.51.100.9/32 Cluster', '2001:db8:e::9/128 Cluster'],
    ],
    ['outside all ranges, or no address at all', { spec: { externalIPs: ['203.0.113.9', '192.0.2.9', 'nonsense'] } }, []],
    ['policy Local', { spec: { externalIPs: ['198.51.100.9'], externalTrafficPolicy: 'Local' } }, ['198.51.100.9/32 Local']],
    [
      'internalTrafficPolicy does not matter',
      { spec: { externalIPs: ['198.51.100.9'], internalTrafficPolicy: 'Local' } },
      ['198.51.100.9/32 Cluster'],
    ],
    [
      'a headless service keeps its external IPs',
      { spec: { clusterIP: 'None', externalIPs: ['198.51.100.9'] } },
      ['198.51.100.9/32 Cluster'],
    ],
  ])('%s', (_, options, expected) => expect(offered(options)).toEqual(expected))
})

describe('load balancer addresses', () => {
  const LB = { type: 'LoadBalancer' } as const
  test.each<readonly [string, Options, readonly string[]]>([
    [
      'in a range, both families',
      { spec: LB, balancer: ['192.0.2.9', '2001:db8:1b::9'] },
      ['192.0.2.9/32 Cluster', '2001:db8:1b::9/128 Cluster'],
    ],
    ['policy Local', { spec: { ...LB, externalTrafficPolicy: 'Local' }, balancer: ['192.0.2.9'] }, ['192.0.2.9/32 Local']],
    ['outside all ranges', { spec: LB, balancer: ['198.51.100.9'] }, []],
    ['mode VIP, written out', { spec: LB, balancer: [{ ip: '192.0.2.9', ipMode: 'VIP' }] }, ['192.0.2.9/32 Cluster']],
    ['mode Proxy: nodes do not answer to it (KEP-1860)', { spec: LB, balancer: [{ ip: '192.0.2.9', ipMode: 'Proxy' }] }, []],
    ['left over from when it was a LoadBalancer', { spec: { type: 'ClusterIP' }, balancer: ['192.0.2.9'] }, []],
    ['our class', { spec: { ...LB, loadBalancerClass: 'fibula.network/bgp' }, balancer: ['192.0.2.9'] }, ['192.0.2.9/32 Cluster']],
    ['the class of somebody else', { spec: { ...LB, loadBalancerClass: 'example.com/cloud' }, balancer: ['192.0.2.9'] }, []],
    ['asked for, not given', { spec: { ...LB, loadBalancerIP: '192.0.2.9' } }, []],
  ])('%s', (_, options, expected) => expect(offered(options)).toEqual(expected))

  test('an address that is also an external IP in both ranges goes once', () => {
    const facts = { ...FACTS, externalIPs: FACTS.loadBalancerIPs }
    const both = service('web', { spec: { ...LB, externalIPs: ['192.0.2.9'] }, balancer: ['192.0.2.9'] })
    expect(offerOf(both, facts).addresses.map(({ key }) => key)).toEqual(['192.0.2.9/32'])
  })
})

describe('the annotation fibula.network/advertise', () => {
  const spec = { externalIPs: ['198.51.100.9'] }
  test('false keeps all addresses in', () => {
    expect(offered({ spec, annotations: { 'fibula.network/advertise': 'false' } })).toEqual([])
  })
  test('true is as nothing', () => {
    expect(offered({ spec, annotations: { 'fibula.network/advertise': 'true' } })).toEqual(['198.51.100.9/32 Cluster'])
  })
  test('what nobody understands keeps them in and is a fault that says what to write', () => {
    const { addresses, faults } = offerOf(service('web', { spec, annotations: { 'fibula.network/advertise': 'no' } }), FACTS)
    expect(addresses).toEqual([])
    expect(faults.join()).toMatch(/"no".*write "false"/)
  })
})

test('our class and an address outside all ranges is a fault; without a class it is not', () => {
  const spec = { type: 'LoadBalancer' } as const
  const faultsWith = (over: object) => offerOf(service('web', { spec: { ...spec, ...over }, balancer: ['203.0.113.1'] }), FACTS).faults
  expect(faultsWith({})).toEqual([])
  expect(faultsWith({ loadBalancerClass: 'example.com/cloud' })).toEqual([])
  expect(faultsWith({ loadBalancerClass: 'fibula.network/bgp' }).join()).toMatch(/203\.0\.113\.1 is in no range of serviceLoadBalancerIPs/)
})
