// Hosts joined by memory, for speakers under a fake clock. Connections behave like TCP: bytes arrive later, split or merged as
// the test likes, a reader that stops makes the writer's buffer grow, a wrong MD5 key looks like silence. Received views are
// scrambled after the call that delivered them, so that whoever keeps one is found out.

import {
  type AcceptedPeer,
  type CloseReason,
  type Connection,
  type ConnectionHandler,
  type DialOptions,
  type Endpoint,
  HIGH_WATER_BYTES,
  type Listener,
  LOW_WATER_BYTES,
  type PendingDial,
  type Transport,
  TransportError,
} from '../../src/bgp/transport.ts'
import type { Clock } from '../../src/lib/clock.ts'
import { familyOf, formatIp, type IpAddress, ip } from '../../src/net/index.ts'

const DRAIN_MS = 1_000

export type MemoryNetworkOptions = {
  readonly clock: Clock
  /** One way. At least a millisecond, so that nothing happens before the clock moves. */
  readonly latencyMs?: number
  /** Octets a receiver takes in before its reader has consumed them: what the kernel would buffer. */
  readonly windowBytes?: number
}

type Bound = { readonly host: MemoryHost; readonly accepted: (connection: Connection) => void; peers: readonly AcceptedPeer[] }

export class MemoryNetwork {
  readonly clock: Clock
  readonly latencyMs: number
  readonly windowBytes: number
  /** How arriving octets are cut before delivery; the default hands over all that has arrived at once. */
  segment: (bytes: Uint8Array) => readonly Uint8Array[] = (bytes) => [bytes]
  /** Every connection ever made, oldest first; `[0]` is the end that dialled. */
  readonly connections: (readonly [MemoryConnection, MemoryConnection])[] = []
  readonly #bound = new Map<string, Bound>()
  readonly #reach = new Map<string, 'refuse' | 'silent'>()
  #nextPort = 40_000

  constructor({ clock, latencyMs = 1, windowBytes = 256 * 1024 }: MemoryNetworkOptions) {
    this.clock = clock
    this.latencyMs = Math.max(1, latencyMs)
    this.windowBytes = windowBytes
  }

  /** A host with these addresses; its transport can dial and listen. */
  host(...addresses: readonly string[]): MemoryHost {
    return new MemoryHost(this, addresses.map(ip))
  }

  /** What becomes of dials to `address` from now on; null: as usual. */
  answerDials(address: string, how: 'refuse' | 'silent' | null): void {
    if (how === null) this.#reach.delete(address)
    else this.#reach.set(address, how)
  }

  /** From now on nothing passes on any existing connection, and nobody is told: a cable is out. */
  cutAll(): void {
    for (const [a, b] of this.connections) {
      a.cut()
      b.cut()
    }
  }

  /** Each existing connection fails at both ends. */
  resetAll(): void {
    for (const [a, b] of this.connections) {
      a.fail('ECONNRESET')
      b.fail('ECONNRESET')
    }
  }

  /** Connections on which neither end has closed. */
  get open(): number {
    return this.connections.filter(([a, b]) => a.isOpen && b.isOpen).length
  }

  bind(address: IpAddress, port: number, bound: Bound): void {
    const key = `${formatIp(address)} ${port}`
    if (this.#bound.has(key)) throw new TransportError('EADDRINUSE', `cannot listen on ${formatIp(address)} port ${port}: EADDRINUSE`)
    this.#bound.set(key, bound)
  }

  unbind(bound: Bound): void {
    for (const [key, each] of this.#bound) if (each === bound) this.#bound.delete(key)
  }

  connect(
    from: MemoryHost,
    options: DialOptions,
    connected: (connection: Connection) => void,
    failed: (reason: { code: string; message: string }) => void,
  ): PendingDial {
    const { remote } = options
    const source = options.sourceAddress ?? from.addressLike(remote.address)
    const fail = (code: string): void => failed({ code, message: `connect ${code} ${formatIp(remote.address)}:${remote.port}` })
    if (source === null || !from.addresses.includes(source)) return this.clock.after(0, () => fail('EADDRNOTAVAIL'))
    let cancelled = false
    let timer = this.clock.after(this.latencyMs, () => {
      const bound = this.#bound.get(`${formatIp(remote.address)} ${remote.port}`)
      const how =
        this.#reach.get(formatIp(remote.address)) ?? (bound === undefined ? 'refuse' : keysAgree(bound.peers, source, options.password))
      if (how === 'refuse') timer = this.clock.after(this.latencyMs, () => fail('ECONNREFUSED'))
      else if (how === 'silent' || bound === undefined) timer = this.clock.after(options.userTimeoutMs, () => fail('ETIMEDOUT'))
      else {
        const local: Endpoint = { address: source, interface: remote.interface, port: this.#nextPort++ }
        const near = new MemoryConnection(this, 'outgoing', local, remote)
        const far = new MemoryConnection(this, 'incoming', remote, local)
        near.join(far)
        far.join(near)
        this.connections.push([near, far])
        timer = this.clock.after(this.latencyMs, () => {
          if (!cancelled) connected(near)
        })
        bound.accepted(far)
        far.requireHandler()
        if (cancelled) near.destroy()
      }
    })
    return {
      [Symbol.dispose]: () => {
        cancelled = true
        timer[Symbol.dispose]()
      },
    }
  }
}

/** A listener without keys for `source` takes only unsigned segments, one with a key only those signed with it (RFC 2385). */
function keysAgree(peers: readonly AcceptedPeer[], source: IpAddress, password: string | null): 'open' | 'silent' {
  const expected = peers.find(({ address }) => address === source)?.password ?? null
  return expected === password ? 'open' : 'silent'
}

export class MemoryHost implements Transport {
  readonly addresses: readonly IpAddress[]
  readonly #network: MemoryNetwork

  constructor(network: MemoryNetwork, addresses: readonly IpAddress[]) {
    this.#network = network
    this.addresses = addresses
  }

  addressLike(address: IpAddress): IpAddress | null {
    return this.addresses.find((each) => familyOf(each) === familyOf(address)) ?? null
  }

  dial(
    options: DialOptions,
    connected: (connection: Connection) => void,
    failed: (reason: { code: string; message: string }) => void,
  ): PendingDial {
    return this.#network.connect(this, options, connected, failed)
  }

  /** No address, or the unspecified ones: all of this host's. */
  listen(
    addresses: readonly IpAddress[],
    port: number,
    accepted: (connection: Connection) => void,
    peers: readonly AcceptedPeer[] = [],
  ): Listener {
    const bound: Bound = { host: this, accepted, peers }
    const wildcard = addresses.filter((each) => each === 0 || each === 0n).map(familyOf)
    const wanted =
      addresses.length === 0
        ? this.addresses
        : this.addresses.filter((each) => addresses.includes(each) || wildcard.includes(familyOf(each)))
    try {
      for (const address of wanted) this.#network.bind(address, port, bound)
    } catch (cause) {
      this.#network.unbind(bound)
      throw cause
    }
    return {
      setPeers: (next) => {
        bound.peers = next
      },
      [Symbol.dispose]: () => this.#network.unbind(bound),
    }
  }
}

export class MemoryConnection implements Connection {
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly direction: 'outgoing' | 'incoming'
  readonly #network: MemoryNetwork
  #peer: MemoryConnection | null = null
  #handler: ConnectionHandler | null = null
  /** Written, not yet taken by the "kernel". */
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  #wasOverHighWater = false
  /** Arrived, not yet read. */
  #arrived: Uint8Array[] = []
  #arrivedBytes = 0
  /** On their way here. */
  #inFlightBytes = 0
  #paused = false
  #finArrived = false
  #state: 'open' | 'closing' | 'closed' = 'open'
  #cut = false

  constructor(network: MemoryNetwork, direction: 'outgoing' | 'incoming', local: Endpoint, remote: Endpoint) {
    this.#network = network
    this.direction = direction
    this.local = local
    this.remote = remote
  }

  join(peer: MemoryConnection): void {
    this.#peer = peer
  }

  requireHandler(): void {
    if (this.#handler === null && this.#state === 'open')
      throw new Error('a connection must be attached or closed in the turn it is handed over')
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  get bufferedBytes(): number {
    return this.#queuedBytes
  }

  attach(handler: ConnectionHandler): void {
    if (this.#handler !== null) throw new Error('attach must be called once')
    this.#handler = handler
    this.#deliver()
  }

  write(bytes: Uint8Array): boolean {
    if (this.#state !== 'open') return false
    this.#queue.push(bytes)
    this.#queuedBytes += bytes.length
    this.#pump()
    this.#wasOverHighWater ||= this.#queuedBytes > HIGH_WATER_BYTES
    return !this.#wasOverHighWater
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#network.clock.after(0, () => this.#deliver())
  }

  close(): void {
    if (this.#state !== 'open') return
    this.#state = 'closing'
    this.#paused = false
    this.#arrived = []
    this.#arrivedBytes = 0
    this.#peer?.windowOpened()
    if (this.#queuedBytes === 0) this.#sendFin()
    if (this.#finArrived) this.#end({ kind: 'closedByUs' })
    else this.#network.clock.after(DRAIN_MS, () => this.#abandon())
  }

  destroy(): void {
    if (this.#state === 'closed') return
    this.#state = 'closing'
    this.#abandon()
  }

  cut(): void {
    this.#cut = true
  }

  fail(code: string): void {
    this.#end(this.#state === 'closing' ? { kind: 'closedByUs' } : { kind: 'error', code, message: `read ${code}` })
  }

  windowOpened(): void {
    this.#network.clock.after(this.#network.latencyMs, () => this.#pump())
  }

  /** Hands queued octets to the "kernel" as far as the receiver's window allows. */
  #pump(): void {
    const peer = this.#peer
    if (peer === null || this.#state === 'closed' || this.#cut) return
    let taken = 0
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      const room = peer.#room()
      if (room <= 0) break
      const piece = first.subarray(0, room)
      if (piece.length === first.length) this.#queue.shift()
      else this.#queue[0] = first.subarray(room)
      taken += piece.length
      peer.#send(piece)
    }
    this.#queuedBytes -= taken
    if (taken > 0) this.#network.clock.after(0, () => this.#afterProgress())
  }

  #afterProgress(): void {
    if (this.#state === 'open') this.#handler?.progressed()
    if (this.#state === 'open' && this.#wasOverHighWater && this.#queuedBytes < LOW_WATER_BYTES) {
      this.#wasOverHighWater = false
      this.#handler?.drained()
    }
    if (this.#state === 'closing' && this.#queuedBytes === 0) this.#sendFin()
  }

  #room(): number {
    return this.#network.windowBytes - this.#arrivedBytes - this.#inFlightBytes
  }

  #send(piece: Uint8Array): void {
    const copy = Uint8Array.from(piece)
    this.#inFlightBytes += copy.length
    this.#network.clock.after(this.#network.latencyMs, () => {
      this.#inFlightBytes -= copy.length
      if (this.#cut || this.#state === 'closed') return
      if (this.#state === 'closing') return this.#peer?.windowOpened() // read on and thrown away
      this.#arrived.push(copy)
      this.#arrivedBytes += copy.length
      this.#network.clock.after(0, () => this.#deliver()) // what arrives in one instant is merged
    })
  }

  #finSent = false
  #sendFin(): void {
    if (this.#finSent || this.#cut) return
    this.#finSent = true
    const peer = this.#peer
    this.#network.clock.after(this.#network.latencyMs, () => {
      if (peer === null || peer.#cut) return
      peer.#finArrived = true
      this.#network.clock.after(0, () => peer.#deliver())
    })
  }

  #deliver(): void {
    if (this.#handler === null || this.#paused || this.#state === 'closed') return
    if (this.#arrivedBytes > 0 && this.#state === 'open') {
      const all = Buffer.concat(this.#arrived)
      this.#arrived = []
      this.#arrivedBytes = 0
      for (const view of this.#network.segment(new Uint8Array(all.buffer, all.byteOffset, all.length))) {
        if (this.#state !== 'open') break
        this.#handler.received(view)
        view.fill(0xee)
      }
      this.#peer?.windowOpened()
    }
    if (!this.#finArrived || this.#arrivedBytes > 0) return
    this.#sendFin()
    this.#end({ kind: this.#state === 'closing' ? 'closedByUs' : 'closedByPeer' })
  }

  /** Gives up what is unsent; the other end sees a reset unless all had been sent. */
  #abandon(): void {
    if (this.#state === 'closed') return
    const peer = this.#peer
    if (peer !== null && !this.#finSent && !this.#cut) {
      this.#network.clock.after(this.#network.latencyMs + 1, () => {
        if (!peer.#cut) peer.fail('ECONNRESET')
      })
    }
    this.#end({ kind: 'closedByUs' })
  }

  #end(reason: CloseReason): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#queue = []
    this.#queuedBytes = 0
    const handler = this.#handler
    this.#network.clock.after(0, () => handler?.closed(reason))
  }
}
