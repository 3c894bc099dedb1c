import { describe, expect, test } from '@jest/globals'
import { type MessageError, MessageFramer } from '../../../src/bgp/wire/index.ts'
import { bytesOf, codeOf, hexOf, PREFIX, rawMessage, rawUpdate } from './build.ts'

const KEEPALIVE = rawMessage(4, '')
const UPDATE = rawUpdate({ withdrawn: PREFIX })
const NOTIFICATION = rawMessage(3, '0602')

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]))
}

/** What comes out when `stream` arrives in pieces of these sizes, and the error if there is one. */
function framed(
  pieces: readonly Uint8Array[],
  framer = new MessageFramer(),
): { readonly messages: readonly string[]; readonly error: MessageError | null } {
  const messages: string[] = []
  for (const piece of pieces) {
    const error = framer.push(piece, (bytes) => void messages.push(hexOf(bytes)))
    if (error !== null) return { messages, error }
  }
  return { messages, error: null }
}

function failure(header: Uint8Array, extended = false): string {
  const framer = new MessageFramer()
  framer.setExtendedMessage(extended)
  const { error } = framed([header], framer)
  return error === null ? 'accepted' : `${error.code}/${error.subcode} ${hexOf(error.data)}`.trim()
}

describe('splitting a stream into messages', () => {
  const parts = [KEEPALIVE, UPDATE, NOTIFICATION, KEEPALIVE, UPDATE]
  const stream = joined(...parts)
  const expected = parts.map(hexOf)

  test('[rule 1] every way of cutting the stream in two yields the same messages', () => {
    for (let at = 0; at <= stream.length; at++) {
      expect(framed([stream.subarray(0, at), stream.subarray(at)])).toEqual({ messages: expected, error: null })
    }
  })

  test('[rule 1] pieces of any one size yield the same messages', () => {
    for (let size = 1; size <= stream.length; size++) {
      const pieces = Array.from({ length: Math.ceil(stream.length / size) }, (_, index) =>
        stream.subarray(index * size, (index + 1) * size),
      )
      expect(framed(pieces)).toEqual({ messages: expected, error: null })
    }
  })

  test('a whole message in a chunk is a view of the chunk, and never a Node Buffer', () => {
    const chunk = Buffer.from(stream)
    const seen: Uint8Array[] = []
    new MessageFramer().push(chunk, (bytes) => void seen.push(bytes))
    expect(seen.map(({ buffer }) => buffer === chunk.buffer)).toEqual([true, true, true, true, true])
    expect(seen.map((each) => each.constructor)).toEqual(seen.map(() => Uint8Array))
    expect(seen.map(hexOf)).toEqual(expected)
  })

  test('the handler can stop: nothing more is delivered, from this chunk or a later one', () => {
    const framer = new MessageFramer()
    const seen: string[] = []
    const onMessage = (bytes: Uint8Array): void => {
      seen.push(hexOf(bytes))
      if (seen.length === 2) framer.stop()
    }
    expect(framer.push(stream, onMessage)).toBeNull()
    expect(framer.push(stream, onMessage)).toBeNull()
    expect(seen).toEqual(expected.slice(0, 2))
  })

  test('the handler can stop at a message that arrived in pieces', () => {
    const framer = new MessageFramer()
    let seen = 0
    const onMessage = (): void => {
      seen++
      framer.stop()
    }
    framer.push(stream.subarray(0, 10), onMessage)
    framer.push(stream.subarray(10), onMessage)
    expect(seen).toBe(1)
  })

  test('messages before an error are delivered, those after it are not', () => {
    const framer = new MessageFramer()
    const bad = rawMessage(9, '')
    const { messages, error } = framed([joined(KEEPALIVE, bad, KEEPALIVE)], framer)
    expect(messages).toEqual([hexOf(KEEPALIVE)])
    expect(error).toMatchObject({ code: 1, subcode: 3 })
    expect(framed([KEEPALIVE], framer)).toEqual({ messages: [], error: null })
  })
})

describe('judging a header', () => {
  test.each([0, 7, 15])('[rule 2] a marker with octet %i not all ones is 1/1, in an OPEN too', (at) => {
    for (const type of [1, 4]) {
      const message = rawMessage(type, type === 1 ? `04 fde9 005a 0a000001 00` : '')
      message[at] = 0xfe
      expect(failure(message)).toBe('1/1')
    }
  })

  test('[rule 3] a length under 19 is 1/2 with the two length octets', () => {
    for (const length of [0, 1, 18]) expect(failure(rawMessage(4, '', length))).toBe(`1/2 ${length.toString(16).padStart(4, '0')}`)
  })

  test('[rule 4] over 4096 octets is 1/2, unless extended messages were negotiated: then up to 65535 is fine', () => {
    expect(failure(rawMessage(2, '', 4096))).toBe('accepted')
    expect(failure(rawMessage(2, '', 4097))).toBe('1/2 1001')
    expect(failure(rawMessage(2, '', 4097), true)).toBe('accepted')
    expect(failure(rawMessage(2, '', 65_535), true)).toBe('accepted')
  })

  test('[rule 8] the limit changes for the next message of the same chunk when the handler says so', () => {
    const framer = new MessageFramer()
    const large = rawMessage(2, `0000 ${'0fff'} ${'00'.repeat(4096)}`)
    const seen: number[] = []
    const error = framer.push(joined(KEEPALIVE, large), (bytes) => {
      seen.push(bytes.length)
      framer.setExtendedMessage(true)
    })
    expect(error).toBeNull()
    expect(seen).toEqual([19, large.length])
  })

  test('[rule 5] OPEN stays under 4096 octets and KEEPALIVE at 19, even with extended messages', () => {
    expect(failure(rawMessage(1, '', 4096), true)).toBe('accepted')
    expect(failure(rawMessage(1, '', 4097), true)).toBe('1/2 1001')
    expect(failure(rawMessage(4, '', 20), true)).toBe('1/2 0014')
  })

  test.each([
    ['OPEN', 1, 29],
    ['UPDATE', 2, 23],
    ['NOTIFICATION', 3, 21],
    ['ROUTE-REFRESH', 5, 23],
  ])('[rule 6] %s (type %i) has at least %i octets', (_name, type, least) => {
    expect(failure(rawMessage(type, '', least - 1))).toBe(`1/2 00${(least - 1).toString(16)}`)
    expect(failure(rawMessage(type, '', least))).toBe('accepted')
  })

  test('[rule 6] KEEPALIVE has exactly 19 octets', () => {
    expect(failure(rawMessage(4, '', 19))).toBe('accepted')
    expect(failure(rawMessage(4, '00'))).toBe('1/2 0014')
  })

  test('[rule 7] an unknown type is 1/3 with the type octet', () => {
    for (const type of [0, 6, 128, 255]) expect(failure(rawMessage(type, ''))).toBe(`1/3 ${type.toString(16).padStart(2, '0')}`)
  })

  test('[rule 10] a lying length is refused from the header alone, before one octet of the body is there', () => {
    const header = rawMessage(2, '', 60_000).subarray(0, 19)
    expect(framed([header.subarray(0, 18)])).toEqual({ messages: [], error: null })
    expect(framed([header.subarray(0, 18), header.subarray(18)]).error).toMatchObject({ code: 1, subcode: 2 })
  })

  test('octets behind the end, or missing before it, are a bad length to the decoder', () => {
    expect(codeOf(Uint8Array.from([...KEEPALIVE, 0]))).toBe('1/2')
    expect(codeOf(UPDATE.subarray(0, UPDATE.length - 1))).toBe('1/2')
    expect(codeOf(KEEPALIVE.subarray(0, 18))).toBe('1/2')
  })

  test('an error found in a header that came in pieces is the same error', () => {
    const header = bytesOf(`${'ff'.repeat(16)}0012 04`)
    for (let at = 1; at < header.length; at++) {
      expect(framed([header.subarray(0, at), header.subarray(at)]).error).toMatchObject({ code: 1, subcode: 2, data: bytesOf('0012') })
    }
  })
})
