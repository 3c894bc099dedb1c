import { describe, expect, test } from '@jest/globals'
import { EMPTY_RESULT, formatResult, parseResult, withLink } from '../../src/cni/result.ts'
import { SUPPORTED_VERSIONS } from '../../src/cni/version.ts'
import { ip } from '../../src/net/index.ts'
import { HOST_MAC, MAC } from './world.ts'

const LINK = { hostInterface: 'fib0123456789a', hostMac: HOST_MAC, ifName: 'eth0', netns: '/run/netns/a', mac: MAC, mtu: 1480 }
const DUAL = withLink(EMPTY_RESULT, { ...LINK, addresses: [ip('10.0.0.5'), ip('fd00::5')] }, {})

const RICH = {
  cniVersion: '1.1.0',
  interfaces: [{ name: 'a', mac: '00:00:00:00:00:01', mtu: 1500, sandbox: '/ns', socketPath: '/s', pciID: '0000:00:00.0' }],
  ips: [{ address: '10.0.0.1/24', gateway: '10.0.0.254', interface: 0 }, { address: 'fd00::1/64' }],
  routes: [{ dst: '0.0.0.0/0', gw: '10.0.0.254', mtu: 1400, advmss: 1360, priority: 7, table: 100, scope: 0 }],
  dns: { nameservers: ['10.0.0.10'], domain: 'd', search: ['s'], options: ['o'] },
}

describe.each(SUPPORTED_VERSIONS)('version %s', (version) => {
  const printed = JSON.parse(formatResult(DUAL, version))
  const isOld = version.startsWith('0.')

  test('the answer names the version of the request [cni 21]', () => {
    expect(printed.cniVersion).toBe(version)
  })

  test('addresses carry their IP version only before 1.0.0 [cni 25]', () => {
    expect(printed.ips.map((each: { version?: string }) => each.version)).toEqual(isOld ? ['4', '6'] : [undefined, undefined])
  })

  test('MTUs and route attributes appear only from 1.1.0 on [cni 22, 24]', () => {
    const again = JSON.parse(formatResult(parseResult(RICH, '1.1.0'), version))
    const isNew = version === '1.1.0'
    expect('mtu' in printed.interfaces[1]).toBe(isNew)
    for (const name of ['mtu', 'socketPath', 'pciID']) expect(name in again.interfaces[0]).toBe(isNew)
    for (const name of ['mtu', 'advmss', 'priority', 'table', 'scope']) expect(name in again.routes[0]).toBe(isNew)
  })

  test('what is printed is read again as it was, in every version to every version [cni 28]', () => {
    for (const other of SUPPORTED_VERSIONS) {
      const between = JSON.parse(formatResult(DUAL, other))
      expect(JSON.parse(formatResult(parseResult(between, version), version)).ips).toEqual(printed.ips)
      expect(JSON.parse(formatResult(parseResult({ ...between, cniVersion: undefined }, version), version)).ips).toEqual(printed.ips)
    }
  })
})

test('nothing of a 1.1.0 result is lost on the way through [cni 27]', () => {
  expect(JSON.parse(formatResult(parseResult(RICH, '1.1.0'), '1.1.0'))).toEqual(RICH)
})

test('a pod of one family has the gateway and route of that family [cni 23]', () => {
  const only4 = JSON.parse(formatResult(withLink(EMPTY_RESULT, { ...LINK, addresses: [ip('10.0.0.5')] }, {}), '1.0.0'))
  expect(only4.routes).toEqual([{ dst: '0.0.0.0/0', gw: '169.254.1.1' }])
  const only6 = JSON.parse(formatResult(withLink(EMPTY_RESULT, { ...LINK, addresses: [ip('fd00::5')] }, {}), '1.0.0'))
  expect(only6.routes).toEqual([{ dst: '::/0', gw: 'fe80::ecee:eeff:feee:eeee' }])
})

test('the DNS settings of the configuration stand above those of earlier plugins [cni 24]', () => {
  const before = { ...EMPTY_RESULT, dns: { nameservers: ['192.0.2.1'] } }
  const link = { ...LINK, addresses: [ip('10.0.0.5')] }
  expect(withLink(before, link, {}).dns).toEqual({ nameservers: ['192.0.2.1'] })
  expect(withLink(before, link, { domain: 'd' }).dns).toEqual({ domain: 'd' })
})
