// How a node's address is found among those of its host, and what others take for it.
import { describe, expect, test } from '@jest/globals'
import { detectAddress } from '../../../src/agent/derive/detection.ts'
import { type Detections, parseDetection } from '../../../src/agent/derive/index.ts'
import { formatIp, type HostNetwork, type IpFamily, ip, prefix } from '../../../src/net/index.ts'
import { node } from '../../store/objects.ts'
import { deriveFor, host, problemsOf, sessions } from './world.ts'

const HOST = host(
  {
    lo: ['127.0.0.1/8', '::1/128'],
    docker0: ['172.17.0.1/16'],
    eth0: ['10.0.0.11/24', 'fe80::11/64', 'fd00::11/64'],
    eth1: ['169.254.7.7/16', '192.168.1.11/24', 'fd01::11/64'],
    fib0: ['10.1.1.1/32'],
  },
  'eth0',
)

function found(text: string, family: IpFamily, network: HostNetwork = HOST): string | null {
  const parsed = parseDetection(text, family)
  if (!parsed.ok) throw new Error(parsed.error)
  if (parsed.value.kind === 'internalIp') throw new Error('not a matter of the host')
  const local = detectAddress(network, family, parsed.value)
  return local === null ? null : `${formatIp(local.address)}/${local.prefixLength}`
}

describe('ways to an address', () => {
  test.each([
    ['first-found', 4, '10.0.0.11/24'],
    ['first-found', 6, 'fd00::11/64'],
    ['interface=eth1', 4, '192.168.1.11/24'],
    ['interface=bond.*,^eth1$', 6, 'fd01::11/64'],
    ['interface=docker', 4, '172.17.0.1/16'], // what is asked for by name is taken, though it would never be guessed
    ['interface=wlan0', 4, null],
    ['skip-interface=eth0', 4, '192.168.1.11/24'],
    ['skip-interface=^eth', 4, null],
    ['cidr=192.168.0.0/16,10.0.0.0/8', 4, '192.168.1.11/24'],
    ['cidr=172.17.0.0/16', 4, null], // a bridge of containers
    ['cidr=fd01::/16', 6, 'fd01::11/64'],
    ['can-reach=10.0.0.200', 4, '10.0.0.11/24'],
  ] as const)('%s of IPv%i: %s', (text, family, address) => {
    expect(found(text, family)).toBe(address)
  })

  test('can-reach: the interface of the longest route, and there the address in whose subnet the next hop is', () => {
    const to = (text: string, length: number, interfaceIndex: number, gateway: string | null, metric = 0) => ({
      prefix: prefix(ip(text), length),
      interfaceIndex,
      gateway: gateway === null ? null : ip(gateway),
      metric,
    })
    const two = host({ eth0: ['10.0.0.11/24'], eth1: ['10.5.0.11/24', '192.168.1.11/24'] }, 'eth0')
    const network = { ...two, routes: [...two.routes, to('172.16.0.0', 12, 2, '192.168.1.1'), to('172.16.0.0', 12, 1, '10.0.0.1', 50)] }
    expect(found('can-reach=172.16.9.9', 4, network)).toBe('192.168.1.11/24')
    expect(found('can-reach=8.8.8.8', 4, network)).toBe('10.0.0.11/24')
  })

  test('a cable that is out for a second changes nothing', () => {
    const down = { ...HOST, interfaces: HOST.interfaces.map((each) => (each.name === 'eth0' ? { ...each, up: false } : each)) }
    expect(found('first-found', 4, down)).toBe('10.0.0.11/24')
  })

  test.each([
    ['eth0', 4, /is no way to find an address; write first-found, kubernetes-internal-ip, interface=/],
    ['interface=', 4, /is no way to find an address/],
    ['interface=eth(', 4, /"eth\(" is not a regular expression/],
    ['cidr=10.0.0.0', 4, /"10.0.0.0" is not an IPv4 range/],
    ['cidr=fd00::/8', 4, /is not an IPv4 range, such as 10.0.0.0\/8/],
    ['can-reach=fd00::1', 4, /can-reach needs an IPv4 address/],
    ['can-reach=example.org', 6, /names are not looked up/],
    ['first-found=eth0', 4, /first-found takes no value/],
  ] as const)('%s of IPv%i is refused in words', (text, family, message) => {
    expect(parseDetection(text, family)).toEqual({ ok: false, error: expect.stringMatching(message) })
  })
})

describe('whose address it is', () => {
  const eth1: Detections = { ipv4: { kind: 'interface', patterns: ['eth1'] }, ipv6: null }
  const own = (objects: readonly unknown[], detections?: Detections) => {
    const derived = deriveFor('n1', objects, HOST, detections === undefined ? {} : { detections })
    const { ipv4 } = derived.nodeAddresses
    return { text: ipv4 === null ? null : `${formatIp(ipv4.address)}/${ipv4.prefixLength} ${ipv4.interface} ${ipv4.origin}`, derived }
  }
  const annotated = node('n1', ['10.0.0.11'], { annotations: { 'fibula.network/ipv4-address': '10.7.0.1/28' } })

  test('annotation, then what the agent was told, then the status with the length of its interface, then the host', () => {
    expect(own([annotated], eth1).text).toBe('10.7.0.1/28 null annotation')
    expect(own([node('n1', ['10.0.0.11'])], eth1).text).toBe('192.168.1.11/24 eth1 host')
    expect(own([node('n1', ['192.168.1.11'])]).text).toBe('192.168.1.11/24 eth1 status')
    expect(own([node('n1')]).text).toBe('10.0.0.11/24 eth0 host')
    expect(own([node('n1')], { ipv4: { kind: 'internalIp' }, ipv6: null }).text).toBeNull()
  })

  test('what the agent was told is written for the others; what they know anyway is not', () => {
    const key = 'fibula.network/detected-ipv4-address'
    expect(own([node('n1', ['10.0.0.11'])], eth1).derived.annotations[key]).toBe('192.168.1.11/24')
    for (const objects of [[annotated], [node('n1', ['10.0.0.11'])], [node('n1')]]) expect(own(objects).derived.annotations[key]).toBeNull()
    expect(own([annotated], eth1).derived.annotations[key]).toBeNull()
    const other = node('n1', ['10.0.0.11'], { annotations: { [key]: '192.168.1.11/24' } })
    expect(sessions(deriveFor('n2', [other, node('n2', ['10.0.0.12'])]))).toEqual(['mesh/n1/ipv4 -> 192.168.1.11:179 AS64512'])
  })

  test('what leads to no address is a problem that names the option', () => {
    const { derived } = own([node('n1', ['10.0.0.11'])], { ipv4: { kind: 'interface', patterns: ['wlan'] }, ipv6: null })
    expect(derived.addresses.ipv4).toBeNull()
    expect(problemsOf(derived)).toContainEqual(expect.stringMatching(/^error Node\/n1: --ipv4-detection finds no address on this host/))
  })
})
