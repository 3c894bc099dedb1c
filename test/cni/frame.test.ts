import { describe, expect, test } from '@jest/globals'
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse, MAX_REQUEST_BYTES, requestLength } from '../../src/cni/frame.ts'

const octets = (text: string): Uint8Array => new TextEncoder().encode(text)

test('a request is its length, the variables, an empty one, and standard input', () => {
  const frame = encodeRequest({
    variables: new Map([
      ['CNI_COMMAND', 'ADD'],
      ['CNI_ARGS', 'a=b'],
    ]),
    stdin: octets('{}'),
  })
  expect(Buffer.from(frame).toString('latin1')).toBe(
    '\0\0\0\x26CNI_COMMAND=ADD\0CNI_ARGS=a=b\0\0{}'.replace('\x26', String.fromCharCode(frame.length - 4)),
  )
  expect(requestLength(frame)).toEqual({ ok: true, value: frame.length })
  const decoded = decodeRequest(frame)
  if (!decoded.ok) throw new Error(decoded.error)
  expect([...decoded.value.variables]).toEqual([
    ['CNI_COMMAND', 'ADD'],
    ['CNI_ARGS', 'a=b'],
  ])
  expect(Buffer.from(decoded.value.stdin).toString()).toBe('{}')
})

test('no variables and no input are a request', () => {
  const decoded = decodeRequest(encodeRequest({ variables: new Map(), stdin: octets('') }))
  expect(decoded).toMatchObject({ ok: true })
})

test.each([0, MAX_REQUEST_BYTES + 1, 0xffff_ffff])('a length of %i is refused before anything is buffered', (length) => {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(length)
  expect(requestLength(head).ok).toBe(false)
})

test('fewer than four octets say nothing yet', () => {
  for (let length = 0; length < 4; length++) expect(requestLength(new Uint8Array(length))).toEqual({ ok: true, value: null })
})

test.each([
  'CNI_A=1',
  'CNI_A=1\0',
  'PATH=/bin\0\0',
  '=x\0\0',
  'CNI_A\0\0',
  `${Array.from({ length: 65 }, (_, at) => `CNI_${at}=1\0`).join('')}\0`,
])('variables %j are refused', (text) => {
  expect(decodeRequest(octets(`\0\0\0\x01${text}`)).ok).toBe(false)
})

test('a request larger than an agent accepts cannot be made', () => {
  expect(() => encodeRequest({ variables: new Map(), stdin: new Uint8Array(MAX_REQUEST_BYTES) })).toThrow(RangeError)
})

describe('response', () => {
  test.each([
    { exitStatus: 0, stdout: '' },
    { exitStatus: 0, stdout: '{"ä":1}\n' },
    { exitStatus: 1, stdout: '{}\n' },
  ] as const)('%j there and back', (reply) => {
    expect(decodeResponse(encodeResponse(reply))).toEqual(reply)
  })

  test.each(['{}', '{\n}\n', '\n{}'])('%j is not one line', (stdout) => {
    expect(() => encodeResponse({ exitStatus: 0, stdout })).toThrow(RangeError)
  })

  test('one that was cut short at any octet is seen to be, but for the exit status alone', () => {
    const whole = encodeResponse({ exitStatus: 0, stdout: '{"cniVersion":"1.1.0"}\n' })
    for (let length = 0; length < whole.length; length++) {
      if (length === 1) continue
      expect(decodeResponse(whole.subarray(0, length))).toBeNull()
    }
  })
})
