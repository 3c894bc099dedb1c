// Path attributes, one row each: flags, what RFC 7606 makes of a damaged one, and both directions of its value. A new attribute
// is a new row, a field in `PathAttributes` and a code point. MP_REACH_NLRI and MP_UNREACH_NLRI are in update.ts: their
// contents are NLRI, not attributes.
import { asn, ipToBytes, ipv4, isIpv4 } from '../../net/index.ts'
import { community, type LargeCommunity, type Origin, type RouterId } from '../attributes.ts'
import { ATTRIBUTE, DEFAULT_LOCAL_PREF, ORIGIN, UPDATE_ERROR } from '../iana.ts'
import { decodeAsPath, encodeAsPath, isConfederation, needsAs4Path } from './as-path.ts'
import {
  type AttributeCodec,
  aggregatorAt,
  aggregatorValue,
  byParts,
  byValue,
  canonical,
  hex,
  isNonTransitive,
  isPrefixSid,
  isTlvList,
  items,
  lengthFault,
  OPTIONAL,
  OPTIONAL_TRANSITIVE,
  octetsOfHex,
  optionalFault,
  WELL_KNOWN,
  word,
  words,
} from './attribute.ts'
import { copyOf, u32 } from './octets.ts'

const ORIGINS: readonly Origin[] = ['igp', 'egp', 'incomplete']

/** In ascending order of type, the order in which they are sent (RFC 4271 §5). */
export const ATTRIBUTE_CODECS: readonly AttributeCodec[] = [
  {
    type: ATTRIBUTE.ORIGIN,
    name: 'ORIGIN',
    flags: WELL_KNOWN,
    whenMalformed: 'treatAsWithdraw',
    decode(value, draft) {
      if (value.length !== 1) return lengthFault(value, '1')
      const found = ORIGINS[value[0] ?? 0]
      if (found === undefined) return { subcode: UPDATE_ERROR.INVALID_ORIGIN, reason: `value ${value[0]} is not 0, 1 or 2` }
      draft.origin = found
      return null
    },
    encode: ({ origin }) => Uint8Array.of(ORIGIN[origin]),
  },
  {
    type: ATTRIBUTE.AS_PATH,
    name: 'AS_PATH',
    flags: WELL_KNOWN,
    whenMalformed: 'treatAsWithdraw',
    decode(value, draft, { fourOctetAs }) {
      const path = decodeAsPath(value, fourOctetAs ? 4 : 2)
      if (!path.ok) return { subcode: UPDATE_ERROR.MALFORMED_AS_PATH, reason: path.reason }
      // RFC 5065 §5: from a peer that is not in our confederation; we are in none.
      if (path.segments.some(isConfederation)) return { subcode: UPDATE_ERROR.MALFORMED_AS_PATH, reason: 'confederation segment' }
      draft.asPath = path.segments
      return null
    },
    encode: ({ asPath }, { fourOctetAs }) => encodeAsPath(asPath, fourOctetAs ? 4 : 2),
  },
  {
    type: ATTRIBUTE.NEXT_HOP,
    name: 'NEXT_HOP',
    flags: WELL_KNOWN,
    whenMalformed: 'treatAsWithdraw',
    decode(value, draft) {
      if (value.length !== 4) return lengthFault(value, '4')
      draft.nextHop = ipv4(u32(value, 0))
      return null
    },
    encode: ({ nextHop }, _context, family) =>
      family === 'IPv4Unicast' && nextHop !== null && isIpv4(nextHop.address) ? ipToBytes(nextHop.address) : null,
  },
  {
    type: ATTRIBUTE.MULTI_EXIT_DISC,
    name: 'MULTI_EXIT_DISC',
    flags: OPTIONAL,
    whenMalformed: 'treatAsWithdraw',
    decode(value, draft) {
      if (value.length !== 4) return lengthFault(value, '4')
      draft.med = u32(value, 0)
      return null
    },
    encode: ({ med }) => (med === null ? null : word(med)),
  },
  {
    type: ATTRIBUTE.LOCAL_PREF,
    name: 'LOCAL_PREF',
    flags: WELL_KNOWN,
    whenMalformed: 'treatAsWithdraw',
    internalOnly: true,
    decode(value, draft) {
      if (value.length !== 4) return lengthFault(value, '4')
      draft.localPref = u32(value, 0)
      return null
    },
    encode: ({ localPref }) => word(localPref ?? DEFAULT_LOCAL_PREF), // on every internal UPDATE (RFC 4271 §5.1.5)
  },
  {
    type: ATTRIBUTE.ATOMIC_AGGREGATE,
    name: 'ATOMIC_AGGREGATE',
    flags: WELL_KNOWN,
    whenMalformed: 'attributeDiscard',
    decode(value, draft) {
      if (value.length !== 0) return lengthFault(value, '0')
      draft.atomicAggregate = true
      return null
    },
    encode: ({ atomicAggregate }) => (atomicAggregate ? new Uint8Array(0) : null),
  },
  {
    type: ATTRIBUTE.AGGREGATOR,
    name: 'AGGREGATOR',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'attributeDiscard',
    decode(value, draft, { fourOctetAs }) {
      const octets = fourOctetAs ? 8 : 6
      if (value.length !== octets) return lengthFault(value, String(octets))
      const found = aggregatorAt(value, fourOctetAs ? 4 : 2)
      if (found === null) return optionalFault('AS 0') // RFC 7607 §2
      draft.aggregator = found
      return null
    },
    encode: ({ aggregator }, { fourOctetAs }) => (aggregator === null ? null : aggregatorValue(aggregator, fourOctetAs ? 4 : 2)),
  },
  {
    type: ATTRIBUTE.COMMUNITIES,
    name: 'COMMUNITIES',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treatAsWithdraw',
    decode(value, draft) {
      const found = items(value, 4, (at) => community(u32(value, at)))
      if (found === null) return lengthFault(value, 'a positive multiple of 4')
      draft.communities = canonical(found, byValue)
      return null
    },
    encode: ({ communities }) => words(canonical(communities, byValue)),
  },
  {
    type: ATTRIBUTE.ORIGINATOR_ID,
    name: 'ORIGINATOR_ID',
    flags: OPTIONAL,
    whenMalformed: 'treatAsWithdraw',
    internalOnly: true,
    decode(value, draft) {
      if (value.length !== 4) return lengthFault(value, '4')
      draft.originatorId = u32(value, 0) as RouterId // zero is as opaque as any other value here
      return null
    },
    encode: ({ originatorId }) => (originatorId === null ? null : word(originatorId)),
  },
  {
    type: ATTRIBUTE.CLUSTER_LIST,
    name: 'CLUSTER_LIST',
    flags: OPTIONAL,
    whenMalformed: 'treatAsWithdraw',
    internalOnly: true,
    decode(value, draft) {
      const found = items(value, 4, (at) => u32(value, at) as RouterId)
      if (found === null) return lengthFault(value, 'a positive multiple of 4')
      draft.clusterList = found
      return null
    },
    encode: ({ clusterList }) => words(clusterList),
  },
  {
    type: ATTRIBUTE.EXTENDED_COMMUNITIES,
    name: 'EXTENDED_COMMUNITIES',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treatAsWithdraw',
    decode(value, draft) {
      const found = items(value, 8, (at) => (BigInt(u32(value, at)) << 32n) | BigInt(u32(value, at + 4)))
      if (found === null) return lengthFault(value, 'a positive multiple of 8')
      draft.extendedCommunities = canonical(found, byValue)
      return null
    },
    encode({ extendedCommunities }, { peerType }) {
      if (extendedCommunities.length === 0) return null
      // RFC 4360 §6: non-transitive ones end at the border of the AS.
      const sent = extendedCommunities.filter((value) => peerType === 'iBGP' || !isNonTransitive(value))
      return words(canonical(sent, byValue).flatMap((value) => [Number(value >> 32n), Number(value & 0xffff_ffffn)]))
    },
  },
  {
    type: ATTRIBUTE.AS4_PATH,
    name: 'AS4_PATH',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'attributeDiscard', // RFC 6793 §6
    decode(value, draft, { fourOctetAs }) {
      if (fourOctetAs) return optionalFault('sent by a peer that has four-octet AS numbers (RFC 6793 §4.1)')
      const path = decodeAsPath(value, 4)
      if (!path.ok) return optionalFault(path.reason)
      const plain = path.segments.filter((segment) => !isConfederation(segment))
      draft.as4Path = plain
      return plain.length === path.segments.length ? null : optionalFault('confederation segments, which were taken out (RFC 6793 §6)')
    },
    encode: ({ asPath }, { fourOctetAs }) =>
      fourOctetAs || !needsAs4Path(asPath)
        ? null
        : encodeAsPath(
            asPath.filter((segment) => !isConfederation(segment)),
            4,
          ),
  },
  {
    type: ATTRIBUTE.AS4_AGGREGATOR,
    name: 'AS4_AGGREGATOR',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'attributeDiscard',
    decode(value, draft, { fourOctetAs }) {
      if (fourOctetAs) return optionalFault('sent by a peer that has four-octet AS numbers (RFC 6793 §4.1)')
      if (value.length !== 8) return lengthFault(value, '8')
      const found = aggregatorAt(value, 4)
      if (found === null) return optionalFault('AS 0') // RFC 7607 §2
      draft.as4Aggregator = found
      return null
    },
    encode: ({ aggregator }, { fourOctetAs }) =>
      fourOctetAs || aggregator === null || aggregator.asn <= 0xffff ? null : aggregatorValue(aggregator, 4),
  },
  {
    type: ATTRIBUTE.IPV6_EXTENDED_COMMUNITIES,
    name: 'IPV6_EXTENDED_COMMUNITIES',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treatAsWithdraw',
    decode(value, draft) {
      const found = items(value, 20, (at) => hex(value.subarray(at, at + 20)))
      if (found === null) return lengthFault(value, 'a positive multiple of 20')
      draft.ipv6ExtendedCommunities = canonical(found, byValue)
      return null
    },
    encode({ ipv6ExtendedCommunities }, { peerType }) {
      if (ipv6ExtendedCommunities.length === 0) return null
      const sent = ipv6ExtendedCommunities.filter((value) => peerType === 'iBGP' || (Number.parseInt(value.slice(0, 2), 16) & 0x40) === 0)
      return sent.length === 0 ? null : Uint8Array.from(canonical(sent, byValue).flatMap(octetsOfHex))
    },
  },
  {
    type: ATTRIBUTE.AIGP,
    name: 'AIGP',
    flags: OPTIONAL,
    whenMalformed: 'attributeDiscard',
    // Not enabled on any session: as if unrecognized, and non-transitive, so it ends here (RFC 7311 §3.1, §3.3).
    decode: (value) => (isTlvList(value, 3) ? null : optionalFault('malformed TLV')),
    encode: () => null,
  },
  {
    type: ATTRIBUTE.BGP_LS,
    name: 'BGP_LS',
    flags: OPTIONAL,
    whenMalformed: 'attributeDiscard',
    decode: () => null, // of a family we do not carry: ends here
    encode: () => null,
  },
  {
    type: ATTRIBUTE.LARGE_COMMUNITY,
    name: 'LARGE_COMMUNITY',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treatAsWithdraw',
    decode(value, draft) {
      const found = items(value, 12, (at): LargeCommunity => [u32(value, at), u32(value, at + 4), u32(value, at + 8)])
      if (found === null) return lengthFault(value, 'a positive multiple of 12')
      draft.largeCommunities = canonical(found, byParts)
      return null
    },
    encode: ({ largeCommunities }) => (largeCommunities.length === 0 ? null : words(canonical(largeCommunities, byParts).flat())),
  },
  {
    type: ATTRIBUTE.ONLY_TO_CUSTOMER,
    name: 'ONLY_TO_CUSTOMER',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treatAsWithdraw',
    decode(value, draft) {
      if (value.length !== 4) return lengthFault(value, '4')
      const number = u32(value, 0)
      if (number === 0) return optionalFault('AS 0')
      draft.onlyToCustomer = asn(number)
      return null
    },
    encode: ({ onlyToCustomer }) => (onlyToCustomer === null ? null : word(onlyToCustomer)),
  },
  {
    type: ATTRIBUTE.PREFIX_SID,
    name: 'PREFIX_SID',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'attributeDiscard', // RFC 8669 §6: damage must not be passed on to those who would reset over it
    decode(value, draft, _context, flags) {
      if (!isPrefixSid(value)) return optionalFault('malformed TLV')
      draft.unknown = [...draft.unknown, { type: ATTRIBUTE.PREFIX_SID, flags, value: copyOf(value, 0, value.length) }]
      return null
    },
    encode: () => null, // carried among the unknown
  },
]
