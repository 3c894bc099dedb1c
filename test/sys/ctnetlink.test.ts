// Conntrack's messages, against connections as a kernel told of them (test/fixtures/netlink: pod-links.json and connections.json, which
// connections.py records).
import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { formatIp, ip } from '../../src/net/index.ts'
import {
  addressesOfConnection,
  connectionKey,
  countConnections,
  deleteConnection,
  flowOfConnection,
  listConnections,
  listConnectionsFrom,
  markConnection,
  markOfConnection,
  readConnectionCount,
} from '../../src/sys/ctnetlink.ts'

const FIXTURE = JSON.parse(readFileSync(new URL('../fixtures/netlink/pod-links.json', import.meta.url), 'utf8'))
/** 10.244.0.1:1000 to 10.96.0.10:53 over UDP; answers come from 10.244.0.7 and go to 192.0.2.1. */
const CONNECTION: string = FIXTURE.kernel.connection[0]

type Recorded = { readonly connections: readonly { readonly shown: string; readonly hex: string }[] }
const { connections: RECORDED }: Recorded = JSON.parse(
  readFileSync(new URL('../fixtures/netlink/connections.json', import.meta.url), 'utf8'),
)

function viewOf(hex: string): DataView {
  const bytes = Uint8Array.from(Buffer.from(hex, 'hex'))
  return new DataView(bytes.buffer)
}
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

test('the four addresses of a connection', () => {
  const view = viewOf(CONNECTION)
  expect(addressesOfConnection(view, 0, view.byteLength).map(formatIp)).toEqual(['10.244.0.1', '10.96.0.10', '10.244.0.7', '192.0.2.1'])
})

test('a deletion names the original tuple and the id, so that no later connection between the same ends is meant', () => {
  const view = viewOf(CONNECTION)
  const request = deleteConnection(view, 0, view.byteLength)
  const id = /0800 ?0c00 ?([0-9a-f]{8})/.exec(CONNECTION)?.[1]
  expect(id).toBeDefined()
  const tuple =
    '34000180' +
    '14000180' +
    '08000100' +
    '0af40001' +
    '08000200' +
    '0a60000a' +
    '1c000280' +
    '05000100' +
    '11000000' +
    '06000200' +
    '03e80000' +
    '06000300' +
    '00350000'
  expect(hexOf(request.bytes)).toBe(`50000000020101000000000000000000${'02000000'}${tuple}08000c00${id}`)
  expect(connectionKey(request)).toBe(connectionKey(deleteConnection(view, 0, view.byteLength)))
})

test('lists: all, or those that the kernel filters by source', () => {
  expect(hexOf(listConnections().bytes)).toBe('14000000010101030000000000000000' + '00000000')
  expect(hexOf(listConnectionsFrom(ip('10.244.0.1'), 'reply').bytes)).toBe(
    '38000000010101030000000000000000' +
      '02000000' +
      '10000280' +
      '0c000180' +
      '080001000af40001' +
      '14001980' +
      '0800010000000000' +
      '0800020001000000',
  )
  expect(hexOf(listConnectionsFrom(ip('fd00:244::1'), 'original').bytes)).toBe(
    '44000000010101030000000000000000' +
      '0a000000' +
      '1c000180' +
      '18000180' +
      '14000300fd000244000000000000000000000001' +
      '14001980' +
      '0800010001000000' +
      '0800020000000000',
  )
})

test('a count is in network order', () => {
  const view = viewOf('00000000' + '0800010000010002')
  expect(readConnectionCount(view, 0, view.byteLength)).toBe(0x1_0002)
  expect(readConnectionCount(viewOf('00000000'), 0, 4)).toBeNull()
})

/** What conntrack(8) says of a connection; of words that come twice the second is of the answers. */
function fieldsOf(shown: string): {
  readonly original: (name: string) => string | undefined
  readonly reply: (name: string) => string | undefined
} {
  const values = (name: string): readonly string[] =>
    [...shown.matchAll(new RegExp(`\\b${name}=(\\S+)`, 'g'))].map(([, value = '']) => value)
  return { original: (name) => values(name)[0], reply: (name) => values(name)[1] }
}

test('nine kinds of connections are recorded: TCP, UDP, SCTP, ICMP, both families, both ways of NAT, marks, a zone', () => {
  expect(RECORDED.length).toBe(9)
})

describe.each(RECORDED)('$shown', ({ shown, hex }) => {
  const view = viewOf(hex)
  const { original, reply } = fieldsOf(shown)
  const protocol = Number(shown.split(' ')[1])
  const tuple = /^[0-9a-f]{8}([0-9a-f]{4}0180)/.exec(hex)?.[1] ?? ''
  const octetsOfTuple = 2 * Number.parseInt(tuple.slice(2, 4) + tuple.slice(0, 2), 16)
  const originalTuple = hex.slice(8, 8 + octetsOfTuple)

  test('its flow is what the rules saw: the client, and the destination and its port after translation', () => {
    const port = reply('sport')
    expect(flowOfConnection(view, 0, view.byteLength)).toEqual({
      source: ip(original('src') ?? ''),
      destination: ip(reply('src') ?? ''),
      protocol,
      destinationPort: port === undefined ? null : Number(port),
      ...(shown.startsWith('icmp') ? { icmpType: Number(original('type')) } : {}),
      isTranslated: original('dst') !== reply('src'),
    })
    expect(addressesOfConnection(view, 0, view.byteLength).map(formatIp)).toEqual([
      original('src'),
      original('dst'),
      reply('src'),
      reply('dst'),
    ])
    expect(markOfConnection(view, 0, view.byteLength)).toBe(Number(original('mark')))
  })

  test('the request that marks it names its original tuple and zone, and no bit but those asked for', () => {
    const family = hex.slice(0, 8)
    const zone = original('zone') === undefined ? '' : `06001200${Number(original('zone')).toString(16).padStart(4, '0')}0000`
    const set = hexOf(markConnection(view, 0, view.byteLength, 0x4000000, true).bytes)
    const clear = hexOf(markConnection(view, 0, view.byteLength, 0x4000000, false).bytes)
    // CTA_MARK 8, CTA_MARK_MASK 21: octets in network order.
    const body = (mark: string): string => `${family}${originalTuple}${zone}08000800${mark}0800150004000000`
    // IPCTNL_MSG_CT_NEW, NLM_F_REQUEST alone: without NLM_F_CREATE nothing is made.
    const request = (mark: string): string => {
      const length = Buffer.alloc(4)
      length.writeUInt32LE(16 + body(mark).length / 2)
      return `${length.toString('hex')}00010100${'00'.repeat(8)}${body(mark)}`
    }
    expect([set, clear]).toEqual([request('04000000'), request('00000000')])
  })

  test('the request that deletes it names its original tuple, zone and id', () => {
    const id = /08000c00([0-9a-f]{8})/.exec(hex)?.[0] ?? 'no id'
    const zone = original('zone') === undefined ? '' : '0600120000050000'
    const request = deleteConnection(view, 0, view.byteLength)
    expect(hexOf(request.bytes.subarray(16))).toBe(`${hex.slice(0, 8)}${originalTuple}${zone}${id}`)
  })
})

test('keys tell connections apart, also those of one tuple in two zones', () => {
  const keyOf = (hex: string): string => {
    const view = viewOf(hex)
    return connectionKey(markConnection(view, 0, view.byteLength, 1, true))
  }
  expect(new Set(RECORDED.map(({ hex }) => keyOf(hex))).size).toBe(RECORDED.length)
  const zoned = RECORDED.find(({ shown }) => shown.includes('zone='))?.hex ?? ''
  expect(keyOf(zoned.replace('0600120000050000', '0600120000060000'))).not.toBe(keyOf(zoned))
})

test('a count is asked for with IPCTNL_MSG_CT_GET_STATS, of no dump', () => {
  expect(hexOf(countConnections().bytes)).toBe('14000000050101000000000000000000' + '00000000')
})

test('cut at any octet, nothing throws', () => {
  for (let length = 0; length <= CONNECTION.length / 2; length++) {
    const view = viewOf(CONNECTION.slice(0, 2 * length))
    expect(() => [addressesOfConnection(view, 0, length), readConnectionCount(view, 0, length)]).not.toThrow()
  }
  for (const { hex } of RECORDED) {
    for (let length = 4; length < hex.length / 2; length++) {
      const view = viewOf(hex.slice(0, 2 * length))
      expect(() => [
        flowOfConnection(view, 0, length),
        markOfConnection(view, 0, length),
        markConnection(view, 0, length, 1, true),
        deleteConnection(view, 0, length),
      ]).not.toThrow()
    }
  }
})
