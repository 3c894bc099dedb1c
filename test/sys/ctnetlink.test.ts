// Conntrack's messages, against a connection as a kernel told of it (test/fixtures/netlink/pod-links.json).
import { readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { formatIp, ip } from '../../src/net/index.ts'
import {
  addressesOfConnection,
  connectionKey,
  deleteConnection,
  listConnections,
  listConnectionsFrom,
  readConnectionCount,
} from '../../src/sys/ctnetlink.ts'

const FIXTURE = JSON.parse(readFileSync(new URL('../fixtures/netlink/pod-links.json', import.meta.url), 'utf8'))
/** 10.244.0.1:1000 to 10.96.0.10:53 over UDP; answers come from 10.244.0.7 and go to 192.0.2.1. */
const CONNECTION: string = FIXTURE.kernel.connection[0]

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

test('cut at any octet, nothing throws', () => {
  for (let length = 0; length <= CONNECTION.length / 2; length++) {
    const view = viewOf(CONNECTION.slice(0, 2 * length))
    expect(() => [addressesOfConnection(view, 0, length), readConnectionCount(view, 0, length)]).not.toThrow()
  }
})
