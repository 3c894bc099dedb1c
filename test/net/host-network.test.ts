import { describe, expect, test } from '@jest/globals'
import { cidr, type HostNetwork, ip, withStaticRoutes } from '../../src/net/index.ts'

const network: HostNetwork = {
  routes: [{ prefix: cidr('10.1.0.0/24'), interfaceIndex: 2, gateway: null, metric: 0 }],
  localAddresses: [
    { address: ip('10.0.0.1'), prefixLength: 32, interfaceIndex: 1 },
    { address: ip('10.1.0.1'), prefixLength: 16, interfaceIndex: 3 },
    { address: ip('10.1.0.1'), prefixLength: 24, interfaceIndex: 2 },
    { address: ip('fd01::1'), prefixLength: 64, interfaceIndex: 2 },
  ],
  interfaces: [],
}

describe('static routes resolve next hops', () => {
  test('by the nearest link that the gateway is on', () => {
    const { routes } = withStaticRoutes(network, [{ prefix: cidr('10.0.0.2/32'), gateway: ip('10.1.0.254') }], 179)
    expect(routes).toEqual([...network.routes, { prefix: cidr('10.0.0.2/32'), interfaceIndex: 2, gateway: ip('10.1.0.254'), metric: 179 }])
  })

  test('of IPv6 by IPv6 addresses only', () => {
    const { routes } = withStaticRoutes(network, [{ prefix: cidr('fd00::2/128'), gateway: ip('fd01::fe') }], 179)
    expect(routes.at(-1)).toEqual({ prefix: cidr('fd00::2/128'), interfaceIndex: 2, gateway: ip('fd01::fe'), metric: 179 })
  })

  test('not at all while no link leads to the gateway', () => {
    expect(withStaticRoutes(network, [{ prefix: cidr('10.0.0.2/32'), gateway: ip('192.0.2.1') }], 179)).toEqual(network)
  })
})
