// Framing common to every netlink protocol (RFC 3549 §2.3, linux/netlink.h): headers, attributes, and the kernel's answers with
// the words it may add (extended acknowledgement). Pure. Integers are in host order: little-endian on every machine supported.

export const NLMSG_HEADER_LENGTH = 16
export const NLMSG_ERROR = 2
export const NLMSG_DONE = 3

export const NLM_F_REQUEST = 0x1
export const NLM_F_ACK = 0x4
export const NLM_F_DUMP_INTR = 0x10
/** The three meanings of 0x300 and up depend on the kind of request: dump for GET, the others for NEW. */
export const NLM_F_DUMP = 0x300
export const NLM_F_REPLACE = 0x100
export const NLM_F_EXCL = 0x200
export const NLM_F_CREATE = 0x400
export const NLM_F_APPEND = 0x800
const NLM_F_CAPPED = 0x100
const NLM_F_ACK_TLVS = 0x200
const NLMSGERR_ATTR_MSG = 1

/** One message inside a datagram: its payload is `view` from `from` to `to`. Valid only during the call that hands it over. */
export type MessageVisitor = (view: DataView, type: number, flags: number, from: number, to: number) => void

/** What the kernel answered: errno (0: done as asked) and the words it gave, if any. */
export type NetlinkAnswer = { readonly errno: number; readonly text: string | null }

/** Rounds up to the alignment of messages and attributes. */
export function align4(length: number): number {
  return (length + 3) & ~3
}

/** Writes a message header; `length` counts the header. */
export function putHeader(view: DataView, at: number, length: number, type: number, flags: number, sequence: number): void {
  view.setUint32(at, length, true)
  view.setUint16(at + 4, type, true)
  view.setUint16(at + 6, flags, true)
  view.setUint32(at + 8, sequence, true)
  view.setUint32(at + 12, 0, true)
}

/** Walks the messages of one datagram; a malformed length ends the walk. `visit` gets the sequence number as its last argument. */
export function eachMessage(view: DataView, length: number, visit: (...args: [...Parameters<MessageVisitor>, number]) => void): void {
  let at = 0
  while (at + NLMSG_HEADER_LENGTH <= length) {
    const size = view.getUint32(at, true)
    if (size < NLMSG_HEADER_LENGTH || at + size > length) return
    visit(
      view,
      view.getUint16(at + 4, true),
      view.getUint16(at + 6, true),
      at + NLMSG_HEADER_LENGTH,
      at + size,
      view.getUint32(at + 8, true),
    )
    at += align4(size)
  }
}

/** Walks attributes (struct nlattr) of `view` from `from` to `to`; a malformed length ends the walk. */
export function eachAttribute(view: DataView, from: number, to: number, visit: (type: number, from: number, to: number) => void): void {
  let at = from
  while (at + 4 <= to) {
    const size = view.getUint16(at, true)
    if (size < 4 || at + size > to) return
    visit(view.getUint16(at + 2, true) & 0x3fff, at + 4, at + size)
    at += align4(size)
  }
}

/** Reads the payload of NLMSG_ERROR, or of the NLMSG_DONE that ends a dump. */
export function readAnswer(view: DataView, type: number, flags: number, from: number, to: number): NetlinkAnswer {
  if (to < from + 4) return { errno: 0, text: null }
  const errno = Math.abs(view.getInt32(from, true))
  if ((flags & NLM_F_ACK_TLVS) === 0) return { errno, text: null }
  const attributes = type === NLMSG_DONE ? from + 4 : skipEchoedRequest(view, flags, from + 4, to)
  let text: string | null = null
  eachAttribute(view, attributes, to, (attribute, start, end) => {
    if (attribute === NLMSGERR_ATTR_MSG) text = readText(view, start, end)
  })
  return { errno, text }
}

const decoder = new TextDecoder()

/** Text up to its terminating zero, if it has one. */
export function readText(view: DataView, from: number, to: number): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + from, to - from)
  const zero = bytes.indexOf(0)
  return decoder.decode(zero < 0 ? bytes : bytes.subarray(0, zero))
}

function skipEchoedRequest(view: DataView, flags: number, at: number, to: number): number {
  if ((flags & NLM_F_CAPPED) !== 0 || at + 4 > to) return at + NLMSG_HEADER_LENGTH
  return at + align4(view.getUint32(at, true))
}
