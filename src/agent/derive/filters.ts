// BGPFilter resources as the speaker's filters.
import type { CommunityValue, Filter, FilterOperation, FilterRule, PeerConfig } from '../../bgp/index.ts'
import { type Asn, asn, bitsOf, cidr, type IpFamily, prefixFamily } from '../../net/index.ts'
import { type BGPFilter, parseCommunityText, type Snapshot } from '../../store/index.ts'

type Rule = BGPFilter['spec']['exportV4'][number]

/** The filters these peers name, each under its name. */
export function deriveFilters(snapshot: Snapshot, peers: readonly PeerConfig[]): Readonly<Record<string, Filter>> {
  const names = [...new Set(peers.flatMap(({ filters }) => filters))].sort()
  return Object.fromEntries(
    names.map((name) => {
      const filter = snapshot.BGPFilter.get(name)
      return [name, filter === undefined ? rejectAll(name) : filterOf(filter)]
    }),
  )
}

/** Stands in for a filter that does not exist: an unknown policy never widens what is let through. */
function rejectAll(name: string): Filter {
  const nothing: FilterRule = {
    action: 'Reject',
    prefix: null,
    communities: null,
    asPathPrefix: null,
    asPathContains: null,
    source: null,
    peerType: null,
    operations: [],
  }
  return { name, import: { 4: [nothing], 6: [nothing] }, export: { 4: [nothing], 6: [nothing] } }
}

function filterOf({ metadata, spec }: BGPFilter): Filter {
  return {
    name: metadata.name,
    import: { 4: spec.importV4.map(ruleOf), 6: spec.importV6.map(ruleOf) },
    export: { 4: spec.exportV4.map(ruleOf), 6: spec.exportV6.map(ruleOf) },
  }
}

function ruleOf(rule: Rule): FilterRule {
  return {
    action: rule.action,
    prefix: prefixMatch(rule),
    communities: rule.communities?.values.map(communityValue) ?? null,
    asPathPrefix: rule.asPathPrefix?.map(asn) ?? null,
    asPathContains: rule.asPathContains === undefined ? null : asn(rule.asPathContains),
    source: rule.source ?? null,
    peerType: rule.peerType ?? null,
    operations: (rule.operations ?? []).flatMap(operationsOf),
  }
}

function prefixMatch({ cidr: text, matchOperator, prefixLength }: Rule): FilterRule['prefix'] {
  if (text === undefined || matchOperator === undefined) return null
  const of = cidr(text)
  const family: IpFamily = prefixFamily(of)
  return { cidr: of, operator: matchOperator, minLength: prefixLength?.min ?? of.length, maxLength: prefixLength?.max ?? bitsOf(family) }
}

function operationsOf(operation: NonNullable<Rule['operations']>[number]): readonly FilterOperation[] {
  const operations: FilterOperation[] = []
  const { addCommunity, removeCommunity, prependASPath, setLocalPreference, setMED, removeMED } = operation
  if (addCommunity !== undefined) operations.push({ kind: 'addCommunity', community: communityValue(addCommunity.value) })
  if (removeCommunity !== undefined) operations.push({ kind: 'removeCommunity', community: communityValue(removeCommunity.value) })
  if (prependASPath !== undefined) operations.push({ kind: 'prependAsPath', asns: prependASPath.prefix.map((value): Asn => asn(value)) })
  if (setLocalPreference !== undefined) operations.push({ kind: 'setLocalPreference', value: setLocalPreference.value })
  if (setMED !== undefined) operations.push({ kind: 'setMed', value: setMED.value })
  if (removeMED !== undefined) operations.push({ kind: 'setMed', value: null })
  return operations
}

/** Throws RangeError on text that the schema has not checked. */
export function communityValue(text: string): CommunityValue {
  const parsed = parseCommunityText(text)
  if (parsed === null) throw new RangeError(`not a community: ${text}`)
  return parsed
}
