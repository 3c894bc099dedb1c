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

/** One message under construction. `fixed` is the part between header and attributes (struct ifinfomsg, ifaddrmsg, rtmsg, …). */
export class MessageWriter {
  readonly #bytes = new Uint8Array(MAX_MESSAGE)
  readonly #view = new DataView(this.#bytes.buffer)
  readonly #name: string
  #at: number

  constructor(name: string, type: number, flags: number, fixed: Uint8Array) {
    this.#name = name
    putHeader(this.#view, 0, 0, type, NLM_F_REQUEST | flags, 0)
    this.#at = NLMSG_HEADER_LENGTH
    this.raw(fixed)
  }

  /** Octets as they are, padded to four: the fixed part of a nested message. */
  raw(octets: Uint8Array): this {
    this.#bytes.set(octets, this.#at)
    this.#at += align4(octets.length)
    return this
  }

  octets(type: number, payload: Uint8Array): this {
    this.#view.setUint16(this.#at, 4 + payload.length, true)
    this.#view.setUint16(this.#at + 2, type, true)
    this.#at += 4
    return this.raw(payload)
  }

  u8(type: number, value: number): this {
    return this.octets(type, Uint8Array.of(value))
  }

  /** In host order, as the kernel keeps its own numbers. */
  u32(type: number, value: number): this {
    const payload = new DataView(new ArrayBuffer(4))
    payload.setUint32(0, value, true)
    return this.octets(type, new Uint8Array(payload.buffer))
  }

  u64(type: number, value: bigint): this {
    const payload = new DataView(new ArrayBuffer(8))
    payload.setBigUint64(0, value, true)
    return this.octets(type, new Uint8Array(payload.buffer))
  }

  /** Text with its terminating zero. */
  text(type: number, value: string): this {
    return this.octets(type, new TextEncoder().encode(`${value}\0`))
  }

  address(type: number, value: IpAddress): this {
    return this.octets(type, ipToBytes(value))
  }

  /** An attribute that holds what `fill` writes. */
  nest(type: number, fill: (inside: this) => void): this {
    const start = this.#at
    this.#at += 4
    fill(this)
    this.#view.setUint16(start, this.#at - start, true)
    this.#view.setUint16(start + 2, type | NLA_F_NESTED, true)
    return this
  }

  finish(): NetlinkRequest {
    this.#view.setUint32(0, this.#at, true)
    return { name: this.#name, bytes: this.#bytes.slice(0, this.#at) }
  }
}

/** A struct of `length` octets, zero but for what `fill` sets; integers little-endian. */
export function struct(length: number, fill: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(length)
  fill(new DataView(bytes.buffer))
  return bytes
}
