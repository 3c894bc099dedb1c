// The kernel's netfilter interface without a program in between, for what is asked often and said in few words: which generation its rules are,
// and small changes of sets. The socket stays open: closing one waits until everything deleted is gone. Its calls are synchronous.
import { createHash } from 'node:crypto'
import { SysError } from '../sys/libc.ts'
import { eachAttribute, NLM_F_ACK, NLM_F_REQUEST, NLMSG_HEADER_LENGTH, putHeader } from '../sys/netlink-message.ts'
import type { NetlinkSocket } from '../sys/netlink-socket.ts'
import type { NetlinkRequest } from '../sys/rtnetlink/message.ts'
import { saveMessage, setMessage } from './set-messages.ts'

const NFNL_SUBSYS_NFTABLES = 10 << 8
const NFT_MSG_NEWGEN = NFNL_SUBSYS_NFTABLES | 15
const NFT_MSG_GETGEN = NFNL_SUBSYS_NFTABLES | 16
const NFTA_GEN_ID = 1
const NFGENMSG_LENGTH = 4
/** In struct nlmsghdr. */
const FLAGS_AT = 6
const SEQUENCE_AT = 8
/** More lines are the program's: it has no event loop that waits. */
const MAX_LINES = 1_000
/** In one datagram. */
const BATCH = 100
const ENOENT = 2
const ENOBUFS = 105
/** IPSET_ERR_BUSY. */
const BUSY = 4100

/** Line of the input, from 1. */
export type SetRefusal = { readonly line: number; readonly message: string }

export class KernelSocket {
  readonly #open: () => NetlinkSocket
  #socket: NetlinkSocket | null = null

  /** `open` may throw SysError: then nothing can be done this way. */
  constructor(open: () => NetlinkSocket) {
    this.#open = open
  }

  /** NFT_MSG_GETGEN: every change of anybody's rules, sets and tables counts one up, and counters do not. Null: no nf_tables. */
  generation(): number | null {
    return this.#with((socket) => {
      const request = new Uint8Array(NLMSG_HEADER_LENGTH + NFGENMSG_LENGTH)
      const sequence = socket.reserveSequences(1)
      putHeader(new DataView(request.buffer), 0, request.length, NFT_MSG_GETGEN, NLM_F_REQUEST | NLM_F_ACK, sequence)
      let generation: number | null = null
      socket.dump('generation of rules', request, sequence, (view, type, _flags, from, to) => {
        if (type !== NFT_MSG_NEWGEN) return
        eachAttribute(view, from + NFGENMSG_LENGTH, to, (attribute, at, end) => {
          if (attribute === NFTA_GEN_ID && end - at === 4) generation = view.getUint32(at)
        })
      })
      return generation
    })
  }

  /** IPSET_CMD_SAVE as a hash of the kernel's words: another one means that something in some set is not as it was. Null: no ipset. */
  setsPrint(): string | null {
    return this.#with((socket) => {
      const hash = createHash('sha1')
      const { name, bytes } = saveMessage()
      const sequence = socket.reserveSequences(1)
      const request = bytes.slice()
      new DataView(request.buffer).setUint32(SEQUENCE_AT, sequence, true)
      const outcome = socket.dump(name, request, sequence, (view, _type, _flags, from, to) => {
        hash.update(new Uint8Array(view.buffer, view.byteOffset + from, to - from))
      })
      return outcome === 'consistent' ? hash.digest('base64') : null
    })
  }

  /** Does what `ipset restore -exist` would do with this input. `unable`: let the program do all of it, for what was done can be done again. */
  changeSets(input: string): 'done' | 'unable' | SetRefusal {
    const lines = input.split('\n').slice(0, -1)
    if (lines.length > MAX_LINES) return 'unable'
    const destroys = lines.filter((line) => line.startsWith('destroy ')).length
    if (destroys > 0 && destroys < lines.length) return 'unable' // a second time there would be nothing to destroy
    const requests: NetlinkRequest[] = []
    for (const line of lines) {
      const request = setMessage(line)
      if (request === null) return 'unable'
      requests.push(request)
    }
    return this.#with((socket) => (destroys > 0 ? destroyAll(socket, requests) : changeAll(socket, requests))) ?? 'unable'
  }

  close(): void {
    this.#socket?.[Symbol.dispose]()
    this.#socket = null
  }

  #with<T>(work: (socket: NetlinkSocket) => T): T | null {
    try {
      this.#socket ??= this.#open()
      return work(this.#socket)
    } catch (cause) {
      // fs throws errors of its own for reading and writing the socket.
      if (!(cause instanceof SysError) && !(cause instanceof Error && 'syscall' in cause)) throw cause
      this.close()
      return null
    }
  }
}

/** Stops at the first that is refused. */
function destroyAll(socket: NetlinkSocket, requests: readonly NetlinkRequest[]): 'done' | 'unable' | SetRefusal {
  for (const [index, request] of requests.entries()) {
    const refused = send(socket, [request])
    if (refused === null || refused === ENOENT) continue // newer kernels do not mind a set that is gone already
    return refused === BUSY ? { line: index + 1, message: 'Set cannot be destroyed: it is in use by a kernel component' } : 'unable'
  }
  return 'done'
}

function changeAll(socket: NetlinkSocket, requests: readonly NetlinkRequest[]): 'done' | 'unable' {
  for (let at = 0; at < requests.length; at += BATCH) if (send(socket, requests.slice(at, at + BATCH)) !== null) return 'unable'
  return 'done'
}

/** Number of the first error; null if there was none. */
function send(socket: NetlinkSocket, requests: readonly NetlinkRequest[]): number | null {
  const bytes = new Uint8Array(requests.reduce((sum, each) => sum + each.bytes.length, 0))
  const view = new DataView(bytes.buffer)
  const first = socket.reserveSequences(requests.length)
  let at = 0
  for (const [index, request] of requests.entries()) {
    bytes.set(request.bytes, at)
    view.setUint32(at + SEQUENCE_AT, (first + index) >>> 0, true)
    if (index === requests.length - 1) view.setUint16(at + FLAGS_AT, view.getUint16(at + FLAGS_AT, true) | NLM_F_ACK, true)
    at += request.bytes.length
  }
  let refused: number | null = null
  const outcome = socket.request(bytes, first, requests.length, (_index, { errno }) => {
    refused ??= errno
  })
  return outcome === 'lost' ? (refused ?? ENOBUFS) : refused
}
