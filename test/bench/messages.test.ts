import { describe, expect, test } from '@jest/globals'
import { EMPTY_VIEW, endOfRib, Framer, frame, KEEPALIVE, MESSAGE, openMessage, type UpdateView, viewUpdate } from '../../bench/messages.ts'
import { decodeMessage, preOpenContext } from '../../src/bgp/wire/index.ts'
import { contextOf } from './model.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const update = (body: string): Uint8Array => frame(MESSAGE.update, Buffer.from(body.replaceAll(' ', ''), 'hex'))
const view = (message: Uint8Array): UpdateView => {
  const filled = { ...EMPTY_VIEW }
  viewUpdate(message, 0, message.length, filled)
  return filled
}

describe('what the bench endpoints say', () => {
  test('OPEN carries AS_TRANS, the families and the 4-octet AS capability (RFC 6793 §4.2.2)', () => {
    const open = openMessage({ asn: 4_200_000_001, routerId: 0x0102_0304, holdTimeSeconds: 240, families: ['IPv4Unicast', 'IPv6Unicast'] })
    expect(hex(open.subarray(18))).toBe('01045ba000f00102030414021201040001000101040002000141 04fa56ea01'.replace(' ', ''))
    expect(open.length).toBe((open[16] ?? 0) * 256 + (open[17] ?? 0))
  })

  test('OPEN and KEEPALIVE are understood by the codec of the product', () => {
    const open = openMessage({ asn: 65_001, routerId: 1, holdTimeSeconds: 240, families: ['IPv6Unicast'] })
    expect(decodeMessage(open, preOpenContext)).toMatchObject({
      ok: true,
      value: { kind: 'open', myAs: 65_001, holdTimeSeconds: 240, routerId: 1 },
    })
    expect(decodeMessage(KEEPALIVE, preOpenContext)).toMatchObject({ ok: true, value: { kind: 'keepalive' } })
  })

  test.each(['IPv4Unicast', 'IPv6Unicast'] as const)('End-of-RIB of %s (RFC 4724 §2)', (family) => {
    expect(decodeMessage(endOfRib(family), contextOf(family, 65_001))).toMatchObject({
      ok: true,
      value: { kind: 'update', endOfRib: family },
    })
  })
})

describe('what they look at in an UPDATE', () => {
  test('IPv4: withdrawn and announced ranges, the last ASN of the path', () => {
    const seen = view(update('0004 180a0001 0014 40010100 40020a 0202 0000fde9 000186a0 400304 c6120102 18140000'.replace('0014', '0018')))
    expect(seen).toMatchObject({ family: 'IPv4Unicast', originAsn: 100_000, originatorId: 0 })
    expect([seen.withdrawnEnd - seen.withdrawnStart, seen.announcedEnd - seen.announcedStart]).toEqual([4, 4])
  })

  test('IPv6: MP_REACH_NLRI and MP_UNREACH_NLRI, ORIGINATOR_ID', () => {
    const reach = view(
      update(
        '0000 0029 900e 001a 0002 01 10 20010002000000010000000000000002 00 30 2a0000000001 8009 04 c6120103'
          .replace('001a', '001c')
          .replace('0029', '0027'),
      ),
    )
    expect(reach).toMatchObject({ family: 'IPv6Unicast', originatorId: 0xc612_0103 })
    expect(reach.announcedEnd - reach.announcedStart).toBe(7)
    const unreach = view(update('0000 000e 900f 000a 0002 01 30 2a0000000001'))
    expect([unreach.family, unreach.withdrawnEnd - unreach.withdrawnStart]).toEqual(['IPv6Unicast', 7])
  })

  test.each([
    ['attributes that end beyond the message', '0000 0040 40010100'],
    ['an attribute that ends beyond the attributes', '0000 0004 40010900'],
    ['a path segment that ends beyond its attribute', '0000 0009 400206 0202 0000fde9'],
  ])('refuses %s', (_what, body) => {
    expect(() => view(update(body))).toThrow(RangeError)
  })
})

describe('Framer', () => {
  const messages = [KEEPALIVE, update('0000 0000 18140000'), KEEPALIVE, frame(MESSAGE.update, new Uint8Array(4077)), KEEPALIVE]
  const stream = new Uint8Array(Buffer.concat(messages))
  test.each([1, 2, 17, 18, 19, 20, 100, 4095, 4096, stream.length])('cuts a stream that comes in chunks of %d octets', (size) => {
    const cut: string[] = []
    const framer = new Framer((type, bytes, start, end) => {
      expect(bytes[start + 18]).toBe(type)
      cut.push(hex(bytes.subarray(start, end)))
    })
    for (let at = 0; at < stream.length; at += size) framer.push(stream.subarray(at, at + size))
    expect(cut).toEqual(messages.map(hex))
  })

  test('refuses a length that is shorter than a header', () => {
    const broken = KEEPALIVE.slice()
    broken[17] = 18
    expect(() => new Framer(() => {}).push(broken)).toThrow(RangeError)
    const inPieces = new Framer(() => {})
    inPieces.push(broken.subarray(0, 10))
    expect(() => inPieces.push(broken.subarray(10))).toThrow(RangeError)
  })
})
