import { describe, expect, test } from '@jest/globals'
import { align4, eachAttribute, eachMessage, putHeader, readAnswer } from '../../src/sys/netlink-message.ts'

function bytesOf(hex: string): DataView {
  const bytes = Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
  return new DataView(bytes.buffer)
}

/** NLMSG_ERROR of Linux 6.18 for `ip route add 203.0.113.0/24 via 192.0.2.7`: -ENETUNREACH, capped, "Nexthop has invalid gateway". */
const REFUSED = bytesOf(
  '44000000 0200 0003 07000000 00000000' +
    '9bffffff' +
    '3c000000 1800 0506 07000000 00000000' +
    '2000 0100 4e657874686f702068617320696e76616c6964206761746577617900',
)

describe('the kernel answers', () => {
  test('a refusal carries errno and the words of the kernel', () => {
    const seen: unknown[] = []
    eachMessage(REFUSED, REFUSED.byteLength, (view, type, flags, from, to, sequence) =>
      seen.push([sequence, readAnswer(view, type, flags, from, to)]),
    )
    expect(seen).toEqual([[7, { errno: 101, text: 'Nexthop has invalid gateway' }]])
  })

  test('without the capped flag the whole request is echoed before the words', () => {
    const echoed = bytesOf(
      '4c000000 0200 0002 07000000 00000000' + 'eaffffff' + '14000000 1800 0506 07000000 00000000 deadbeef' + '0c00 0100 576f726473210000',
    )
    expect(readAnswer(echoed, 2, 0x200, 16, echoed.byteLength)).toEqual({ errno: 22, text: 'Words!' })
  })

  test('an acknowledgement is errno 0, and so is an answer too short to say anything', () => {
    expect(readAnswer(bytesOf('00000000'), 2, 0x100, 0, 4)).toEqual({ errno: 0, text: null })
    expect(readAnswer(bytesOf('ffff'), 2, 0, 0, 2)).toEqual({ errno: 0, text: null })
  })

  test('the end of a dump may carry an error and words of its own', () => {
    const done = bytesOf('feffffff' + '0a00 0100 6e6f70650000 0000')
    expect(readAnswer(done, 3, 0x200, 0, done.byteLength)).toEqual({ errno: 2, text: 'nope' })
  })
})

describe('walks end where lengths lie', () => {
  test('every cut and every length of a datagram', () => {
    for (let length = 0; length <= REFUSED.byteLength; length++) {
      for (let size = 0; size < 200; size++) {
        const view = new DataView(REFUSED.buffer.slice(0))
        view.setUint32(0, size, true)
        eachMessage(view, length, (inside, type, flags, from, to) => {
          expect(to).toBeLessThanOrEqual(length)
          readAnswer(inside, type, flags, from, to)
        })
      }
    }
  })

  test('attributes of length 0 to 3, or past the end, end the walk', () => {
    for (const size of [0, 1, 2, 3, 9, 0xffff]) {
      const view = bytesOf('0000 0100 00000000')
      view.setUint16(0, size, true)
      const seen: number[] = []
      eachAttribute(view, 0, 8, (type) => seen.push(type))
      expect(seen).toEqual([])
    }
  })

  test('the flags in the upper bits of an attribute type are not part of it', () => {
    const seen: number[] = []
    eachAttribute(bytesOf('0400 0980'), 0, 4, (type) => seen.push(type))
    expect(seen).toEqual([9])
  })
})

test('a header is read back as written', () => {
  const view = new DataView(new ArrayBuffer(16))
  putHeader(view, 0, 16, 24, 0x605, 0xffff_fffe)
  const seen: unknown[] = []
  eachMessage(view, 16, (_view, type, flags, from, to, sequence) => seen.push([type, flags, from, to, sequence]))
  expect(seen).toEqual([[24, 0x605, 16, 16, 0xffff_fffe]])
  expect([0, 1, 4, 5].map(align4)).toEqual([0, 4, 4, 8])
})
