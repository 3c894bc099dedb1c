// OPEN (RFC 4271 §4.2, §6.2; RFC 5492; RFC 9072). `decodeOpen` judges what is wrong with any OPEN, `checkOpen` what is wrong
// with this one for the peer it came from.
import { BGP_VERSION, HEADER_LENGTH, MAX_MESSAGE_LENGTH, MESSAGE_TYPE, OPEN_ERROR, OPTIONAL_PARAMETER } from '../iana.ts'
import { decodeCapabilities, encodeCapability } from './capability.ts'
import { DecodeError, malformedOpen, openError } from './error.ts'
import type { Capability, OpenMessage } from './message.ts'
import { u16, u32 } from './octets.ts'
import { OctetWriter } from './writer.ts'

const OPTIONAL_LENGTH_AT = 28
const PARAMETERS_AT = 29

/** Throws DecodeError 2/x. */
export function decodeOpen(bytes: Uint8Array): OpenMessage {
  const version = bytes[HEADER_LENGTH] ?? 0
  if (version !== BGP_VERSION) {
    // The data is the highest version we do support (RFC 4271 §6.2).
    const data = Uint8Array.of(0, BGP_VERSION)
    throw new DecodeError(openError(OPEN_ERROR.UNSUPPORTED_VERSION, `peer speaks BGP version ${version}, we speak version 4`, data))
  }
  const capabilities: Capability[] = []
  decodeParameters(bytes, capabilities)
  return { kind: 'open', myAs: u16(bytes, 20), holdTimeSeconds: u16(bytes, 22), routerId: u32(bytes, 24), capabilities }
}

function decodeParameters(bytes: Uint8Array, capabilities: Capability[]): void {
  const length = bytes[OPTIONAL_LENGTH_AT] ?? 0
  // RFC 9072 §2: a first parameter of type 255 marks the extended form, whatever the one-octet length says, unless that is 0.
  const isExtended = length !== 0 && bytes.length > PARAMETERS_AT && bytes[PARAMETERS_AT] === OPTIONAL_PARAMETER.EXTENDED_LENGTH
  if (isExtended && bytes.length < PARAMETERS_AT + 3) throw malformedOpen('ends inside the extended length of the optional parameters')
  let at = isExtended ? PARAMETERS_AT + 3 : PARAMETERS_AT
  const end = at + (isExtended ? u16(bytes, PARAMETERS_AT + 1) : length)
  if (end !== bytes.length) throw malformedOpen(`optional parameters end at octet ${end} of a message of ${bytes.length}`)
  const header = isExtended ? 3 : 2
  while (at < end) {
    if (end - at < header) throw malformedOpen('optional parameters end inside a parameter header')
    const type = bytes[at] ?? 0
    const value = at + header
    const next = value + (isExtended ? u16(bytes, at + 1) : (bytes[at + 1] ?? 0))
    if (next > end) throw malformedOpen(`optional parameter ${type} runs past the end of the message`)
    if (type !== OPTIONAL_PARAMETER.CAPABILITIES)
      throw new DecodeError(openError(OPEN_ERROR.UNSUPPORTED_OPTIONAL_PARAMETER, `optional parameter ${type} is not supported`))
    decodeCapabilities(bytes.subarray(value, next), capabilities)
    at = next
  }
}

/** A whole OPEN. All capabilities share one parameter; over 255 octets it takes the form of RFC 9072. Throws RangeError over 4096. */
export function encodeOpen(open: OpenMessage): Uint8Array {
  const values = new OctetWriter()
  for (const capability of open.capabilities) values.bytes(encodeCapability(capability))
  const capabilities = values.finish()
  const parameters = new OctetWriter()
  if (capabilities.length > 253) {
    parameters
      .u8(255)
      .u8(OPTIONAL_PARAMETER.EXTENDED_LENGTH)
      .u16(capabilities.length + 3)
    parameters.u8(OPTIONAL_PARAMETER.CAPABILITIES).u16(capabilities.length)
  } else if (capabilities.length > 0) {
    parameters
      .u8(capabilities.length + 2)
      .u8(OPTIONAL_PARAMETER.CAPABILITIES)
      .u8(capabilities.length)
  } else parameters.u8(0)
  const length = OPTIONAL_LENGTH_AT + parameters.length + capabilities.length
  if (length > MAX_MESSAGE_LENGTH) throw new RangeError(`OPEN of ${length} octets exceeds 4096`)
  const out = messageHeader(MESSAGE_TYPE.OPEN, length)
  out.u8(BGP_VERSION).u16(open.myAs).u16(open.holdTimeSeconds).u32(open.routerId)
  return out.bytes(parameters.finish()).bytes(capabilities).finish()
}

/** A writer that holds the 19 octets of a header (RFC 4271 §4.1). */
export function messageHeader(type: number, length: number): OctetWriter {
  const out = new OctetWriter()
  for (let at = 0; at < 4; at++) out.u32(0xffff_ffff)
  return out.u16(length).u8(type)
}
