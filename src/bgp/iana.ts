// Every BGP code point this speaker knows, with the RFC that assigned it. Numbers appear nowhere else.

/** Message types (RFC 4271 §4.1; ROUTE-REFRESH: RFC 2918). */
export const MESSAGE_TYPE = { OPEN: 1, UPDATE: 2, NOTIFICATION: 3, KEEPALIVE: 4, ROUTE_REFRESH: 5 } as const

export const BGP_VERSION = 4 // RFC 4271 §4.2
export const HEADER_LENGTH = 19 // RFC 4271 §4.1
export const MARKER_LENGTH = 16
export const MAX_MESSAGE_LENGTH = 4096 // RFC 4271 §4.1
export const MAX_EXTENDED_MESSAGE_LENGTH = 65_535 // RFC 8654 §3

/** Optional parameters of OPEN. Type 1 (authentication) is gone (RFC 4271 appendix A). */
export const OPTIONAL_PARAMETER = {
  CAPABILITIES: 2, // RFC 5492 §4
  EXTENDED_LENGTH: 255, // RFC 9072 §2
} as const

/** Capability codes. */
export const CAPABILITY = {
  MULTIPROTOCOL: 1, // RFC 4760 §8
  ROUTE_REFRESH: 2, // RFC 2918 §2
  OUTBOUND_ROUTE_FILTERING: 3, // RFC 5291 §5
  EXTENDED_NEXT_HOP: 5, // RFC 8950 §4
  EXTENDED_MESSAGE: 6, // RFC 8654 §2
  BGPSEC: 7, // RFC 8205 §2.1
  MULTIPLE_LABELS: 8, // RFC 8277 §2.1
  ROLE: 9, // RFC 9234 §4.1
  GRACEFUL_RESTART: 64, // RFC 4724 §3
  FOUR_OCTET_AS: 65, // RFC 6793 §3
  DYNAMIC: 67, // draft-ietf-idr-dynamic-cap
  MULTISESSION: 68, // draft-ietf-idr-bgp-multisession
  ADD_PATH: 69, // RFC 7911 §4
  ENHANCED_ROUTE_REFRESH: 70, // RFC 7313 §3.1
  LONG_LIVED_GRACEFUL_RESTART: 71, // RFC 9494 §3.1
  FQDN: 73, // draft-walton-bgp-hostname-capability
  BFD_STRICT: 74, // draft-ietf-idr-bgp-bfd-strict-mode
  SOFTWARE_VERSION: 75, // draft-ietf-idr-bgp-software-version
  PATHS_LIMIT: 76, // draft-abraitis-idr-addpath-paths-limit
  LINK_LOCAL_NEXT_HOP: 77, // draft-ietf-idr-linklocal-capability
  ROUTE_REFRESH_CISCO: 128, // before RFC 2918
} as const

/** BGP roles (RFC 9234 §4.1). */
export const ROLE = { Provider: 0, RouteServer: 1, RouteServerClient: 2, Customer: 3, Peer: 4 } as const

/** Path attribute type codes. */
export const ATTRIBUTE = {
  ORIGIN: 1, // RFC 4271 §5.1.1
  AS_PATH: 2, // RFC 4271 §5.1.2
  NEXT_HOP: 3, // RFC 4271 §5.1.3
  MULTI_EXIT_DISC: 4, // RFC 4271 §5.1.4
  LOCAL_PREF: 5, // RFC 4271 §5.1.5
  ATOMIC_AGGREGATE: 6, // RFC 4271 §5.1.6
  AGGREGATOR: 7, // RFC 4271 §5.1.7
  COMMUNITIES: 8, // RFC 1997
  ORIGINATOR_ID: 9, // RFC 4456 §8
  CLUSTER_LIST: 10, // RFC 4456 §8
  MP_REACH_NLRI: 14, // RFC 4760 §3
  MP_UNREACH_NLRI: 15, // RFC 4760 §4
  EXTENDED_COMMUNITIES: 16, // RFC 4360 §2
  AS4_PATH: 17, // RFC 6793 §3
  AS4_AGGREGATOR: 18, // RFC 6793 §3
  PMSI_TUNNEL: 22, // RFC 6514 §5
  TUNNEL_ENCAPSULATION: 23, // RFC 9012 §2
  IPV6_EXTENDED_COMMUNITIES: 25, // RFC 5701 §2
  AIGP: 26, // RFC 7311 §3
  ENTROPY_LABEL_DEPRECATED: 28, // RFC 6790, deprecated by RFC 7447
  BGP_LS: 29, // RFC 9552 §5.3
  LARGE_COMMUNITY: 32, // RFC 8092 §3
  ONLY_TO_CUSTOMER: 35, // RFC 9234 §5
  PREFIX_SID: 40, // RFC 8669 §3
  ATTR_SET: 128, // RFC 6368 §5
} as const

/** Attribute flags (RFC 4271 §4.3). The low four bits are sent as zero and ignored on receipt. */
export const ATTRIBUTE_FLAG = { OPTIONAL: 0x80, TRANSITIVE: 0x40, PARTIAL: 0x20, EXTENDED_LENGTH: 0x10 } as const

/** ORIGIN values (RFC 4271 §4.3). */
export const ORIGIN = { igp: 0, egp: 1, incomplete: 2 } as const

/** AS_PATH segment types (RFC 4271 §4.3; confederations: RFC 5065 §3). */
export const SEGMENT = { set: 1, sequence: 2, confedSequence: 3, confedSet: 4 } as const

/** NOTIFICATION error codes. */
export const ERROR = {
  HEADER: 1, // RFC 4271 §6.1
  OPEN: 2, // RFC 4271 §6.2
  UPDATE: 3, // RFC 4271 §6.3
  HOLD_TIMER_EXPIRED: 4, // RFC 4271 §6.5
  FSM: 5, // RFC 4271 §6.6, RFC 6608
  CEASE: 6, // RFC 4271 §6.7, RFC 4486
  ROUTE_REFRESH: 7, // RFC 7313 §5
  SEND_HOLD_TIMER_EXPIRED: 8, // RFC 9687 §3.4
} as const

/** Subcodes of message header errors (RFC 4271 §6.1). */
export const HEADER_ERROR = { NOT_SYNCHRONIZED: 1, BAD_LENGTH: 2, BAD_TYPE: 3 } as const

/** Subcodes of OPEN errors. */
export const OPEN_ERROR = {
  UNSPECIFIC: 0, // RFC 4271 §6.2
  UNSUPPORTED_VERSION: 1,
  BAD_PEER_AS: 2,
  BAD_BGP_IDENTIFIER: 3,
  UNSUPPORTED_OPTIONAL_PARAMETER: 4,
  UNACCEPTABLE_HOLD_TIME: 6,
  UNSUPPORTED_CAPABILITY: 7, // RFC 5492 §5
  ROLE_MISMATCH: 11, // RFC 9234 §4.2
} as const

/** Subcodes of UPDATE errors (RFC 4271 §6.3). */
export const UPDATE_ERROR = {
  MALFORMED_ATTRIBUTE_LIST: 1,
  UNRECOGNIZED_WELL_KNOWN: 2,
  MISSING_WELL_KNOWN: 3,
  ATTRIBUTE_FLAGS: 4,
  ATTRIBUTE_LENGTH: 5,
  INVALID_ORIGIN: 6,
  INVALID_NEXT_HOP: 8,
  OPTIONAL_ATTRIBUTE: 9,
  INVALID_NETWORK: 10,
  MALFORMED_AS_PATH: 11,
} as const

/** Subcodes of FSM errors (RFC 6608 §3). */
export const FSM_ERROR = { UNSPECIFIC: 0, OPEN_SENT: 1, OPEN_CONFIRM: 2, ESTABLISHED: 3 } as const

/** Subcodes of Cease (RFC 4486 §3; 9: RFC 8538 §3; 10: RFC 9384 §3). */
export const CEASE = {
  MAX_PREFIXES: 1,
  ADMIN_SHUTDOWN: 2,
  PEER_DECONFIGURED: 3,
  ADMIN_RESET: 4,
  CONNECTION_REJECTED: 5,
  CONFIGURATION_CHANGE: 6,
  COLLISION: 7,
  OUT_OF_RESOURCES: 8,
  HARD_RESET: 9,
  BFD_DOWN: 10,
} as const

/** Subcodes of ROUTE-REFRESH errors (RFC 7313 §5). */
export const ROUTE_REFRESH_ERROR = { INVALID_LENGTH: 1 } as const

/** Extended community types, without the high bits (RFC 4360 §3, RFC 5668); 0x40 makes one non-transitive. */
export const EXTENDED_COMMUNITY = {
  TWO_OCTET_AS: 0x00,
  IPV4: 0x01,
  FOUR_OCTET_AS: 0x02, // RFC 5668
  NON_TRANSITIVE: 0x40,
  ROUTE_TARGET: 0x02, // subtype
  ROUTE_ORIGIN: 0x03, // subtype
  LINK_BANDWIDTH: 0x04, // subtype of 0x40, draft-ietf-idr-link-bandwidth
} as const

/** LOCAL_PREF when nothing else says otherwise; the value every implementation shares. */
export const DEFAULT_LOCAL_PREF = 100

/** Graceful restart capability flags (RFC 4724 §3, RFC 8538 §2). */
export const GRACEFUL_RESTART_FLAG = { RESTARTING: 0x8, NOTIFICATION: 0x4, FORWARDING_PRESERVED: 0x80 } as const
