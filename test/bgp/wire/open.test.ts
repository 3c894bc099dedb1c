import { describe, expect, test } from '@jest/globals'
import { type Capability, encodeOpen, type OpenMessage } from '../../../src/bgp/wire/index.ts'
import { bytesOf, codeOf, decoded, errorOf, hexOf, rawMessage } from './build.ts'

/** An OPEN from AS 65001, hold time 90, 10.0.0.1, with this behind it (the length octet included). */
function rawOpen(rest: string, version = '04'): Uint8Array {
  return rawMessage(1, `${version} fde9 005a 0a000001 ${rest}`)
}

function capabilitiesIn(bytes: Uint8Array): readonly Capability[] {
  const message = decoded(bytes)
  if (message.kind !== 'open') throw new Error(message.kind)
  return message.capabilities
}

/** Capabilities in one parameter. */
function withCapabilities(hex: string): Uint8Array {
  const octets = hex.replaceAll(/\s/g, '').length / 2
  const byte = (value: number): string => value.toString(16).padStart(2, '0')
  return rawOpen(`${byte(octets + 2)} 02 ${byte(octets)} ${hex}`)
}

const MP_V4: Capability = { kind: 'multiprotocol', afi: 1, safi: 1 }
const MP_V6: Capability = { kind: 'multiprotocol', afi: 2, safi: 1 }
const REFRESH: Capability = { kind: 'routeRefresh' }

describe('OPEN', () => {
  test('its fields', () => {
    expect(decoded(rawOpen('00'))).toEqual({ kind: 'open', myAs: 65001, holdTimeSeconds: 90, routerId: 0x0a000001, capabilities: [] })
  })

  test.each(['00', '03', '05', 'ff'])('[rule 14] version %s is 2/1, and the data is the version we have', (version) => {
    const error = errorOf(rawOpen('00', version))
    expect(error).toMatchObject({ code: 2, subcode: 1, data: bytesOf('0004') })
  })

  test.each([
    ['1 (authentication)', '03 01 01 00'],
    ['3', '02 03 00'],
    ['254', '02 fe 00'],
  ])('[rule 23] optional parameter %s is 2/4', (_name, rest) => {
    expect(codeOf(rawOpen(rest))).toBe('2/4')
  })

  test.each([
    ['no octets where the length says one', '01'],
    ['octets behind the last parameter', '00 0206'],
    ['a parameter header cut off', '01 02'],
    ['a parameter that runs past the message', '02 02 01'],
    ['a capability header cut off', '03 02 01 01'],
    ['a capability that runs past its parameter', '04 02 02 01 04'],
    ['a capability that would run into the next parameter', '08 02 02 01 04 02 02 02 00'],
    ['a length beyond the message', 'fe 02 02 0200'],
  ])('[rule 24] %s is 2/0', (_name, rest) => {
    expect(codeOf(rawOpen(rest))).toBe('2/0')
  })

  test('[rule 25] capabilities in one parameter, in one each, or in both ways at once', () => {
    const one = rawOpen('10 02 0e 010400010001 010400020001 0200')
    const each = rawOpen('14 0206 010400010001 0206 010400020001 0202 0200')
    const mixed = rawOpen('12 020c 010400010001 010400020001 0202 0200')
    for (const bytes of [one, each, mixed]) expect(capabilitiesIn(bytes)).toEqual([MP_V4, MP_V6, REFRESH])
  })

  test('[rule 25] an empty capability parameter is harmless', () => {
    expect(capabilitiesIn(rawOpen('06 0200 0202 0200'))).toEqual([REFRESH])
  })

  test('[rule 26] repeated capabilities all arrive', () => {
    expect(capabilitiesIn(withCapabilities('010400010001 010400010001 0200 0200'))).toEqual([MP_V4, MP_V4, REFRESH, REFRESH])
  })

  test('[rule 140] copies of graceful restart arrive in order, so that the last can be told', () => {
    const restarts = capabilitiesIn(withCapabilities('40020001 40020002'))
    expect(restarts.map((each) => (each.kind === 'gracefulRestart' ? each.restartTimeSeconds : null))).toEqual([1, 2])
  })

  test.each([0, 3, 7, 67, 73, 75, 128, 131, 185, 238, 255])(
    '[rule 27] unknown capability %i is kept for people and is no error',
    (code) => {
      const hex = code.toString(16).padStart(2, '0')
      expect(capabilitiesIn(withCapabilities(`${hex}00 ${hex}03abcdef`))).toEqual([
        { kind: 'unknown', code, value: new Uint8Array(0) },
        { kind: 'unknown', code, value: bytesOf('abcdef') },
      ])
    },
  )

  test('its capabilities outlive the buffer they came in', () => {
    const bytes = withCapabilities('fd02beef')
    const found = capabilitiesIn(bytes)
    bytes.fill(0)
    expect(found).toEqual([{ kind: 'unknown', code: 253, value: bytesOf('beef') }])
  })

  test.each([
    ['multiprotocol of 3 octets', '01 03 000100'],
    ['multiprotocol of 5 octets', '01 05 0001000100'],
    ['route refresh of 1 octet', '02 01 00'],
    ['extended next hop of 5 octets', '05 05 0001000100'],
    ['extended message of 1 octet', '06 01 00'],
    ['role of 0 octets', '09 00'],
    ['role of 2 octets', '09 02 0000'],
    ['role 5', '09 01 05'],
    ['graceful restart of 1 octet', '40 01 00'],
    ['graceful restart of 5 octets', '40 05 0078000101'],
    ['four-octet AS of 2 octets', '41 02 fde9'],
    ['add-path of 3 octets', '45 03 000101'],
    ['enhanced route refresh of 1 octet', '46 01 00'],
    ['long-lived graceful restart of 6 octets', '47 06 000101800000'],
    ['software version that lies about its inside (GoBGP #2730)', '4b 07 0a000000000000'],
  ])('[rule 28] %s is ignored, and its neighbours are read', (_name, hex) => {
    const found = capabilitiesIn(withCapabilities(`010400010001 ${hex} 0200`))
    expect(found).toHaveLength(3)
    expect(found[0]).toEqual(MP_V4)
    expect(found[1]).toMatchObject({ kind: 'unknown' })
    expect(found[2]).toEqual(REFRESH)
  })
})

/** Hex of one capability both ways. */
const CAPABILITIES: readonly (readonly [string, string, Capability])[] = [
  ['multiprotocol', '010400190046', { kind: 'multiprotocol', afi: 25, safi: 70 }],
  ['route refresh', '0200', REFRESH],
  [
    '[rule 112] extended next hop: entries of six octets, the SAFI in two',
    '050c 000100010002 000100800002',
    {
      kind: 'extendedNextHop',
      entries: [
        { afi: 1, safi: 1, nextHopAfi: 2 },
        { afi: 1, safi: 128, nextHopAfi: 2 },
      ],
    },
  ],
  ['extended message', '0600', { kind: 'extendedMessage' }],
  ['[rule 169] role Provider', '090100', { kind: 'role', role: 'Provider' }],
  ['[rule 169] role RouteServer', '090101', { kind: 'role', role: 'RouteServer' }],
  ['[rule 169] role RouteServerClient', '090102', { kind: 'role', role: 'RouteServerClient' }],
  ['[rule 169] role Customer', '090103', { kind: 'role', role: 'Customer' }],
  ['[rule 169] role Peer', '090104', { kind: 'role', role: 'Peer' }],
  [
    '[rule 139] graceful restart: R bit, 12 bits of time, F bit of each family',
    '400a 8078 00010180 00020100',
    {
      kind: 'gracefulRestart',
      restarting: true,
      notification: false,
      restartTimeSeconds: 120,
      families: [
        { afi: 1, safi: 1, forwardingPreserved: true },
        { afi: 2, safi: 1, forwardingPreserved: false },
      ],
    },
  ],
  [
    '[rule 139] graceful restart with the N bit, the longest time and no family',
    '4002 4fff',
    { kind: 'gracefulRestart', restarting: false, notification: true, restartTimeSeconds: 4095, families: [] },
  ],
  ['four-octet AS', '4104fffffffe', { kind: 'fourOctetAs', asn: 4_294_967_294 }],
  [
    '[rule 121] add-path: 1 receive, 2 send, 3 both',
    '450c 00010101 00020102 00010203',
    {
      kind: 'addPath',
      families: [
        { afi: 1, safi: 1, send: false, receive: true },
        { afi: 2, safi: 1, send: true, receive: false },
        { afi: 1, safi: 2, send: true, receive: true },
      ],
    },
  ],
  ['enhanced route refresh', '4600', { kind: 'enhancedRouteRefresh' }],
  [
    '[rule 156] long-lived graceful restart: AFI, SAFI, flags, 24 bits of time',
    '470e 00010180ffffff 00020100000001',
    {
      kind: 'longLivedGracefulRestart',
      families: [
        { afi: 1, safi: 1, forwardingPreserved: true, staleTimeSeconds: 16_777_215 },
        { afi: 2, safi: 1, forwardingPreserved: false, staleTimeSeconds: 1 },
      ],
    },
  ],
  ['one we do not know', 'fd02beef', { kind: 'unknown', code: 253, value: bytesOf('beef') }],
]

describe('each capability, both ways', () => {
  test.each(CAPABILITIES)('%s', (_name, hex, capability) => {
    expect(capabilitiesIn(withCapabilities(hex))).toEqual([capability])
    const open: OpenMessage = { kind: 'open', myAs: 65001, holdTimeSeconds: 90, routerId: 0x0a000001, capabilities: [capability] }
    expect(hexOf(encodeOpen(open))).toBe(hexOf(withCapabilities(hex)))
  })

  test('[rule 121] add-path tuples of other modes are ignored, the rest of the capability is not', () => {
    expect(capabilitiesIn(withCapabilities('450c 00010100 00010104 00020103'))).toEqual([
      { kind: 'addPath', families: [{ afi: 2, safi: 1, send: true, receive: true }] },
    ])
  })
})

describe('extended optional parameters (RFC 9072)', () => {
  const many = (count: number): OpenMessage => ({
    kind: 'open',
    myAs: 23456,
    holdTimeSeconds: 0,
    routerId: 1,
    capabilities: Array.from({ length: count }, (_, index) => ({ kind: 'multiprotocol', afi: index, safi: 1 })),
  })

  test('[rule 31] over 255 octets: 255, 255, two octets of length, and two in each parameter', () => {
    expect(hexOf(encodeOpen(many(42))).slice(56, 62)).toBe('fe02fc') // 252 octets of capabilities still fit
    const extended = hexOf(encodeOpen(many(43)))
    expect(extended.slice(56, 70)).toBe(`ffff0105${'02'}0102`)
    expect(decoded(encodeOpen(many(43)))).toEqual(many(43))
    expect(decoded(encodeOpen(many(600)))).toEqual(many(600))
  })

  test('[rule 31] 253 octets of capabilities fit the old form, 254 do not', () => {
    const sized = (octets: number): OpenMessage => ({
      ...many(0),
      capabilities: [{ kind: 'unknown', code: 253, value: new Uint8Array(octets - 2) }],
    })
    expect(hexOf(encodeOpen(sized(253))).slice(56, 64)).toBe('ff02fdfd')
    expect(hexOf(encodeOpen(sized(254))).slice(56, 70)).toBe('ffff01010200fe')
    for (const octets of [253, 254]) expect(decoded(encodeOpen(sized(octets)))).toEqual(sized(octets))
  })

  test('[rule 5] an OPEN that would exceed 4096 octets is not built', () => {
    expect(() => encodeOpen(many(700))).toThrow(RangeError)
  })

  test('[rule 32] the extended form is accepted at any size, whatever its first length octet says', () => {
    for (const first of ['ff', '09', '01']) {
      expect(capabilitiesIn(rawOpen(`${first} ff 0009 02 0006 010400010001`))).toEqual([MP_V4])
    }
    expect(capabilitiesIn(rawOpen('ff ff 0000'))).toEqual([])
    expect(capabilitiesIn(rawOpen('ff ff 000e 02 0006 010400010001 02 0002 0200'))).toEqual([MP_V4, REFRESH])
  })

  test.each([
    ['the form of RFC 9072 behind a length of zero, which it must not have', '00 ff 0000'],
    ['nothing behind the length octet (CVE-2022-40302)', 'ff'],
    ['only the marker', 'ff ff'],
    ['half a length', 'ff ff 00'],
    ['a length beyond the message', 'ff ff 0004 02 0000'],
    ['a length short of the message', 'ff ff 0000 02'],
    ['a parameter header cut off', 'ff ff 0002 02 00'],
    ['a parameter beyond the message (CVE-2022-43681)', 'ff ff 0003 02 0001'],
  ])('[rule 32] %s is 2/0', (_name, rest) => {
    expect(codeOf(rawOpen(rest))).toBe('2/0')
  })

  test('[rule 23] an unknown parameter in it is 2/4 as well', () => {
    expect(codeOf(rawOpen('ff ff 0003 01 0000'))).toBe('2/4')
  })
})
