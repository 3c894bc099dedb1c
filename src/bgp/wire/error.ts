// Message errors: what was wrong, and the NOTIFICATION that says so (RFC 4271 §6). `DecodeError` carries one out of a decoder;
// only `decodeMessage` catches it.
import { ERROR, HEADER_ERROR, HEADER_LENGTH, MAX_MESSAGE_LENGTH, OPEN_ERROR, UPDATE_ERROR } from '../iana.ts'
import type { MessageError } from './message.ts'

/** A NOTIFICATION is at most 4096 octets long: 19 of header, code, subcode, then the data. */
export const MAX_NOTIFICATION_DATA = MAX_MESSAGE_LENGTH - HEADER_LENGTH - 2

const NO_DATA = new Uint8Array(0)

/** Private to the codec: thrown by decoders of rare messages, caught by `decodeMessage`. */
export class DecodeError extends Error {
  readonly error: MessageError
  constructor(error: MessageError) {
    super(error.reason)
    this.name = 'DecodeError'
    this.error = error
  }
}

/** An error whose data is a copy of `data`, cut to what a NOTIFICATION can carry. */
export function messageError(code: number, subcode: number, reason: string, data: Uint8Array = NO_DATA): MessageError {
  return { code, subcode, data: data.length === 0 ? NO_DATA : Uint8Array.from(data.subarray(0, MAX_NOTIFICATION_DATA)), reason }
}

export function openError(subcode: number, reason: string, data?: Uint8Array): MessageError {
  return messageError(ERROR.OPEN, subcode, reason, data)
}

export function updateError(subcode: number, reason: string, data?: Uint8Array): MessageError {
  return messageError(ERROR.UPDATE, subcode, reason, data)
}

/** RFC 4271 §6.1: the data is the erroneous Length field. */
export function badLength(length: number, reason: string): MessageError {
  return messageError(ERROR.HEADER, HEADER_ERROR.BAD_LENGTH, reason, Uint8Array.of(length >> 8, length & 255))
}

export function malformedOpen(reason: string): DecodeError {
  return new DecodeError(openError(OPEN_ERROR.UNSPECIFIC, reason))
}

export function malformedAttributeList(reason: string): MessageError {
  return updateError(UPDATE_ERROR.MALFORMED_ATTRIBUTE_LIST, reason)
}

const SHOWN_OCTETS = 64

/** Hex of `bytes[start, end)`, cut to a printable length. */
export function hexOf(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  let text = ''
  const stop = Math.min(end, start + SHOWN_OCTETS)
  for (let at = start; at < stop; at++) text += (bytes[at] ?? 0).toString(16).padStart(2, '0')
  return stop < end ? `${text}… (${end - start} octets)` : text
}
