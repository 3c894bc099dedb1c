import { describe, expect, test } from '@jest/globals'
import { birdConfig } from '../../bench/dut/bird.ts'
import type { DutSetup } from '../../bench/dut/dut.ts'
import { fibulaManifests } from '../../bench/dut/fibula.ts'
import { frrConfig } from '../../bench/dut/frr.ts'
import { gobgpConfig } from '../../bench/dut/gobgp.ts'
import { parseManifests, type Resource } from '../../src/store/index.ts'

const setup = (change: Partial<DutSetup> = {}): DutSetup => ({
  namespace: 'ns',
  directory: '/scratch',
  asn: 4_200_000_000,
  routerId: '198.18.0.1',
  peers: [
    { address: '198.18.1.2', localAddress: '198.18.1.1', asn: 4_200_000_001, families: ['IPv4Unicast'] },
    { address: '2001:2:0:2::2', localAddress: '2001:2:0:2::1', asn: 4_200_000_002, families: ['IPv6Unicast'] },
  ],
  reflect: false,
  installRoutes: false,
  ...change,
})

function resourcesOf(text: string): readonly Resource[] {
  return parseManifests(text, 'bench.yaml').manifests.map(({ result }) => {
    if (!result.ok) throw new Error(JSON.stringify(result.error))
    return result.value
  })
}

describe('manifests of Fibula under measurement', () => {
  test('are valid, and say who peers with whom and nothing else that matters', () => {
    const resources = resourcesOf(fibulaManifests(setup()))
    expect(resources.map(({ kind }) => kind)).toEqual(['BGPConfiguration', 'Node', 'BGPPeer', 'BGPPeer'])
    expect(resources[0]).toMatchObject({ spec: { asNumber: 4_200_000_000, mode: 'Router', installRoutes: false } })
    expect(resources[3]).toMatchObject({
      spec: { peerIP: '2001:2:0:2::2', asNumber: 4_200_000_002, addressFamilies: ['IPv6Unicast'], passive: true },
    })
  })

  test('a route reflector is one by its cluster id, a router in the kernel by installRoutes', () => {
    const clusterId = (change: Partial<DutSetup>): unknown =>
      resourcesOf(fibulaManifests(setup(change)))[1]?.metadata.annotations?.['fibula.network/route-reflector-cluster-id']
    expect([clusterId({ reflect: true }), clusterId({})]).toEqual(['198.18.0.1', undefined])
    expect(resourcesOf(fibulaManifests(setup({ installRoutes: true })))[0]).toMatchObject({ spec: { installRoutes: true } })
  })
})

describe.each([
  ['bird', birdConfig, 'rr client'],
  ['gobgp', gobgpConfig, 'route-reflector-client = true'],
  ['frr', frrConfig, 'route-reflector-client'],
] as const)('configuration of %s', (_name, configOf, reflects) => {
  test('names every peer with its AS, and reflects only when asked to', () => {
    for (const reflect of [false, true]) {
      const text = configOf(setup({ reflect }))
      for (const { address, asn } of setup().peers) expect(text).toMatch(new RegExp(`${address}[^]*${asn}`))
      expect(text.includes(reflects)).toBe(reflect)
    }
  })
})

test('BIRD writes kernel routes only when asked to', () => {
  expect([birdConfig(setup()).includes('protocol kernel'), birdConfig(setup({ installRoutes: true })).includes('protocol kernel')]).toEqual(
    [false, true],
  )
})
