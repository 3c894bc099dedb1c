// Golden packets: octets of real implementations and of the RFCs, with what they mean. Shared by the tests, the fuzzer's corpus
// and the recorder.
import fs from 'node:fs'
import path from 'node:path'
import type { PathAttributes } from '../../../src/bgp/attributes.ts'
import type { Family } from '../../../src/bgp/family.ts'
import {
  capabilityText,
  createDecodeContext,
  type DecodeContext,
  decodeMessage,
  decodePrefixes,
  encodeMessage,
  formatAsPath,
  formatCommunity,
  formatExtendedCommunity,
  formatLargeCommunity,
  type Message,
  type NlriRun,
  notificationText,
  type UpdateMessage,
} from '../../../src/bgp/wire/index.ts'
import { formatIp, formatPrefix, ipv4 } from '../../../src/net/index.ts'

export type GoldenContext = {
  readonly peerType: 'eBGP' | 'iBGP'
  readonly localAsn: number
  readonly peerAsn: number
  readonly fourOctetAs: boolean
  readonly extendedMessage: boolean
  readonly families: readonly Family[]
  readonly addPathReceive: readonly Family[]
  readonly extendedNextHop: boolean
}

/** What a daemon was told to announce: the facts that do not come from our decoder. */
export type GoldenAnnouncement = {
  readonly prefix: string
  readonly med?: number
  readonly localPref?: number
  readonly behind?: readonly number[]
  readonly communities?: readonly string[]
  readonly largeCommunities?: readonly string[]
  readonly extendedCommunities?: readonly string[]
}

/** `exact`: encoding what was decoded gives the same octets, not just the same meaning. */
export type GoldenMessage = { readonly hex: string; readonly exact: boolean; readonly text: readonly string[] }

export type GoldenSession = {
  readonly name: string
  readonly context: GoldenContext
  /** Absent where the packets were written by hand. */
  readonly announced?: readonly GoldenAnnouncement[]
  readonly messages: readonly GoldenMessage[]
}

export type GoldenFile = { readonly source: string; readonly sessions: readonly GoldenSession[] }

const FOLDER = path.resolve(import.meta.dirname, '../../fixtures/bgp')

/** Every fixture, by file name without its ending. Throws if there is none: a suite without fixtures proves nothing. */
export function goldenFiles(): readonly (readonly [string, GoldenFile])[] {
  const names = fs.readdirSync(FOLDER).filter((name) => name.endsWith('.json'))
  if (names.length === 0) throw new Error(`no fixtures in ${FOLDER}`)
  return names
    .sort()
    .map((name) => [name.slice(0, -'.json'.length), JSON.parse(fs.readFileSync(path.join(FOLDER, name), 'utf8')) as GoldenFile])
}

export function contextOf(golden: GoldenContext): DecodeContext {
  return createDecodeContext({
    ...golden,
    enforceFirstAs: true,
    families: new Set(golden.families),
    addPathReceive: new Set(golden.addPathReceive),
  })
}

export function octets(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'))
}

/** What we would send to mean the same. */
export function encodedAgain(message: Message, golden: GoldenContext): Uint8Array {
  return encodeMessage(message, { ...golden, addPathSend: new Set(golden.addPathReceive) })
}

export function isExact(bytes: Uint8Array, golden: GoldenContext): boolean {
  const result = decodeMessage(bytes, contextOf(golden))
  return result.ok && Buffer.from(encodedAgain(result.value, golden)).equals(bytes)
}

/** A message in lines for people to review. */
export function textOf(bytes: Uint8Array, golden: GoldenContext): readonly string[] {
  const result = decodeMessage(bytes, contextOf(golden))
  if (!result.ok) return [`error ${result.error.code}/${result.error.subcode}: ${result.error.reason}`]
  return linesOf(result.value)
}

function linesOf(message: Message): readonly string[] {
  switch (message.kind) {
    case 'open':
      return [
        `OPEN as ${message.myAs} hold ${message.holdTimeSeconds} id ${formatIp(ipv4(message.routerId))}`,
        ...message.capabilities.map(capabilityText),
      ]
    case 'update':
      return updateLines(message)
    case 'notification':
      return [`NOTIFICATION ${notificationText(message.code, message.subcode, message.data)}`]
    case 'keepalive':
      return ['KEEPALIVE']
    case 'routeRefresh':
      return [`ROUTE-REFRESH ${message.family} subtype ${message.subtype}`]
  }
}

function updateLines(update: UpdateMessage): readonly string[] {
  return [
    ...(update.endOfRib === null ? ['UPDATE'] : [`End-of-RIB ${update.endOfRib}`]),
    ...update.withdrawn.map((run) => `withdraws ${prefixText(run)}`),
    ...update.announced.flatMap(({ run, attributes }) => [`announces ${prefixText(run)}`, ...attributeLines(attributes)]),
    ...update.malformations.map(({ action, reason, hex }) => `${action}: ${reason}: ${hex}`),
  ]
}

function prefixText(run: NlriRun): string {
  return decodePrefixes(run)
    .map(({ prefix, pathId }) => `${formatPrefix(prefix)}${run.addPath ? ` path ${pathId}` : ''}`)
    .join(', ')
}

function attributeLines(attributes: PathAttributes): readonly string[] {
  const { nextHop, aggregator } = attributes
  const lines: readonly (readonly [string, string | number | null])[] = [
    ['ORIGIN', attributes.origin],
    ['AS_PATH', formatAsPath(attributes.asPath)],
    [
      'next hop',
      nextHop === null ? null : [nextHop.address, ...(nextHop.linkLocal === null ? [] : [nextHop.linkLocal])].map(formatIp).join(' '),
    ],
    ['MED', attributes.med],
    ['LOCAL_PREF', attributes.localPref],
    ['ATOMIC_AGGREGATE', attributes.atomicAggregate ? 'yes' : null],
    ['AGGREGATOR', aggregator === null ? null : `${aggregator.asn} ${formatIp(aggregator.address)}`],
    ['communities', listed(attributes.communities.map(formatCommunity))],
    ['ORIGINATOR_ID', attributes.originatorId === null ? null : formatIp(ipv4(attributes.originatorId))],
    ['CLUSTER_LIST', listed(attributes.clusterList.map((id) => formatIp(ipv4(id))))],
    ['extended communities', listed(attributes.extendedCommunities.map(formatExtendedCommunity))],
    ['IPv6 extended communities', listed(attributes.ipv6ExtendedCommunities)],
    ['large communities', listed(attributes.largeCommunities.map(formatLargeCommunity))],
    ['OTC', attributes.onlyToCustomer],
    ...attributes.unknown.map(
      ({ type, flags, value }) => [`attribute ${type} flags ${flags}`, Buffer.from(value).toString('hex')] as const,
    ),
  ]
  return lines.filter(([, value]) => value !== null).map(([name, value]) => `  ${name} ${value}`)
}

function listed(items: readonly string[]): string | null {
  return items.length === 0 ? null : items.join(' ')
}
