import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { parseLinkMessage } from 'netlink/dist/rt/structs.js'
import { cidr, formatIp, formatPrefix, ip, ipFromBytes, ipToBytes, prefixFamily } from '../../src/net/index.ts'
import type { HostLink } from '../../src/routes/backend.ts'
import { readAddress, readLink } from '../../src/routes/netlink/host-message.ts'
import {
  RouteReader,
  removalTemplate,
  routeChangeOf,
  routeTemplate,
  TEMPLATE_ADDRESS,
  TEMPLATE_PREFIX_LENGTH,
} from '../../src/routes/netlink/route-message.ts'
import { BLACKHOLE, type NextHop, type RouteBody, unicast } from '../../src/routes/route.ts'
import { eachAttribute, NLMSG_HEADER_LENGTH } from '../../src/sys/netlink-message.ts'

type Fixture = {
  readonly routes: readonly {
    readonly name: string
    readonly command: string
    readonly request: string
    readonly kernel: readonly string[]
  }[]
  readonly links: readonly string[]
  readonly addresses: readonly string[]
}
const FIXTURE = JSON.parse(readFileSync(new URL('../fixtures/netlink/routes.json', import.meta.url), 'utf8')) as Fixture

const hop = (gateway: string | null, interfaceIndex: number, onlink = false): NextHop => ({
  gateway: gateway === null ? null : ip(gateway),
  interfaceIndex,
  onlink,
})
const KEY = { metric: 179, tos: 0 }

/** What each fixture means; `other` bodies are never made by us. */
const MEANING: Readonly<Record<string, readonly [string, RouteBody]>> = {
  unicast: ['203.0.113.0/24', unicast([hop('10.0.0.2', 10)], ip('10.0.0.1'))],
  onlink: ['203.0.113.0/24', unicast([hop('192.0.2.9', 11, true)], null)],
  'on the link': ['203.0.113.0/24', unicast([hop(null, 11)], null)],
  blackhole: ['10.244.1.0/26', BLACKHOLE],
  default: ['0.0.0.0/0', unicast([hop('10.0.0.2', 10)], null)],
  'IPv6 next hop': ['203.0.113.0/24', unicast([hop('fd00::2', 10)], null)],
  multipath: ['203.0.113.0/24', unicast([hop('10.0.0.2', 10), hop('10.0.1.2', 11)], ip('10.0.0.1'))],
  'multipath of both families': ['203.0.113.0/24', unicast([hop('10.0.0.2', 10), hop('fd01::2', 11)], null)],
  'multipath onlink': ['203.0.113.0/24', unicast([hop('192.0.2.8', 10, true), hop('192.0.2.9', 11, true)], null)],
  'IPv6 unicast': ['2001:db8:1::/48', unicast([hop('fd00::2', 10)], ip('fd00::1'))],
  'IPv6 link-local next hop': ['2001:db8:1::/48', unicast([hop('fe80::77', 10)], null)],
  'IPv6 default': ['::/0', unicast([hop('fd00::2', 10)], null)],
  'IPv6 blackhole': ['2001:db8:1::/48', BLACKHOLE],
  'IPv6 multipath': ['2001:db8:1::/48', unicast([hop('fd00::2', 10), hop('fd01::2', 11)], ip('fd00::1'))],
  weights: ['203.0.113.0/24', { kind: 'other', text: 'multipath with weight 3' }],
  unreachable: ['203.0.113.0/24', { kind: 'other', text: 'unreachable' }],
}

function viewOf(hex: string): DataView {
  const bytes = Uint8Array.from(Buffer.from(hex, 'hex'))
  return new DataView(bytes.buffer)
}

/** Header of the route and its attributes by type; those inside RTA_MULTIPATH and bytes of padding are part of their value. */
function attributesOf(message: Uint8Array): Readonly<Record<string, string>> {
  const view = new DataView(message.buffer, message.byteOffset, message.length)
  const found: Record<string, string> = {
    rtmsg: Buffer.from(message.subarray(NLMSG_HEADER_LENGTH, NLMSG_HEADER_LENGTH + 12)).toString('hex'),
  }
  eachAttribute(view, NLMSG_HEADER_LENGTH + 12, message.length, (type, from, to) => {
    found[type] = Buffer.from(message.subarray(from, to)).toString('hex')
  })
  return found
}

function ours(prefix: string, body: RouteBody): Uint8Array {
  const { address, length } = cidr(prefix)
  const message = routeTemplate(prefixFamily(cidr(prefix)), body, KEY)
  message[TEMPLATE_PREFIX_LENGTH] = length
  message.set(ipToBytes(address), TEMPLATE_ADDRESS)
  return message
}

test('there are fixtures', () => {
  expect(FIXTURE.routes.length).toBeGreaterThan(10)
  expect(FIXTURE.routes.filter(({ name }) => MEANING[name] === undefined).map(({ name }) => name)).toEqual(['another table'])
})

describe.each(FIXTURE.routes.filter(({ name }) => MEANING[name] !== undefined))('$command', ({ name, request, kernel }) => {
  const [prefix, body] = MEANING[name] ?? ['', BLACKHOLE]

  test('what the kernel says of it is read', () => {
    const reader = new RouteReader()
    for (const hex of kernel) {
      const message = viewOf(hex)
      expect(reader.read(message, 0, message.byteLength)).toBe(true)
      const { family, address, length, protocol, metric, tos } = reader.view
      expect(formatPrefix({ address: ipFromBytes(family, address), length })).toBe(prefix)
      expect({ body: reader.view.body, protocol, metric, tos }).toEqual({ body, protocol: 179, metric: 179, tos: 0 })
    }
  })

  test('what iproute2 asks for is what we ask for, attribute by attribute', () => {
    // iproute2 pads an RTA_VIA inside multipath with whatever was in its buffer.
    const theirs = Uint8Array.from(Buffer.from(request.replace(/(fd01(?:00){13}02)0100$/, '$10000'), 'hex'))
    const reader = new RouteReader()
    const message = viewOf(request)
    expect(reader.read(message, NLMSG_HEADER_LENGTH, message.byteLength)).toBe(true)
    expect(reader.view.body).toEqual(body)
    if (body.kind === 'other') return
    const zero = '00'.repeat(prefixFamily(cidr(prefix)) === 4 ? 4 : 16)
    expect(attributesOf(ours(prefix, body))).toEqual({ 1: zero, ...attributesOf(theirs) }) // iproute2 leaves out a destination of zero length
  })

  test('every cut of it is refused or read, never more', () => {
    const reader = new RouteReader()
    for (const hex of kernel) {
      const message = viewOf(hex)
      for (let to = 0; to < message.byteLength; to++) expect(() => reader.read(message, 0, to)).not.toThrow()
    }
  })
})

test('equal octets give the same body object, so that bodies compare by identity', () => {
  const reader = new RouteReader()
  const message = viewOf(FIXTURE.routes[0]?.kernel[0] ?? '')
  reader.read(message, 0, message.byteLength)
  const first = reader.view.body
  reader.read(message, 0, message.byteLength)
  expect(reader.view.body).toBe(first)
})

test('routes of other tables, clones, and other families are not read', () => {
  const other = viewOf(FIXTURE.routes.find(({ name }) => name === 'another table')?.request ?? '')
  expect(new RouteReader().read(other, NLMSG_HEADER_LENGTH, other.byteLength)).toBe(false)
  const clone = viewOf(FIXTURE.routes[0]?.kernel[0] ?? '')
  clone.setUint32(8, 0x200, true) // RTM_F_CLONED
  expect(new RouteReader().read(clone, 0, clone.byteLength)).toBe(false)
  clone.setUint32(8, 0, true)
  clone.setUint8(0, 28) // AF_MPLS
  expect(new RouteReader().read(clone, 0, clone.byteLength)).toBe(false)
})

test('a nexthop object, an encapsulation and an unknown type are named apart', () => {
  const reader = new RouteReader()
  const textOf = (change: (message: DataView) => void): unknown => {
    const message = viewOf(FIXTURE.routes[0]?.kernel[0] ?? '')
    change(message)
    return reader.read(message, 0, message.byteLength) ? reader.view.body : null
  }
  const retype = (to: number) => (message: DataView) => message.setUint16(message.byteLength - 6, to, true) // the last attribute, RTA_OIF 10
  expect(textOf(retype(30))).toEqual({ kind: 'other', text: 'nexthop object 10' })
  expect(textOf(retype(21))).toEqual({ kind: 'other', text: 'encapsulation type 10' })
  expect(textOf((message) => message.setUint8(7, 11))).toEqual({ kind: 'other', text: 'type 11' })
})

test('random octets are refused or read, never a throw', () => {
  const reader = new RouteReader()
  let seed = 1
  for (let round = 0; round < 20_000; round++) {
    const message = viewOf(FIXTURE.routes[round % FIXTURE.routes.length]?.kernel[0] ?? FIXTURE.routes[0]?.kernel[0] ?? '')
    for (let change = 0; change < 4; change++) {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      message.setUint8((seed >>> 8) % message.byteLength, seed >>> 24)
    }
    reader.read(message, 0, message.byteLength)
  }
})

test('a removal names our protocol, our metric and nothing else, so that it matches only ours', () => {
  expect(attributesOf(removalTemplate(4, KEY))).toEqual({ rtmsg: '02000000feb3ff0000000000', 1: '00000000', 6: 'b3000000' })
  expect(attributesOf(removalTemplate(6, { metric: 20, tos: 8 }))).toEqual({
    rtmsg: '0a000008feb3ff0000000000',
    1: '00'.repeat(16),
    6: '14000000',
  })
})

test('256 next hops fit into one message', () => {
  const hops = Array.from({ length: 256 }, (_, n) => hop(`fd00::${n.toString(16)}`, 10))
  const message = ours('203.0.113.0/24', unicast(hops, ip('10.0.0.1')))
  const reader = new RouteReader()
  expect(reader.read(new DataView(message.buffer), NLMSG_HEADER_LENGTH, message.length)).toBe(true)
  expect(reader.view.body).toEqual(unicast(hops, ip('10.0.0.1')))
})

test('notifications say what happened by type and flags', () => {
  expect(routeChangeOf(25, 0)).toBe('removed')
  expect(routeChangeOf(24, 0x400)).toBe('added')
  expect(routeChangeOf(24, 0x100)).toBe('replaced')
  expect(routeChangeOf(24, 0xc00)).toBe('appended')
})

describe('links and addresses', () => {
  const links = FIXTURE.links.map((hex) => {
    const view = viewOf(hex)
    return readLink(view, 0, view.byteLength)
  })

  test('links are read with name, index and state', () => {
    const isNamed = (link: HostLink | null): link is HostLink => link !== null
    expect(links.filter(isNamed).map(({ name, index, isUp, isRunning }) => `${index} ${name} ${isUp} ${isRunning}`)).toEqual([
      '1 lo false false',
      '10 eth0 true true',
      '11 eth1 true true',
      '20 eth0-far true true',
      '21 eth1-far true true',
    ])
  })

  test('a link that is up without a carrier does not run', () => {
    const view = viewOf(FIXTURE.links[1] ?? '')
    view.setUint32(8, view.getUint32(8, true) & ~0x40, true) // IFF_RUNNING
    expect(readLink(view, 0, view.byteLength)).toMatchObject({ name: 'eth0', isUp: true, isRunning: false })
  })

  test('links are read as the package reads them', () => {
    const fromPackage = FIXTURE.links.map((hex) => {
      const { data, attrs } = parseLinkMessage(Buffer.from(hex, 'hex'))
      const isUp = data.flags?.up === true
      return { index: data.index, name: attrs.ifname, isUp, isRunning: isUp && data.flags?.running === true, mtu: attrs.mtu }
    })
    expect(links.length).toBeGreaterThan(4)
    expect(links).toEqual(fromPackage)
  })

  test('addresses are read with length, interface and usability', () => {
    const addresses = FIXTURE.addresses.map((hex) => {
      const view = viewOf(hex)
      return readAddress(view, 0, view.byteLength)
    })
    expect(addresses).toContainEqual({ address: ip('10.0.0.1'), prefixLength: 24, interfaceIndex: 10, isUsable: true })
    expect(addresses).toContainEqual({ address: ip('fd01::1'), prefixLength: 64, interfaceIndex: 11, isUsable: true })
    const tentative = addresses
      .filter((own) => own !== null && !own.isUsable)
      .map((own) => (own === null ? '' : formatIp(own.address).slice(0, 4)))
    expect(new Set(tentative)).toEqual(new Set(['fe80'])) // captured at once after the links came up
  })

  test('a bridge port tells of itself in link messages under its own family: not a link', () => {
    const view = viewOf(FIXTURE.links[1] ?? '')
    view.setUint8(0, 7) // AF_BRIDGE
    expect(readLink(view, 0, view.byteLength)).toBeNull()
  })

  test('every cut of them is refused or read, never a throw', () => {
    for (const hex of [...FIXTURE.links, ...FIXTURE.addresses]) {
      const view = viewOf(hex)
      for (let to = 0; to < view.byteLength; to++) {
        expect(() => readLink(view, 0, to)).not.toThrow()
        expect(() => readAddress(view, 0, to)).not.toThrow()
      }
    }
  })
})
