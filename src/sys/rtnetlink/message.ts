// Building rtnetlink requests (linux/rtnetlink.h, rtnetlink(7)): a header, a fixed part, attributes and nests of them. Pure.
import { familyOf, type IpAddress, ipToBytes, type Mac } from '../../net/index.ts'
import { align4, NLM_F_REQUEST, NLMSG_HEADER_LENGTH, putHeader } from '../netlink-message.ts'

/** A request with its sequence number left at zero; `name` says in errors what was asked. */
export type NetlinkRequest = { readonly name: string; readonly bytes: Uint8Array }

export const AF_UNSPEC = 0
export const AF_INET = 2
export const AF_INET6 = 10
const NLA_F_NESTED = 0x8000
/** Far more than any request here takes: none has an attribute without a bound. */
const MAX_MESSAGE = 1024

/** AF_INET or AF_INET6, as the address is. */
export function addressFamily(address: IpAddress): number {
  return familyOf(address) === 4 ? AF_INET : AF_INET6
}

/** The six octets of a MAC. */
export function macToBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(':'), (octet) => Number.parseInt(octet, 16))
}

/**
 * Messages are written one behind the other into memory that is shared until it is full: they are short, and octets of its own for each
 * would cost more than writing them.
 */
class Slab {
  static readonly size = 64 * 1024
  readonly bytes = new Uint8Array(Slab.size)
  readonly view = new DataView(this.bytes.buffer)
  /** What is behind has been given to nobody, and is zero. */
  used = 0
}

let slab = new Slab()
const encoder = new TextEncoder()

/** One message under construction. `fixed` is the part between header and attributes (struct ifinfomsg, ifaddrmsg, rtmsg, …). */
export class MessageWriter {
  readonly #slab: Slab
  readonly #start: number
  readonly #name: string
  #at: number

  constructor(name: string, type: number, flags: number, fixed: Octets) {
    if (slab.used + MAX_MESSAGE > Slab.size) slab = new Slab()
    this.#slab = slab
    this.#start = slab.used
    slab.used += MAX_MESSAGE
    this.#name = name
    putHeader(slab.view, this.#start, 0, type, NLM_F_REQUEST | flags, 0)
    this.#at = this.#start + NLMSG_HEADER_LENGTH
    this.raw(fixed)
  }

  /** Octets as they are, padded to four: the fixed part of a nested message. */
  raw(octets: Octets): this {
    const at = this.#take(octets.length)
    if (octets instanceof Uint8Array) this.#slab.bytes.set(octets, at)
    else octets.fill(new DataView(this.#slab.bytes.buffer, at, octets.length))
    return this
  }

  octets(type: number, payload: Octets): this {
    this.#head(type, payload.length)
    return this.raw(payload)
  }

  u8(type: number, value: number): this {
    this.#head(type, 1)
    this.#slab.view.setUint8(this.#take(1), value)
    return this
  }

  /** In host order, as the kernel keeps its own numbers. */
  u32(type: number, value: number): this {
    this.#head(type, 4)
    this.#slab.view.setUint32(this.#take(4), value, true)
    return this
  }

  u64(type: number, value: bigint): this {
    this.#head(type, 8)
    this.#slab.view.setBigUint64(this.#take(8), value, true)
    return this
  }

  /** Text with its terminating zero. */
  text(type: number, value: string): this {
    return this.octets(type, encoder.encode(`${value}\0`))
  }

  address(type: number, value: IpAddress): this {
    return this.octets(type, ipToBytes(value))
  }

  /** An attribute that holds what `fill` writes. */
  nest(type: number, fill: (inside: this) => void): this {
    const start = this.#take(4)
    fill(this)
    this.#slab.view.setUint16(start, this.#at - start, true)
    this.#slab.view.setUint16(start + 2, type | NLA_F_NESTED, true)
    return this
  }

  /** Nothing is written afterwards. */
  finish(): NetlinkRequest {
    this.#slab.view.setUint32(this.#start, this.#at - this.#start, true)
    if (this.#slab.used === this.#start + MAX_MESSAGE) this.#slab.used = this.#at // the rest is for the next
    return { name: this.#name, bytes: this.#slab.bytes.subarray(this.#start, this.#at) }
  }

  /** struct nlattr. */
  #head(type: number, length: number): void {
    const at = this.#take(4)
    this.#slab.view.setUint16(at, 4 + length, true)
    this.#slab.view.setUint16(at + 2, type, true)
  }

  #take(length: number): number {
    const at = this.#at
    this.#at += align4(length)
    if (this.#at > this.#start + MAX_MESSAGE) throw new RangeError(`${this.#name}: longer than ${MAX_MESSAGE} octets`)
    return at
  }
}

/** Octets that are there, or are written where they go. */
export type Octets = Uint8Array | { readonly length: number; readonly fill: (view: DataView) => void }

/** A struct of `length` octets, zero but for what `fill` sets; integers little-endian. */
export function struct(length: number, fill: (view: DataView) => void): Octets {
  return { length, fill }
}
