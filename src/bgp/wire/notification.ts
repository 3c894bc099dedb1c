// NOTIFICATION (RFC 4271 §4.5) and what its data can carry: a message for people (RFC 9003), the limit that was exceeded
// (RFC 4486 §4), another NOTIFICATION (RFC 8538 §3).
import { AFI, type Family, familyFromCodes, SAFI_UNICAST } from '../family.ts'
import { CEASE, ERROR, HEADER_LENGTH, MESSAGE_TYPE } from '../iana.ts'
import { MAX_NOTIFICATION_DATA } from './error.ts'
import type { NotificationMessage } from './message.ts'
import { copyOf, u16, u32 } from './octets.ts'
import { messageHeader } from './open.ts'
import { OctetWriter } from './writer.ts'

const MAX_SHUTDOWN_OCTETS = 255 // RFC 9003 §2; RFC 8203 had 128

/** Any code is accepted: the session ends whatever it says. The data is a copy. */
export function decodeNotification(bytes: Uint8Array): NotificationMessage {
  return {
    kind: 'notification',
    code: bytes[HEADER_LENGTH] ?? 0,
    subcode: bytes[HEADER_LENGTH + 1] ?? 0,
    data: copyOf(bytes, HEADER_LENGTH + 2, bytes.length),
  }
}

/** A whole NOTIFICATION; data that does not fit 4096 octets is cut. */
export function encodeNotification({ code, subcode, data }: Pick<NotificationMessage, 'code' | 'subcode' | 'data'>): Uint8Array {
  const sent = data.subarray(0, MAX_NOTIFICATION_DATA)
  return messageHeader(MESSAGE_TYPE.NOTIFICATION, HEADER_LENGTH + 2 + sent.length)
    .u8(code)
    .u8(subcode)
    .bytes(sent)
    .finish()
}

/** Data of Cease 6/2 and 6/4: the text as UTF-8 behind its length, cut to 255 octets between characters (RFC 9003 §2). Empty text: no data. */
export function encodeShutdownMessage(text: string): Uint8Array {
  if (text === '') return new Uint8Array(0)
  const encoded = new TextEncoder().encode(text)
  let length = Math.min(encoded.length, MAX_SHUTDOWN_OCTETS)
  while (length > 0 && ((encoded[length] ?? 0) & 0xc0) === 0x80) length--
  return new OctetWriter().u8(length).bytes(encoded.subarray(0, length)).finish()
}

/** The text of Cease 6/2 and 6/4, or null if there is none or it is not what RFC 9003 says. Not escaped. */
export function decodeShutdownMessage(data: Uint8Array): string | null {
  const length = data[0] ?? 0
  if (length === 0 || data.length < 1 + length) return null
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data.subarray(1, 1 + length))
  } catch {
    return null // not UTF-8
  }
}

/** Data of Cease 6/1 (RFC 4486 §4). */
export function encodeMaxPrefixData(family: Family, bound: number): Uint8Array {
  return new OctetWriter().u16(AFI[family]).u8(SAFI_UNICAST).u32(bound).finish()
}

/** The family (null: not one of ours) and bound in the data of Cease 6/1, or null if there is none. */
export function decodeMaxPrefixData(data: Uint8Array): { readonly family: Family | null; readonly bound: number } | null {
  if (data.length !== 7) return null
  return { family: familyFromCodes(u16(data, 0), data[2] ?? 0), bound: u32(data, 3) }
}

type NotificationContent = { readonly code: number; readonly subcode: number; readonly data: Uint8Array }

/** A hard reset: Cease 6/9 around the NOTIFICATION that would have been sent (RFC 8538 §3.1). */
export function wrapHardReset({ code, subcode, data }: NotificationContent): NotificationMessage {
  return {
    kind: 'notification',
    code: ERROR.CEASE,
    subcode: CEASE.HARD_RESET,
    data: new OctetWriter().u8(code).u8(subcode).bytes(data).finish().subarray(0, MAX_NOTIFICATION_DATA),
  }
}

/** What a hard reset carries, or null if it is not one or carries nothing. */
export function unwrapHardReset({ code, subcode, data }: NotificationContent): NotificationContent | null {
  if (code !== ERROR.CEASE || subcode !== CEASE.HARD_RESET || data.length < 2) return null
  return { code: data[0] ?? 0, subcode: data[1] ?? 0, data: data.subarray(2) }
}
