// Requests against what iproute2 sends for the same, attribute by attribute, and answers as a kernel gave them.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { formatIp, ip, ipv4, type Mac, parseMac } from '../../src/net/index.ts'
import { eachAttribute, NLM_F_ACK } from '../../src/sys/netlink-message.ts'
import {
  ADDR_GEN_MODE,
  addAddress,
  addNeighbour,
  addRoute,
  addRouteToTable,
  addSourceRule,
  changeLink,
  changeTunnel,
  createTunnel,
  createVeth,
  deleteLink,
  deleteLinkGroup,
  type InterfaceRoute,
  isLocalRoute,
  type NetlinkRequest,
  readAddress,
  readIsOperational,
  readLink,
  readRoute,
  replaceRoute,
  setProxyArpDelay,
  type Tunnel,
} from '../../src/sys/rtnetlink/index.ts'

type Fixture = {
  readonly messages: Readonly<Record<string, { readonly command: string; readonly hex: string }>>
  readonly kernel: Readonly<Record<'link' | 'addresses' | 'routes' | 'localRoute' | 'connection', readonly string[]>>
}
const FIXTURE: Fixture = JSON.parse(readFileSync(new URL('../fixtures/netlink/pod-links.json', import.meta.url), 'utf8'))

type Tree = { readonly [attribute: string]: Tree | string }
type Message = { readonly type: number; readonly flags: number; readonly fixed: string; readonly attributes: Tree }

const NEWLINK = 16
const SETLINK = 19
const FIXED: Readonly<Record<number, number>> = { 16: 16, 17: 16, 18: 16, 19: 16, 20: 8, 21: 8, 24: 12, 26: 12, 28: 12, 32: 12, 67: 4 }
/** Attributes that hold attributes, by their way from the top, with the length of what stands before those. */
const NESTS: Readonly<Record<string, number>> = {
  'link/18': 0,
  'link/18/2': 0,
  'link/18/2/1': 16,
  'link/26': 0,
  'link/26/10': 0,
  'route/8': 0,
  'table/6': 0,
}
const TEXTS = new Set(['link/3', 'link/18/1', 'link/18/2/1/3', 'table/1'])
const KIND: Readonly<Record<number, string>> = {
  16: 'link',
  17: 'link',
  19: 'link',
  20: 'address',
  21: 'address',
  24: 'route',
  28: 'neighbour',
  32: 'rule',
  67: 'table',
}

function viewOf(hex: string): DataView {
  const bytes = Uint8Array.from(Buffer.from(hex, 'hex'))
  return new DataView(bytes.buffer)
}

function parse(bytes: Uint8Array): Message {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  expect(view.getUint32(0, true)).toBe(bytes.length)
  const type = view.getUint16(4, true)
  const from = 16 + (FIXED[type] ?? 0)
  return {
    type,
    flags: view.getUint16(6, true) & ~NLM_F_ACK,
    fixed: hexOf(view, 16, from),
    attributes: tree(view, from, bytes.length, KIND[type] ?? ''),
  }
}

function tree(view: DataView, from: number, to: number, way: string): Tree {
  const found: Record<string, Tree | string> = {}
  eachAttribute(view, from, to, (type, start, end) => {
    const here = `${way}/${type}`
    const skipped = NESTS[here]
    if (skipped === undefined) found[type] = TEXTS.has(here) ? hexOf(view, start, end).replace(/(00)+$/, '') : hexOf(view, start, end)
    else found[type] = { ...(skipped > 0 ? { fixed: hexOf(view, start, start + skipped) } : {}), ...tree(view, start + skipped, end, here) }
  })
  return found
}

function hexOf(view: DataView, from: number, to: number): string {
  return Buffer.from(view.buffer, view.byteOffset + from, to - from).toString('hex')
}

function iproute2(name: string): Message {
  const message = FIXTURE.messages[name]
  if (message === undefined) throw new RangeError(`no message ${name} in the fixture`)
  return parse(Uint8Array.from(Buffer.from(message.hex, 'hex')))
}

function mac(text: string): Mac {
  const parsed = parseMac(text)
  if (parsed === null) throw new RangeError(text)
  return parsed
}

const HOST_MAC = mac('ee:ee:ee:ee:ee:ee')
const route = (over: Partial<InterfaceRoute>): InterfaceRoute => ({
  family: 4,
  destination: null,
  gateway: ip('169.254.1.1'),
  interfaceIndex: 7,
  mtu: null,
  metric: 0,
  ...over,
})

const ipip: Tunnel = {
  kind: 'ipip',
  name: 'fibipip',
  local: ipv4(0xc000_0201),
  mtu: 1480,
  ttl: 64,
  isPathMtuDiscovered: true,
}

describe('a request is what iproute2 sends for', () => {
  test.each<[string, NetlinkRequest]>([
    [
      'veth',
      createVeth({
        name: 'fibbb',
        mac: HOST_MAC,
        mtu: 1500,
        peer: {
          name: 'eth0',
          mac: mac('02:00:00:00:00:01'),
          namespaceFd: 4,
        },
      }),
    ],
    ['deleteLink', deleteLink(7)],
    ['deleteGroup', deleteLinkGroup(99)],
    ['address4', addAddress({ interfaceIndex: 7, address: ip('10.244.0.1'), prefixLength: 32 })],
    ['address6', addAddress({ interfaceIndex: 7, address: ip('fd00:244::1'), prefixLength: 128 })],
    ['gatewayRoute', addRoute(route({ destination: { address: ip('169.254.1.1'), length: 32 }, gateway: null }))],
    ['default4', addRoute(route({}))],
    ['tableRoute', addRouteToTable(1_718_157_319, route({}))],
    ['rule', addSourceRule({ source: ip('10.244.0.2'), priority: 17_900 }, 1_718_157_319)],
    ['rule6', addSourceRule({ source: ip('fd00:244::2'), priority: 17_900 }, 1_718_157_319)],
    ['neighbour', addNeighbour(7, ip('169.254.1.1'), HOST_MAC)],
  ])('%s', (name, { bytes }) => {
    expect(parse(bytes)).toEqual(iproute2(name))
  })

  test.each<[string, NetlinkRequest]>([
    ['up', changeLink(7, { isUp: true })],
    ['mtu', changeLink(7, { mtu: 1400 })],
    ['mac', changeLink(7, { mac: HOST_MAC })],
    ['group', changeLink(7, { group: 99 })],
    ['addrGenMode', changeLink(7, { addrGenMode: ADDR_GEN_MODE.none })],
  ])('%s, but that RTM_SETLINK never makes a link', (name, { bytes }) => {
    const sent = iproute2(name)
    expect(sent.type).toBe(NEWLINK)
    const expected = name === 'group' ? { ...sent, attributes: { 27: '63000000' } } : sent
    expect(parse(bytes)).toEqual({ ...expected, type: SETLINK })
  })

  test('a default route that replaces one, with an MTU, but that it is not made where there is none', () => {
    const sent = iproute2('default4mtu')
    expect(parse(replaceRoute(route({ mtu: 1480 })).bytes)).toEqual({ ...sent, flags: sent.flags & ~0x400 })
  })

  test('an IPv6 default route with a metric, but for a destination of length 0', () => {
    const sent = iproute2('default6')
    const { 1: destination, ...attributes } = sent.attributes
    expect(destination).toBe('0'.repeat(32))
    const gateway = ip('fe80::ecee:eeff:feee:eeee')
    expect(parse(addRoute(route({ family: 6, gateway, metric: 2055 })).bytes)).toEqual({ ...sent, attributes })
  })

  test('an address whose flags would fit in an octet, but that they have an attribute of their own all the same', () => {
    const sent = iproute2('linkLocal')
    expect(sent.fixed).toBe('0a40020007000000')
    expect(parse(addAddress({ interfaceIndex: 7, address: ip('fe80::1234'), prefixLength: 64 }).bytes)).toEqual({
      ...sent,
      fixed: '0a40000007000000',
      attributes: { ...sent.attributes, 8: '02000000' },
    })
  })

  test('proxy_delay, but for the family, which narrows the search', () => {
    expect(parse(setProxyArpDelay(7, 0).bytes)).toEqual({ ...iproute2('proxyDelay'), fixed: '02000000' })
  })

  test.each<[string, Tunnel, Record<string, string>]>([
    // iproute2 says nothing of the far end when there is none, and takes any protocol in.
    ['ipip', ipip, { 3: '00000000', 9: '04' }],
    // In external mode it sends no more than that, and any protocol but for `mode ip6ip6`, which it does not take together with it.
    ['ip6tnlExternal', { kind: 'ip6tnl', name: 'fib6tnl', mtu: 1452, index: 42 }, { 9: '29' }],
  ])('tunnel %s: what iproute2 sets the same way has the same octets', (name, tunnel, differing) => {
    const [ours, theirs] = [parse(createTunnel(tunnel).bytes), iproute2(name)]
    const [ourData, theirData] = [dataOf(ours), dataOf(theirs)]
    expect(ours).toMatchObject({ type: theirs.type, flags: theirs.flags, fixed: theirs.fixed })
    expect({ 3: ours.attributes[3], 4: ours.attributes[4] }).toEqual({ 3: theirs.attributes[3], 4: theirs.attributes[4] })
    expect(ourData).toEqual({ ...Object.fromEntries(Object.keys(ourData).map((key) => [key, theirData[key]])), ...differing })
  })

  test('a tunnel is changed in place by index', () => {
    const message = parse(changeTunnel(9, { ...ipip, mtu: 1400 }).bytes)
    expect(message).toMatchObject({ type: NEWLINK, flags: 1, fixed: '00000000090000000000000000000000', attributes: { 4: '78050000' } })
  })
})

function dataOf({ attributes }: Message): Tree {
  const linkInfo = attributes[18]
  const data = typeof linkInfo === 'object' ? linkInfo[2] : undefined
  if (typeof data !== 'object') throw new TypeError('no IFLA_INFO_DATA')
  return data
}

describe('a change of settings', () => {
  test('IPv4 settings are IFLA_INET_CONF: attribute numbers are those of linux/ip.h', () => {
    const { attributes } = parse(changeLink('fib0', { ipv4: { forwarding: 1, proxyArp: 1, rpFilter: 2 } }).bytes)
    expect(attributes).toEqual({ 3: hexText('fib0'), 26: { 2: expect.any(String) } })
    const inet = (attributes[26] as Tree)[2]
    expect(inet).toBe('1c000180' + '0800010001000000' + '0800030001000000' + '0800080002000000')
  })

  test('a link is renamed by index', () => {
    expect(parse(changeLink(7, { name: 'eth0' }).bytes)).toMatchObject({ type: SETLINK, attributes: { 3: hexText('eth0') } })
  })
})

function hexText(text: string): string {
  return Buffer.from(text).toString('hex')
}

describe("the kernel's answers", () => {
  const [link = ''] = FIXTURE.kernel.link

  test('whether a link is operational', () => {
    const view = viewOf(link)
    expect(readIsOperational(view, 0, view.byteLength)).toBe(true)
    eachAttribute(view, 16, view.byteLength, (type, at) => {
      if (type === 16) view.setUint8(at, 2) // IFLA_OPERSTATE: IF_OPER_DOWN
    })
    expect([readIsOperational(view, 0, view.byteLength), readLink(view, 0, view.byteLength)?.isOperational]).toEqual([false, false])
  })

  test('a veth with its settings', () => {
    const view = viewOf(link)
    expect(readLink(view, 0, view.byteLength)).toEqual({
      index: 7,
      name: 'fib00000000001',
      isUp: true,
      isOperational: true,
      mtu: 1480,
      mac: HOST_MAC,
      kind: 'veth',
      peerIndex: 2,
      group: 5,
      ipv4: {
        forwarding: 0,
        proxyArp: 0,
        rpFilter: 0,
      },
      ipv6: {
        forwarding: 0,
        acceptRa: 1,
        disableIpv6: 0,
        addrGenMode: 0,
      },
    })
  })

  test('addresses', () => {
    const read = FIXTURE.kernel.addresses.map(viewOf).map((view) => readAddress(view, 0, view.byteLength))
    expect(read.map((each) => each && `${formatIp(each.address)}/${each.prefixLength} ${each.interfaceIndex} ${each.isUsable}`)).toEqual(
      expect.arrayContaining(['10.244.0.1/32 7 true', 'fd00:244::1/128 7 true']),
    )
  })

  test('routes of table main; others are none', () => {
    const read = FIXTURE.kernel.routes.map(viewOf).map((view) => readRoute(view, 0, view.byteLength))
    expect(read).toEqual(
      expect.arrayContaining([
        route({ metric: 2055, mtu: 1400 }),
        route({ destination: { address: ip('169.254.1.1'), length: 32 }, gateway: null }),
      ]),
    )
    const [local = ''] = FIXTURE.kernel.localRoute
    expect(readRoute(viewOf(local), 0, local.length / 2)).toBeNull()
    expect(isLocalRoute(viewOf(local), 0, local.length / 2)).toBe(true)
    expect(isLocalRoute(viewOf(FIXTURE.kernel.routes[0] ?? ''), 0, 12)).toBe(false)
  })

  test('cut at any octet, nothing throws', () => {
    for (const hex of Object.values(FIXTURE.kernel).flat()) {
      for (let length = 0; length <= hex.length / 2; length++) {
        const view = viewOf(hex.slice(0, 2 * length))
        for (const read of [readLink, readAddress, readRoute, isLocalRoute]) expect(() => read(view, 0, length)).not.toThrow()
      }
    }
  })
})
