// What passes between the plugin's process and the agent, simple enough for a C program without a JSON parser (pure).
//
//   request:  4 octets, big-endian: how many octets follow; then the CNI_* variables as KEY=VALUE, each ended by a NUL; one more
//             NUL; then standard input as it came
//   response: 1 octet, the exit status; then what to print on standard output: nothing, or a line. The stream ends behind it; a line
//             without its feed was cut short
//
// The plugin keeps its end open until it has the answer: an end means that its process is gone, and what it asked for is given up.
import { err, ok, type Result } from '../lib/result.ts'
import type { CniReply } from './error.ts'

/** One execution of the plugin: its environment (CNI_* only) and its standard input. */
export type CniInvocation = { readonly variables: ReadonlyMap<string, string>; readonly stdin: Uint8Array }

/** Octets that a request may have behind its length. */
export const MAX_REQUEST_BYTES = 1024 * 1024
const MAX_VARIABLES = 64
const LENGTH_BYTES = 4
const decoder = new TextDecoder()
const encoder = new TextEncoder()

/** The request for an invocation. Throws RangeError if it is larger than an agent accepts. */
export function encodeRequest({ variables, stdin }: CniInvocation): Uint8Array {
  const head = encoder.encode(`${[...variables].map(([name, value]) => `${name}=${value}\0`).join('')}\0`)
  const length = head.length + stdin.length
  if (length > MAX_REQUEST_BYTES) throw new RangeError(`larger than ${MAX_REQUEST_BYTES} octets`)
  const frame = new Uint8Array(LENGTH_BYTES + length)
  new DataView(frame.buffer).setUint32(0, length)
  frame.set(head, LENGTH_BYTES)
  frame.set(stdin, LENGTH_BYTES + head.length)
  return frame
}

/** Octets of the whole request, length included; null: fewer than 4 octets so far; an error in words if it cannot be one. */
export function requestLength(received: Uint8Array): Result<number | null, string> {
  if (received.length < LENGTH_BYTES) return ok(null)
  const length = new DataView(received.buffer, received.byteOffset, LENGTH_BYTES).getUint32(0)
  if (length === 0 || length > MAX_REQUEST_BYTES) return err(`a request of ${length} octets (1 to ${MAX_REQUEST_BYTES} are accepted)`)
  return ok(LENGTH_BYTES + length)
}

/** Reads a whole request, as long as `requestLength` said. */
export function decodeRequest(frame: Uint8Array): Result<CniInvocation, string> {
  const variables = new Map<string, string>()
  for (let at = LENGTH_BYTES; ; ) {
    const end = frame.indexOf(0, at)
    if (end < 0) return err('the list of variables has no end')
    if (end === at) return ok({ variables, stdin: frame.subarray(end + 1) })
    const text = decoder.decode(frame.subarray(at, end))
    const equals = text.indexOf('=')
    if (equals <= 0 || !text.startsWith('CNI_')) return err('a variable is not CNI_NAME=VALUE')
    if (variables.size === MAX_VARIABLES) return err(`more than ${MAX_VARIABLES} variables`)
    variables.set(text.slice(0, equals), text.slice(equals + 1))
    at = end + 1
  }
}

/** Throws RangeError if what is to be printed is not one line: the plugin would cut it short. */
export function encodeResponse({ exitStatus, stdout }: CniReply): Uint8Array {
  if (stdout !== '' && stdout.indexOf('\n') !== stdout.length - 1) throw new RangeError('what a plugin prints must be one line')
  return encoder.encode(String.fromCharCode(exitStatus) + stdout)
}

/** Null if the response was cut short: the agent ended while it answered. */
export function decodeResponse(response: Uint8Array): CniReply | null {
  const stdout = decoder.decode(response.subarray(1))
  if (response.length === 0 || (stdout !== '' && !stdout.endsWith('\n'))) return null
  return { exitStatus: response[0] === 0 ? 0 : 1, stdout }
}
