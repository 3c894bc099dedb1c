import { describe, expect, test } from '@jest/globals'
import {
  capabilityText,
  decodeMaxPrefixData,
  decodeShutdownMessage,
  encodeKeepalive,
  encodeMaxPrefixData,
  encodeNotification,
  encodeRouteRefresh,
  encodeShutdownMessage,
  MAX_NOTIFICATION_DATA,
  notificationText,
  unwrapHardReset,
  wrapHardReset,
} from '../../../src/bgp/wire/index.ts'
import { attributeHex, bytesOf, codeOf, decoded, errorOf, external, hexOf, rawMessage, rawUpdate } from './build.ts'

const NO_DATA = new Uint8Array(0)

describe('NOTIFICATION', () => {
  test('both ways, data and all; unknown codes too', () => {
    for (const body of ['0602', '0404', '0201 0004', 'ffff 00']) {
      const bytes = rawMessage(3, body)
      const message = decoded(bytes)
      if (message.kind !== 'notification') throw new Error(message.kind)
      expect(encodeNotification(message)).toEqual(bytes)
    }
  })

  test('its data outlives the buffer it came in', () => {
    const bytes = rawMessage(3, '0602 03 627965')
    const message = decoded(bytes)
    bytes.fill(0)
    expect(message).toMatchObject({ data: bytesOf('03627965') })
  })

  test('data that does not fit 4096 octets is cut', () => {
    expect(encodeNotification({ code: 3, subcode: 1, data: new Uint8Array(70_000) })).toHaveLength(4096)
    const long = rawUpdate({ attributes: [attributeHex(0x50, 99, '00'.repeat(5000))] })
    const error = errorOf(long, external({ extendedMessage: true }))
    expect(`${error.code}/${error.subcode}`).toBe('3/2')
    expect(error.data).toHaveLength(MAX_NOTIFICATION_DATA)
  })
})

describe('what a NOTIFICATION carries', () => {
  test('[rule 48] the data of 6/1 is AFI, SAFI and bound', () => {
    expect(hexOf(encodeMaxPrefixData('IPv6Unicast', 1_000_000))).toBe('000201000f4240')
    expect(decodeMaxPrefixData(bytesOf('000101 ffffffff'))).toEqual({ family: 'IPv4Unicast', bound: 4_294_967_295 })
    expect(decodeMaxPrefixData(bytesOf('001946 00000001'))).toEqual({ family: null, bound: 1 })
    expect(decodeMaxPrefixData(bytesOf('000101'))).toBeNull()
  })

  test('[rule 49] a shutdown message is a length octet and UTF-8, up to 255 octets', () => {
    expect(hexOf(encodeShutdownMessage('bye'))).toBe('03627965')
    for (const length of [1, 128, 129, 255]) {
      const text = 'x'.repeat(length)
      expect(decodeShutdownMessage(encodeShutdownMessage(text))).toBe(text)
    }
    expect(encodeShutdownMessage('')).toHaveLength(0)
  })

  test('[rule 49] longer text is cut between characters', () => {
    const cut = encodeShutdownMessage('é'.repeat(200))
    expect(cut).toHaveLength(255)
    expect(decodeShutdownMessage(cut)).toBe('é'.repeat(127))
    expect(decodeShutdownMessage(encodeShutdownMessage(`${'x'.repeat(253)}€`))).toBe('x'.repeat(253))
  })

  test.each([
    ['a length beyond the data', '05 627965'],
    ['octets that are not UTF-8', '02 fffe'],
    ['a character cut off', '02 e282'],
  ])('[rule 50] %s is no message; people see it in hex', (_name, data) => {
    expect(decodeShutdownMessage(bytesOf(data))).toBeNull()
    expect(notificationText(6, 2, bytesOf(data))).toBe(
      `cease: administrative shutdown (unreadable message ${data.replaceAll(' ', '')}) (6/2)`,
    )
  })

  test('[rule 50] control characters and direction marks are escaped', () => {
    const text = notificationText(6, 4, encodeShutdownMessage('a\nb\u001b[31m\u202e"'))
    expect(text).toBe('cease: administrative reset: "a\\nb\\u001b[31m\\u202e\\"" (6/4)')
  })

  test('[rule 154] a hard reset carries the NOTIFICATION it stands for', () => {
    const wrapped = wrapHardReset({ code: 6, subcode: 2, data: encodeShutdownMessage('bye') })
    expect(hexOf(encodeNotification(wrapped)).slice(38)).toBe('0609' + '0602' + '03627965')
    expect(unwrapHardReset(wrapped)).toEqual({ code: 6, subcode: 2, data: encodeShutdownMessage('bye') })
    expect(unwrapHardReset({ code: 6, subcode: 9, data: NO_DATA })).toBeNull()
    expect(unwrapHardReset({ code: 6, subcode: 2, data: bytesOf('0602') })).toBeNull()
    expect(notificationText(6, 9, wrapped.data)).toBe('cease: hard reset: cease: administrative shutdown: "bye" (6/2) (6/9)')
  })
})

describe('in words', () => {
  test.each([
    [1, 'maximum number of prefixes reached: 10 for IPv4Unicast', encodeMaxPrefixData('IPv4Unicast', 10)],
    [2, 'administrative shutdown', NO_DATA],
    [3, 'peer deconfigured', NO_DATA],
    [4, 'administrative reset', bytesOf('00')],
    [5, 'connection rejected: the other side has no such peer configured, or does not want it now', NO_DATA],
    [6, 'other configuration change', NO_DATA],
    [7, 'connection collision resolved: the other connection stays', NO_DATA],
    [8, 'out of resources', NO_DATA],
    [9, 'hard reset', NO_DATA],
    [10, 'BFD session down', NO_DATA],
  ])('[rule 47] Cease %i: %s', (subcode, text, data) => {
    expect(notificationText(6, subcode, data)).toBe(`cease: ${text} (6/${subcode})`)
  })

  test.each([
    [1, 1, '', 'connection not synchronized: the marker of a message was not all ones (1/1)'],
    [1, 2, '0012', 'bad message length 18 (1/2)'],
    [1, 3, '09', 'bad message type 9 (1/3)'],
    [2, 1, '0004', 'OPEN error: unsupported BGP version; version 4 is (2/1)'],
    [2, 7, '4104ffff', 'OPEN error: unsupported or missing capability (2/7)'],
    [2, 7, '0200 0600', 'OPEN error: unsupported or missing capability: route refresh, extended message (2/7)'],
    [3, 3, '01', 'UPDATE error: missing well-known attribute ORIGIN (3/3)'],
    [3, 5, '80040100', 'UPDATE error: wrong attribute length: MULTI_EXIT_DISC (80040100) (3/5)'],
    [3, 9, '800f00', 'UPDATE error: error in optional attribute: MP_UNREACH_NLRI (800f00) (3/9)'],
    [4, 0, '', 'hold timer expired (4/0)'],
    [5, 3, '', 'state machine error: unexpected message in state Established (5/3)'],
    [6, 77, '', 'cease (6/77)'],
    [7, 1, '', 'invalid ROUTE-REFRESH length (7/1)'],
    [8, 0, '', 'send hold timer expired: the other side did not read (8/0)'],
    [99, 3, 'abcd', 'unknown error (99/3) with data abcd'],
  ])('%i/%i with data %s', (code, subcode, data, text) => {
    expect(notificationText(code, subcode, bytesOf(data))).toBe(text)
  })

  test('who said it and which ASes are meant', () => {
    expect(notificationText(2, 2, NO_DATA, { direction: 'received', localAsn: 65002 })).toBe(
      'OPEN error: bad peer AS: the peer does not expect us to be AS 65002; check the AS configured there (2/2)',
    )
    expect(notificationText(2, 2, NO_DATA, { direction: 'sent', peerAsn: 65001 })).toBe(
      'OPEN error: bad peer AS: the peer is not AS 65001, which we are configured for (2/2)',
    )
  })

  test('a hard reset in a hard reset in a … ends', () => {
    expect(notificationText(6, 9, bytesOf('0609'.repeat(1000)))).toBe('cease: hard reset (6/9)')
  })

  test('capabilities', () => {
    expect(capabilityText({ kind: 'multiprotocol', afi: 2, safi: 1 })).toBe('multiprotocol IPv6Unicast')
    expect(capabilityText({ kind: 'multiprotocol', afi: 25, safi: 70 })).toBe('multiprotocol AFI 25 SAFI 70')
    expect(
      capabilityText({
        kind: 'gracefulRestart',
        restarting: true,
        notification: true,
        restartTimeSeconds: 120,
        families: [{ afi: 1, safi: 1, forwardingPreserved: true }],
      }),
    ).toBe('graceful restart 120 s, restarting, with notification: IPv4Unicast (forwarding preserved)')
    expect(capabilityText({ kind: 'unknown', code: 75, value: NO_DATA })).toBe('software version')
    expect(capabilityText({ kind: 'unknown', code: 64, value: bytesOf('00') })).toBe('malformed capability 64 (00)')
    expect(capabilityText({ kind: 'unknown', code: 253, value: bytesOf('beef') })).toBe('unknown capability 253 (beef)')
    expect(capabilityText({ kind: 'addPath', families: [{ afi: 1, safi: 1, send: true, receive: false }] })).toBe(
      'add-path IPv4Unicast send',
    )
    expect(capabilityText({ kind: 'extendedNextHop', entries: [{ afi: 1, safi: 1, nextHopAfi: 2 }] })).toBe(
      'extended next hop IPv4Unicast via IPv6',
    )
  })
})

describe('ROUTE-REFRESH and KEEPALIVE', () => {
  test('both ways, all subtypes', () => {
    expect(encodeKeepalive()).toEqual(rawMessage(4, ''))
    expect(decoded(rawMessage(4, ''))).toEqual({ kind: 'keepalive' })
    for (const subtype of [0, 1, 2]) {
      const bytes = encodeRouteRefresh({ family: 'IPv6Unicast', subtype })
      expect(bytes).toEqual(rawMessage(5, `0002 0${subtype} 01`))
      expect(decoded(bytes, external())).toEqual({ kind: 'routeRefresh', family: 'IPv6Unicast', subtype })
    }
    expect(() => encodeRouteRefresh({ family: null, subtype: 0 })).toThrow(RangeError)
  })

  test('[rule 12] a body other than four octets is 7/1, and the data is the message', () => {
    const bytes = rawMessage(5, '0001 00 01 01 0000')
    expect(errorOf(bytes)).toMatchObject({ code: 7, subcode: 1, data: bytes })
    expect(codeOf(rawMessage(5, '0001 01 01 00'))).toBe('7/1')
  })

  test('[rule 13] an unknown subtype is handed on as it is, to be ignored', () => {
    expect(decoded(rawMessage(5, '0001 07 01'), external())).toEqual({ kind: 'routeRefresh', family: 'IPv4Unicast', subtype: 7 })
  })
})
