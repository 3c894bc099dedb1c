// Messages that a speaker must survive, and what RFC 4271 and RFC 7606 make of each: the list of attributes and the incidents of the
// field. Octets only; nothing here shares code with the codec under test.
import * as bgp from './bgp-bytes.ts'

/** What an eBGP session with 4-octet ASNs must do with an UPDATE for a prefix it already holds. */
export type Verdict = 'accepted' | 'withdrawn'

/** An UPDATE after which the session must still be up. */
export type SurvivableUpdate = {
  readonly name: string
  readonly verdict: Verdict
  /** Builds the message for a peer of an AS, with a next hop of its own, announcing `prefix`. */
  readonly build: (peer: MalformedPeer, prefix: string) => Buffer
}
export type MalformedPeer = { readonly asn: number; readonly address: string }

/** Octets after which the session must be closed with this NOTIFICATION. */
export type FatalMessage = {
  readonly name: string
  /** null: it may also be closed without a word. */
  readonly notification: readonly [number, number]
  readonly build: (peer: MalformedPeer) => Buffer
  /** When it is sent. Default: Established. */
  readonly in?: 'OpenSent' | 'OpenConfirm'
}

const { attribute, hex, u16, u32 } = bgp

/** An UPDATE with good mandatory attributes and one more. */
function withAttribute(name: string, verdict: Verdict, extra: Buffer): SurvivableUpdate {
  return { name, verdict, build: (peer, prefix) => announcement(peer, prefix, [...mandatory(peer), extra]) }
}

/** An UPDATE whose mandatory attributes are replaced. */
function withAttributes(name: string, verdict: Verdict, attributes: (peer: MalformedPeer) => readonly Buffer[]): SurvivableUpdate {
  return { name, verdict, build: (peer, prefix) => announcement(peer, prefix, attributes(peer)) }
}

function mandatory({ asn, address }: MalformedPeer): readonly Buffer[] {
  return [bgp.ORIGIN_IGP, bgp.asPath(asn), bgp.nextHop(address)]
}

function announcement(_peer: MalformedPeer, prefix: string, attributes: readonly Buffer[]): Buffer {
  return bgp.update({ attributes, announced: [prefix] })
}

/** A good announcement. */
export function goodUpdate(peer: MalformedPeer, prefix: string): Buffer {
  return announcement(peer, prefix, mandatory(peer))
}

function withOrigin(name: string, verdict: Verdict, origin: Buffer): SurvivableUpdate {
  return withAttributes(name, verdict, ({ asn, address }) => [origin, bgp.asPath(asn), bgp.nextHop(address)])
}

function withAsPath(name: string, verdict: Verdict, path: (asn: number) => Buffer): SurvivableUpdate {
  return withAttributes(name, verdict, ({ asn, address }) => [bgp.ORIGIN_IGP, path(asn), bgp.nextHop(address)])
}

function segment(type: number, asns: readonly number[], count = asns.length): Buffer {
  return Buffer.concat([Buffer.of(type, count), ...asns.map(u32)])
}

const LONG_PATH = (asn: number): Buffer => {
  const full = Array.from({ length: 255 }, () => 64_999)
  return attribute(0x50, 2, Buffer.concat([segment(2, [asn, ...full.slice(1)]), segment(2, full), segment(2, full)]))
}

export const SURVIVABLE: readonly SurvivableUpdate[] = [
  withOrigin('ORIGIN of two octets', 'withdrawn', attribute(0x40, 1, hex('0000'))),
  withOrigin('ORIGIN 3', 'withdrawn', attribute(0x40, 1, hex('03'))),
  withOrigin('ORIGIN marked optional', 'withdrawn', attribute(0xc0, 1, hex('00'))),
  withOrigin('ORIGIN without the transitive bit (GoBGP #3392)', 'withdrawn', attribute(0x00, 1, hex('00'))),
  withOrigin('ORIGIN with the reserved flag bits set (OpenBGPD 2012)', 'accepted', attribute(0x4f, 1, hex('00'))),
  withOrigin('ORIGIN with an extended length', 'accepted', attribute(0x50, 1, hex('00'))),
  withAttributes('ORIGIN twice', 'accepted', (peer) => [...mandatory(peer), attribute(0x40, 1, hex('02'))]),
  withAttributes('no ORIGIN', 'withdrawn', (peer) => mandatory(peer).slice(1)),
  withAttributes('no NEXT_HOP', 'withdrawn', (peer) => mandatory(peer).slice(0, 2)),
  withAttributes('no attribute at all (CVE-2023-41358)', 'withdrawn', () => []),
  withAsPath('AS_PATH with an unknown segment type', 'withdrawn', (asn) => attribute(0x40, 2, segment(9, [asn]))),
  withAsPath('AS_PATH with an empty segment', 'withdrawn', (asn) => attribute(0x40, 2, Buffer.concat([segment(2, [asn]), segment(2, [])]))),
  withAsPath('AS_PATH segment that runs over its end', 'withdrawn', (asn) => attribute(0x40, 2, segment(2, [asn], 3))),
  withAsPath('AS_PATH with AS 0 (RFC 7607)', 'withdrawn', (asn) => bgp.asPath(asn, 0)),
  withAsPath('AS_PATH with a confederation segment', 'withdrawn', (asn) => attribute(0x40, 2, segment(3, [asn]))),
  withAsPath('AS_PATH that does not begin with the peer', 'withdrawn', () => bgp.asPath(64_998)),
  withAsPath('AS_PATH of 765 ASNs (SuproNet 2009)', 'accepted', LONG_PATH),
  withAttributes('NEXT_HOP of three octets', 'withdrawn', ({ asn }) => [
    bgp.ORIGIN_IGP,
    bgp.asPath(asn),
    attribute(0x40, 3, hex('0a0000')),
  ]),
  withAttribute('MED of three octets', 'withdrawn', attribute(0x80, 4, hex('000001'))),
  withAttribute('LOCAL_PREF of three octets from eBGP: discarded unread', 'accepted', attribute(0x40, 5, hex('000001'))),
  withAttribute('ATOMIC_AGGREGATE of one octet', 'accepted', attribute(0x40, 6, hex('00'))),
  withAttribute('AGGREGATOR of six octets', 'accepted', attribute(0xc0, 7, hex('fde8 0a000002'))),
  withAttribute('COMMUNITIES of no octet', 'withdrawn', attribute(0xc0, 8, hex(''))),
  withAttribute('COMMUNITIES of three octets', 'withdrawn', attribute(0xc0, 8, hex('fde800'))),
  withAttribute('ORIGINATOR_ID of three octets from eBGP', 'accepted', attribute(0x80, 9, hex('0a0000'))),
  withAttribute('CLUSTER_LIST of five octets from eBGP', 'accepted', attribute(0x80, 10, hex('0a00000200'))),
  withAttribute('EXTENDED_COMMUNITIES of seven octets', 'withdrawn', attribute(0xc0, 16, hex('00020001000000'))),
  withAttribute('AS4_PATH with a confederation segment (Juniper 2009)', 'accepted', hex('c01106 0301 0000fde8')),
  withAttribute('AS4_AGGREGATOR of six octets', 'accepted', attribute(0xc0, 18, hex('fde80a000002'))),
  withAttribute('TUNNEL_ENCAP full of nonsense (CVE-2023-38802)', 'accepted', attribute(0xc0, 23, hex('ffffffff00'))),
  withAttribute('IPv6 extended community of nineteen octets', 'withdrawn', attribute(0xc0, 25, Buffer.alloc(19))),
  withAttribute('AIGP with a TLV of length 0 (CVE-2023-41359)', 'accepted', attribute(0x80, 26, hex('010000'))),
  withAttribute('attribute 28, deprecated, damaged (2023)', 'accepted', hex('e01c05 deadbeef00')),
  withAttribute('attribute 28 without a value (2023)', 'accepted', hex('e01c00')),
  withAttribute('LARGE_COMMUNITY of eleven octets', 'withdrawn', attribute(0xc0, 32, Buffer.alloc(11))),
  withAttribute('OTC of three octets', 'withdrawn', attribute(0xc0, 35, Buffer.alloc(3))),
  withAttribute('Prefix-SID of zeros (2025)', 'accepted', hex('c02807 00000000000000')),
  withAttribute('attribute 99 of 3000 octets (RIPE and Duke 2010)', 'accepted', attribute(0xd0, 99, Buffer.alloc(3000, 0xab))),
  withAttribute('attribute 255 (DISCO 2019)', 'accepted', hex('c0ff04 deadbeef')),
  withAttribute('unknown optional non-transitive attribute', 'accepted', attribute(0x80, 210, hex('00'))),
  withAttribute('MP_REACH_NLRI of a family that was not negotiated', 'accepted', attribute(0x80, 14, hex('4004 48 04 0a000002 00 0102'))),
  {
    name: 'attribute that runs over the end of the attributes',
    verdict: 'withdrawn',
    build: (peer, prefix) => announcement(peer, prefix, [...mandatory(peer), hex('c00810 fde80001')]),
  },
  {
    name: 'one octet behind the last attribute',
    verdict: 'withdrawn',
    build: (peer, prefix) => announcement(peer, prefix, [...mandatory(peer), hex('c0')]),
  },
]

/** One UPDATE by its fields, with the lengths given. */
function rawUpdate(withdrawnLength: number, withdrawn: Buffer, attributesLength: number, attributes: Buffer, nlri: Buffer): Buffer {
  return bgp.message(2, Buffer.concat([u16(withdrawnLength), withdrawn, u16(attributesLength), attributes, nlri]))
}

const NONE = Buffer.alloc(0)
const MP_REACH = attribute(0x80, 14, hex('0002 01 10 fd00000000000000 0000000000000002 00 30 20010db80009'))

function openWith(name: string, notification: readonly [number, number], build: (peer: MalformedPeer) => Buffer): FatalMessage {
  return { name, notification, build, in: 'OpenSent' }
}

const openOf = (asn: number, change: Partial<bgp.RawOpen> = {}): Buffer =>
  bgp.open({ asn, holdTimeSeconds: 30, routerId: '10.0.0.99', ...change })

export const FATAL: readonly FatalMessage[] = [
  { name: 'marker that is not all ones', notification: [1, 1], build: () => Buffer.concat([Buffer.alloc(16, 0xfe), hex('001304')]) },
  { name: 'length 18', notification: [1, 2], build: () => bgp.message(4, NONE, 18) },
  { name: 'KEEPALIVE of 5000 octets', notification: [1, 2], build: () => bgp.message(4, Buffer.alloc(4), 5_000) },
  { name: 'type 9', notification: [1, 3], build: () => bgp.message(9, NONE) },
  { name: 'KEEPALIVE of twenty octets', notification: [1, 2], build: () => bgp.message(4, Buffer.alloc(1)) },
  { name: 'UPDATE of twenty-two octets', notification: [1, 2], build: () => bgp.message(2, Buffer.alloc(3)) },
  { name: 'withdrawn routes longer than the message', notification: [3, 1], build: () => rawUpdate(500, NONE, 0, NONE, NONE) },
  { name: 'attributes longer than the message', notification: [3, 1], build: () => rawUpdate(0, NONE, 500, NONE, NONE) },
  {
    name: 'prefix of 33 bits',
    notification: [3, 10],
    build: (peer) => {
      const attributes = Buffer.concat(mandatory(peer))
      return rawUpdate(0, NONE, attributes.length, attributes, hex('21 c633640000'))
    },
  },
  {
    name: 'prefix that is cut off',
    notification: [3, 10],
    build: (peer) => {
      const attributes = Buffer.concat(mandatory(peer))
      return rawUpdate(0, NONE, attributes.length, attributes, hex('18 c633'))
    },
  },
  { name: 'withdrawn prefix of 200 bits', notification: [3, 10], build: () => rawUpdate(2, hex('c8 c6'), 0, NONE, NONE) },
  {
    name: 'MP_REACH_NLRI with a next hop of three octets',
    notification: [3, 9],
    build: (peer) =>
      bgp.update({ attributes: [...mandatory(peer).slice(0, 2), attribute(0x80, 14, hex('0002 01 03 fd0000 00 30 20010db80009'))] }),
  },
  {
    name: 'MP_REACH_NLRI twice',
    notification: [3, 1],
    build: (peer) => bgp.update({ attributes: [...mandatory(peer).slice(0, 2), MP_REACH, MP_REACH] }),
  },
  {
    name: 'unknown well-known attribute',
    notification: [3, 2],
    build: (peer) => bgp.update({ attributes: [...mandatory(peer), attribute(0x40, 200, hex('00'))], announced: ['198.51.100.0/24'] }),
  },
  { name: 'OPEN in Established', notification: [5, 3], build: ({ asn }) => openOf(asn) },
  { name: 'an HTTP request', notification: [1, 1], build: () => Buffer.from('GET / HTTP/1.1\r\nHost: example\r\n\r\n') },
  openWith('version 3', [2, 1], ({ asn }) => openOf(asn, { version: 3 })),
  openWith('another AS', [2, 2], () => openOf(64_997)),
  openWith('AS 0', [2, 2], () => openOf(0)),
  openWith('BGP Identifier 0', [2, 3], ({ asn }) => openOf(asn, { routerId: '0.0.0.0' })),
  openWith('hold time 1', [2, 6], ({ asn }) => openOf(asn, { holdTimeSeconds: 1 })),
  openWith('optional parameter of type 1', [2, 4], ({ asn }) =>
    bgp.message(1, Buffer.concat([Buffer.of(4), u16(asn), u16(30), hex('0a000063 04 0102 0000')])),
  ),
  openWith('optional parameters that run over their end', [2, 0], ({ asn }) =>
    bgp.message(1, Buffer.concat([Buffer.of(4), u16(asn), u16(30), hex('0a000063 04 02ff 0000')])),
  ),
  openWith('UPDATE before OPEN', [5, 1], (peer) => goodUpdate(peer, '198.51.100.0/24')),
  { name: 'UPDATE in OpenConfirm', notification: [5, 2], build: (peer) => goodUpdate(peer, '198.51.100.0/24'), in: 'OpenConfirm' },
]
