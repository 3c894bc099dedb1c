// The parts of pod wiring that are functions of values: names, addresses, routes, and which settings to write.
import { describe, expect, test } from '@jest/globals'
import { GATEWAY_IPV4, GATEWAY_IPV6, HOST_MAC, isHostInterface, linkLocalOf } from '../../../src/cni/wiring/gateway.ts'
import { familiesOf, isSameWay, podRoutes } from '../../../src/cni/wiring/pod-side.ts'
import { hostSysctls, podSysctls } from '../../../src/cni/wiring/settings.ts'
import { formatIp, ip, parseMac } from '../../../src/net/index.ts'
import type { LinkView } from '../../../src/sys/rtnetlink/index.ts'

test('a link-local address is the modified EUI-64 of its MAC (RFC 4291 appendix A)', () => {
  const mac = parseMac('34:56:78:9a:bc:de')
  expect(mac && formatIp(linkLocalOf(mac))).toBe('fe80::3656:78ff:fe9a:bcde')
  expect(formatIp(linkLocalOf(HOST_MAC))).toBe('fe80::ecee:eeff:feee:eeee')
  expect([GATEWAY_IPV4, GATEWAY_IPV6].map(formatIp)).toEqual(['169.254.1.1', 'fe80::ecee:eeff:feee:eeee'])
})

test.each([
  ['fib0123456789a', true],
  ['fib0123456789', false],
  ['fib0123456789ab', false],
  ['fib0123456789G', false],
  ['fibipip', false],
  ['fibip6tnl', false],
  ['xfib0123456789a', false],
  ['', false],
])('%j is a name of a host end: %p', (name, expected) => {
  expect(isHostInterface(name)).toBe(expected)
})

describe('routes of a pod', () => {
  const over = { interfaceIndex: 2, metric: 0, mtu: null }
  test('IPv4: the gateway is on the link, before the default route that needs it; IPv6: the default route alone', () => {
    const shown = podRoutes([ip('fd00::1'), ip('10.0.0.1'), ip('10.0.0.2')], over).map(
      ({ family, destination, gateway }) =>
        `${family} ${destination === null ? 'default' : formatIp(destination.address)} ${gateway === null ? 'link' : formatIp(gateway)}`,
    )
    expect(shown).toEqual(['4 169.254.1.1 link', '4 default 169.254.1.1', '6 default fe80::ecee:eeff:feee:eeee'])
  })

  test('a family without an address has none', () => {
    expect(familiesOf([ip('fd00::1')])).toEqual([6])
    expect(podRoutes([ip('fd00::1')], over)).toHaveLength(1)
    expect(podRoutes([ip('10.0.0.1')], over)).toHaveLength(2)
  })

  test('a route is the same way whatever its metric and MTU, but not over another link or gateway', () => {
    const [route] = podRoutes([ip('fd00::1')], over)
    if (route === undefined) throw new Error('no route')
    expect(isSameWay(route, { ...route, metric: 9, mtu: 1400 })).toBe(true)
    for (const other of [
      { interfaceIndex: 3 },
      { gateway: ip('fe80::1') },
      { gateway: null },
      { destination: { address: ip('::'), length: 1 } },
    ])
      expect(isSameWay(route, { ...route, ...other })).toBe(false)
  })
})

describe('settings to write', () => {
  const link = (ipv6: Partial<NonNullable<LinkView['ipv6']>> | null): LinkView => ({
    index: 7,
    name: 'X',
    isUp: false,
    isOperational: false,
    mtu: 1500,
    mac: HOST_MAC,
    kind: 'veth',
    peerIndex: 2,
    group: 0,
    ipv4: null,
    ipv6: ipv6 === null ? null : { forwarding: 1, acceptRa: 0, disableIpv6: 0, addrGenMode: 0, ...ipv6 },
  })
  const shown = (settings: ReturnType<typeof hostSysctls>): readonly string[] =>
    settings.map(
      ({ path, value, consequence, isVital }) =>
        `${path.replace('ipv6/conf/X/', '')}=${value}${isVital ? ' vital' : consequence === null ? '' : ' matters'}`,
    )

  test.each<[string, Parameters<typeof link>[0], boolean, readonly string[]]>([
    ['all as it should be', {}, true, []],
    ['what a new link has on a router', { acceptRa: 1 }, true, ['accept_ra=0']],
    ['what a new link has on a host', { acceptRa: 1, forwarding: 0 }, true, ['forwarding=1 matters', 'accept_ra=0 matters']],
    ['advertisements heeded by routers too', { acceptRa: 2 }, true, ['accept_ra=0 matters']],
    ['IPv6 off', { disableIpv6: 1 }, true, ['disable_ipv6=0 vital']],
    ['a pod without IPv6', { acceptRa: 1 }, false, ['disable_ipv6=1']],
    ['a pod without IPv6, and advertisements heeded', { acceptRa: 2 }, false, ['disable_ipv6=1 matters']],
    ['a pod without IPv6, and IPv6 off', { disableIpv6: 1, acceptRa: 2 }, false, []],
    ['a kernel without IPv6', null, false, []],
  ])('host end, %s', (_name, ipv6, hasIpv6, expected) => {
    expect(shown(hostSysctls(link(ipv6), hasIpv6))).toEqual(expected)
  })

  test.each<[string, Parameters<typeof link>[0], boolean, readonly string[]]>([
    ['what a new link has', { acceptRa: 1, forwarding: 0 }, true, ['accept_ra=0']],
    ['IPv6 off, and needed', { disableIpv6: 1 }, true, ['disable_ipv6=0 vital']],
    ['IPv6 on, and not needed', { acceptRa: 1 }, false, ['disable_ipv6=1']],
    ['IPv6 off, and not needed', { disableIpv6: 1, acceptRa: 1 }, false, []],
    ['a kernel without IPv6', null, false, []],
  ])('pod end, %s', (_name, ipv6, hasIpv6, expected) => {
    expect(shown(podSysctls(link(ipv6), hasIpv6))).toEqual(expected)
  })
})
