// Import and export filters (the BGPFilter resource): ordered rules over a prefix and its path attributes. Accept and Reject
// are final; no match falls through to the next filter and at last to the default policy.
import type { Asn, IpFamily, Prefix } from '../net/index.ts'
import type { Community, LargeCommunity } from './attributes.ts'

/** A standard, extended or large community as a filter names it. */
export type CommunityValue =
  | { readonly kind: 'standard'; readonly value: Community }
  | { readonly kind: 'extended'; readonly value: bigint }
  | { readonly kind: 'large'; readonly value: LargeCommunity }

export type PrefixMatch = {
  readonly cidr: Prefix
  /** In: `cidr` or more specific, within the length bounds. */
  readonly operator: 'Equal' | 'NotEqual' | 'In' | 'NotIn'
  readonly minLength: number
  readonly maxLength: number
}

export type FilterOperation =
  | { readonly kind: 'addCommunity'; readonly community: CommunityValue }
  | { readonly kind: 'removeCommunity'; readonly community: CommunityValue }
  | { readonly kind: 'prependAsPath'; readonly asns: readonly Asn[] }
  | { readonly kind: 'setLocalPreference'; readonly value: number }
  | { readonly kind: 'setMed'; readonly value: number | null }

/** Every condition that is not null must hold. */
export type FilterRule = {
  readonly action: 'Accept' | 'Reject'
  readonly prefix: PrefixMatch | null
  /** The path carries at least one of these; null: not looked at. */
  readonly communities: readonly CommunityValue[] | null
  /** AS_PATH begins with this sequence. */
  readonly asPathPrefix: readonly Asn[] | null
  /** AS_PATH contains this ASN anywhere. */
  readonly asPathContains: Asn | null
  /** Where the path came from: learned from a peer, or originated here. */
  readonly source: 'RemotePeers' | 'Local' | null
  /** Apply only on sessions of this kind. */
  readonly peerType: 'eBGP' | 'iBGP' | null
  /** Applied in order when the rule accepts. */
  readonly operations: readonly FilterOperation[]
}

export type Filter = {
  readonly name: string
  readonly import: Readonly<Record<IpFamily, readonly FilterRule[]>>
  readonly export: Readonly<Record<IpFamily, readonly FilterRule[]>>
}
