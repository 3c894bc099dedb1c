import { describe, expect, test } from '@jest/globals'
import {
  type AcceptedOpen,
  type Capability,
  checkOpen,
  type ExpectedOpen,
  familiesOfOpen,
  myAsField,
  type OpenMessage,
  type RoleName,
} from '../../../src/bgp/wire/index.ts'
import { bytesOf, hexOf } from './build.ts'

const EXPECTED: ExpectedOpen = { localAsn: 65002, localRouterId: 0x0a000002, peerAsn: 65001 }

function open(over: Partial<OpenMessage> = {}): OpenMessage {
  return { kind: 'open', myAs: 65001, holdTimeSeconds: 90, routerId: 0x0a000001, capabilities: [], ...over }
}

function as4(asn: number): Capability {
  return { kind: 'fourOctetAs', asn }
}

function role(name: RoleName): Capability {
  return { kind: 'role', role: name }
}

/** `2/2`, or what was accepted. */
function outcome(message: OpenMessage, expected: Partial<ExpectedOpen> = {}): string | AcceptedOpen {
  const result = checkOpen(message, { ...EXPECTED, ...expected })
  return result.ok ? result.value : `${result.error.code}/${result.error.subcode}`
}

function reason(message: OpenMessage, expected: Partial<ExpectedOpen> = {}): string {
  const result = checkOpen(message, { ...EXPECTED, ...expected })
  return result.ok ? 'accepted' : result.error.reason
}

describe('the AS of the peer', () => {
  test('[rule 15] is the capability’s if there is one, else the two-octet field', () => {
    expect(outcome(open())).toMatchObject({ peerAsn: 65001, fourOctetAs: false, peerType: 'eBGP' })
    expect(outcome(open({ myAs: 23456, capabilities: [as4(65001)] }))).toMatchObject({ peerAsn: 65001, fourOctetAs: true })
    expect(outcome(open({ capabilities: [as4(4_200_000_000)] }), { peerAsn: 4_200_000_000 })).toMatchObject({ peerAsn: 4_200_000_000 })
    expect(outcome(open({ capabilities: [as4(65003)] }))).toBe('2/2')
  })

  test('[rule 26] of several four-octet AS capabilities the last counts', () => {
    expect(outcome(open({ capabilities: [as4(65009), as4(65001)] }))).toMatchObject({ peerAsn: 65001 })
    expect(outcome(open({ capabilities: [as4(65001), as4(65009)] }))).toBe('2/2')
  })

  test('[rule 16] what we put in the two-octet field', () => {
    expect([1, 65535, 65536, 4_294_967_294].map(myAsField)).toEqual([1, 65535, 23456, 23456])
  })

  test('[rule 17] other than configured is 2/2, and the reason names both', () => {
    expect(outcome(open({ myAs: 65009 }))).toBe('2/2')
    expect(reason(open({ myAs: 65009 }))).toBe('peer says it is AS 65009, we are configured for AS 65001')
  })

  test('[rule 17] AS 0 is 2/2 in the field and in the capability, configured or not', () => {
    expect(outcome(open({ myAs: 0 }), { peerAsn: null })).toBe('2/2')
    expect(outcome(open({ myAs: 0, capabilities: [as4(65001)] }))).toBe('2/2')
    expect(outcome(open({ capabilities: [as4(0)] }), { peerAsn: null })).toBe('2/2')
  })

  test('[rule 18] a capability holding AS_TRANS is 2/2', () => {
    expect(outcome(open({ myAs: 23456, capabilities: [as4(23456)] }), { peerAsn: null })).toBe('2/2')
    expect(outcome(open({ myAs: 23456 }), { peerAsn: null })).toBe('2/2')
  })

  test('any AS will do if none is configured', () => {
    expect(outcome(open({ myAs: 7 }), { peerAsn: null })).toMatchObject({ peerAsn: 7 })
  })

  test('our own AS makes it internal', () => {
    expect(outcome(open(), { localAsn: 65001 })).toMatchObject({ peerType: 'iBGP' })
  })
})

describe('hold time', () => {
  test.each([1, 2])('[rule 19] %i s is 2/6', (holdTimeSeconds) => {
    expect(outcome(open({ holdTimeSeconds }))).toBe('2/6')
  })

  test.each([0, 3, 65_535])('[rules 19, 20] %i s is acceptable and is handed on', (holdTimeSeconds) => {
    expect(outcome(open({ holdTimeSeconds }))).toMatchObject({ holdTimeSeconds })
  })
})

describe('BGP Identifier', () => {
  test('[rule 21] zero is 2/3', () => {
    expect(outcome(open({ routerId: 0 }))).toBe('2/3')
  })

  test.each([1, 0x7f000001, 0xe0000001, 0xffff_ffff])('[rule 21] any other value is fine: %i', (routerId) => {
    expect(outcome(open({ routerId }))).toMatchObject({ routerId })
  })

  test('[rule 22] our own is 2/3 from an internal peer, and fine from an external one (RFC 6286)', () => {
    const same = open({ routerId: EXPECTED.localRouterId })
    expect(outcome(same, { localAsn: 65001 })).toBe('2/3')
    expect(outcome(same)).toMatchObject({ peerType: 'eBGP' })
  })
})

describe('roles', () => {
  const ROLES: readonly RoleName[] = ['Provider', 'RouteServer', 'RouteServerClient', 'Customer', 'Peer']
  const PAIRS = new Set([
    'Provider-Customer',
    'Customer-Provider',
    'RouteServer-RouteServerClient',
    'RouteServerClient-RouteServer',
    'Peer-Peer',
  ])

  test.each(ROLES.flatMap((ours) => ROLES.map((theirs) => [ours, theirs] as const)))('[rule 169] we %s, they %s', (ours, theirs) => {
    const result = outcome(open({ capabilities: [role(theirs)] }), { role: ours })
    if (PAIRS.has(`${ours}-${theirs}`)) expect(result).toMatchObject({ role: theirs })
    else expect(result).toBe('2/11')
  })

  test('[rule 169] a role nobody has defined does not fit ours', () => {
    const undefinedRole: Capability = { kind: 'unknown', code: 9, value: bytesOf('05') }
    expect(outcome(open({ capabilities: [undefinedRole] }), { role: 'Peer' })).toBe('2/11')
    expect(outcome(open({ capabilities: [undefinedRole] }))).toMatchObject({ role: null })
  })

  test('[rule 170] several different roles are 2/11, several equal ones are one', () => {
    expect(outcome(open({ capabilities: [role('Customer'), role('Peer')] }), { role: 'Provider' })).toBe('2/11')
    expect(outcome(open({ capabilities: [role('Customer'), role('Peer')] }))).toBe('2/11')
    expect(outcome(open({ capabilities: [role('Customer'), role('Customer')] }), { role: 'Provider' })).toMatchObject({ role: 'Customer' })
  })

  test('[rule 170] none at all is fine, unless we insist', () => {
    expect(outcome(open(), { role: 'Provider' })).toMatchObject({ role: null })
    expect(outcome(open(), { role: 'Provider', strictRole: true })).toBe('2/11')
  })

  test('[rule 174] between internal peers they are not looked at', () => {
    expect(outcome(open({ capabilities: [role('Peer')] }), { localAsn: 65001, role: 'Provider' })).toMatchObject({ role: null })
  })
})

describe('capabilities', () => {
  test('[rule 29] a missing one is 2/7 with that capability as data, if we were told to require it', () => {
    const required: readonly Capability[] = [{ kind: 'multiprotocol', afi: 2, safi: 1 }, { kind: 'extendedMessage' }]
    const result = checkOpen(open({ capabilities: [{ kind: 'multiprotocol', afi: 1, safi: 1 }] }), { ...EXPECTED, required })
    if (result.ok) throw new Error('accepted')
    expect(result.error).toMatchObject({ code: 2, subcode: 7 })
    expect(hexOf(result.error.data)).toBe('010400020001' + '0600')
    expect(outcome(open({ capabilities: required }), { required })).toMatchObject({ peerAsn: 65001 })
    expect(outcome(open())).toMatchObject({ peerAsn: 65001 })
  })

  test('[rule 33] IPv4 unicast is implied only by an OPEN without any multiprotocol capability', () => {
    expect(familiesOfOpen(open())).toEqual(['IPv4Unicast'])
    expect(familiesOfOpen(open({ capabilities: [{ kind: 'routeRefresh' }] }))).toEqual(['IPv4Unicast'])
    expect(familiesOfOpen(open({ capabilities: [{ kind: 'multiprotocol', afi: 2, safi: 1 }] }))).toEqual(['IPv6Unicast'])
    expect(familiesOfOpen(open({ capabilities: [{ kind: 'multiprotocol', afi: 25, safi: 70 }] }))).toEqual([])
  })
})
