// UPDATEs from hex and the contexts to decode them in: nothing here uses the encoder under test.
import type { PathAttributes } from '../../../src/bgp/attributes.ts'
import type { Family } from '../../../src/bgp/family.ts'
import {
  createDecodeContext,
  type DecodeContext,
  type DecodeOptions,
  decodeMessage,
  decodePrefixes,
  type EncodeContext,
  type Message,
  type MessageError,
  type NlriRun,
  preOpenContext,
  type UpdateMessage,
} from '../../../src/bgp/wire/index.ts'
import { formatPrefix } from '../../../src/net/index.ts'

export function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'))
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function u16Hex(value: number): string {
  return value.toString(16).padStart(4, '0')
}

function plain(hex: string): string {
  return hex.replaceAll(/\s/g, '')
}

/** A message of a type around a body in hex, its length right unless given. */
export function rawMessage(type: number, bodyHex: string, length?: number): Uint8Array {
  const body = plain(bodyHex)
  return bytesOf(`${'ff'.repeat(16)}${u16Hex(length ?? 19 + body.length / 2)}${type.toString(16).padStart(2, '0')}${body}`)
}

export type RawUpdate = { readonly withdrawn?: string; readonly attributes?: readonly string[]; readonly nlri?: string }

/** An UPDATE from the hex of its parts. */
export function rawUpdate({ withdrawn = '', attributes = [], nlri = '' }: RawUpdate): Uint8Array {
  const list = plain(attributes.join(''))
  const gone = plain(withdrawn)
  return rawMessage(2, `${u16Hex(gone.length / 2)}${gone}${u16Hex(list.length / 2)}${list}${nlri}`)
}

/** An attribute from flags, type and value; the extended length is used when the flags say so. */
export function attributeHex(flags: number, type: number, valueHex: string): string {
  const value = plain(valueHex)
  const octets = value.length / 2
  const length = (flags & 0x10) === 0 ? octets.toString(16).padStart(2, '0') : u16Hex(octets)
  return `${flags.toString(16).padStart(2, '0')}${type.toString(16).padStart(2, '0')}${length}${value}`
}

export const ORIGIN_IGP = '40 01 01 00'
/** AS_SEQUENCE 65001, four octets. */
export const PATH_65001 = '40 02 06 0201 0000fde9'
/** The same in two octets. */
export const PATH_65001_OLD = '40 02 04 0201 fde9'
export const NEXT_HOP = '40 03 04 c0000201'
export const LOCAL_PREF = '40 05 04 00000064'
/** 198.51.100.0/24 */
export const PREFIX = '18 c63364'
/** MP_REACH_NLRI for 2001:db8:1::/48 via 2001:db8::1. */
export const REACH_V6 = '80 0e 1c 0002 01 10 20010db8000000000000000000000001 00 30 20010db80001'

export const BOTH: ReadonlySet<Family> = new Set<Family>(['IPv4Unicast', 'IPv6Unicast'])
const NONE: ReadonlySet<Family> = new Set<Family>()

export function external(over: Partial<DecodeOptions> = {}): DecodeContext {
  return createDecodeContext({
    peerType: 'eBGP',
    localAsn: 65002,
    peerAsn: 65001,
    enforceFirstAs: true,
    fourOctetAs: true,
    extendedMessage: false,
    families: BOTH,
    addPathReceive: NONE,
    extendedNextHop: false,
    ...over,
  })
}

export function internal(over: Partial<DecodeOptions> = {}): DecodeContext {
  return external({ peerType: 'iBGP', localAsn: 65001, ...over })
}

export function sending(over: Partial<EncodeContext> = {}): EncodeContext {
  return { peerType: 'eBGP', fourOctetAs: true, extendedMessage: false, addPathSend: NONE, extendedNextHop: false, ...over }
}

/** Throws unless the message decodes. */
export function decoded(bytes: Uint8Array, context: DecodeContext = preOpenContext): Message {
  const result = decodeMessage(bytes, context)
  if (!result.ok) throw new Error(`does not decode: ${result.error.code}/${result.error.subcode} ${result.error.reason}`)
  return result.value
}

export function decodedUpdate(bytes: Uint8Array, context: DecodeContext = external()): UpdateMessage {
  const message = decoded(bytes, context)
  if (message.kind !== 'update') throw new Error(`not an UPDATE: ${message.kind}`)
  return message
}

/** Throws if the message decodes. */
export function errorOf(bytes: Uint8Array, context: DecodeContext = external()): MessageError {
  const result = decodeMessage(bytes, context)
  if (result.ok) throw new Error(`decodes: ${JSON.stringify(result.value, (_, value) => (typeof value === 'bigint' ? `${value}` : value))}`)
  return result.error
}

/** `3/5`, the way people name an error. */
export function codeOf(bytes: Uint8Array, context?: DecodeContext): string {
  const { code, subcode } = errorOf(bytes, context)
  return `${code}/${subcode}`
}

export function prefixesOf(runs: readonly NlriRun[]): readonly string[] {
  return runs.flatMap((run) =>
    decodePrefixes(run).map(({ prefix, pathId }) => `${formatPrefix(prefix)}${run.addPath ? ` #${pathId}` : ''}`),
  )
}

export function announcedBy(update: UpdateMessage): readonly string[] {
  return prefixesOf(update.announced.map(({ run }) => run))
}

export function withdrawnBy(update: UpdateMessage): readonly string[] {
  return prefixesOf(update.withdrawn)
}

/** The attributes of the only announced run. */
export function attributesIn(update: UpdateMessage): PathAttributes {
  const [first, ...rest] = update.announced
  if (first === undefined || rest.length > 0) throw new Error(`${update.announced.length} announced runs, not one`)
  return first.attributes
}

/** The mandatory attributes towards us, those of one type replaced. */
export function mandatory(peerType: 'eBGP' | 'iBGP', replacement: string | null = null): readonly string[] {
  const all = peerType === 'eBGP' ? [ORIGIN_IGP, PATH_65001, NEXT_HOP] : [ORIGIN_IGP, PATH_65001, NEXT_HOP, LOCAL_PREF]
  if (replacement === null) return all
  const type = plain(replacement).slice(2, 4)
  return [...all.filter((each) => plain(each).slice(2, 4) !== type), replacement]
}
