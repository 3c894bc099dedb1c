// Whole peers joined by memory under a fake clock, and a raw peer that says what a test tells it to.
import { routerId } from '../../../src/bgp/attributes.ts'
import { type Negotiated, Peer, type PeerSettings, type SessionEnd } from '../../../src/bgp/peer.ts'
import type { AcceptedPeer, Connection, ConnectionHandler, Listener } from '../../../src/bgp/transport.ts'
import {
  type Capability,
  decodeMessage,
  encodeKeepalive,
  encodeNotification,
  encodeOpen,
  type Message,
  MessageFramer,
  type NotificationMessage,
  type OpenMessage,
  preOpenContext,
  type UpdateMessage,
} from '../../../src/bgp/wire/index.ts'
import { FakeClock } from '../../../src/lib/clock.ts'
import { type Log, type LogFields, silentLog } from '../../../src/lib/log.ts'
import { asn, formatIp, ip } from '../../../src/net/index.ts'
import { type MemoryHost, MemoryNetwork, type MemoryNetworkOptions } from '../../support/memory-transport.ts'

export const A = '10.0.0.1'
export const B = '10.0.0.2'

/** Settings of the peer at `remote`; the two hosts are AS 65001 (10.0.0.1) and AS 65002 (10.0.0.2) unless changed. */
export function settings(remote: string, changes: Partial<PeerSettings> = {}): PeerSettings {
  const isAtB = remote === A
  return {
    key: `to-${remote}`,
    description: '',
    address: ip(remote),
    interface: null,
    port: 179,
    asn: asn(isAtB ? 65001 : 65002),
    localAsn: null,
    sourceAddress: null,
    password: null,
    families: ['IPv4Unicast'],
    addPath: { receive: false, send: 0 },
    role: null,
    maxPrefixes: null,
    ttlSecurity: null,
    ebgpMultihop: null,
    holdTimeSeconds: 90,
    keepaliveTimeSeconds: 30,
    connectRetrySeconds: 5,
    sendHoldTimeSeconds: null,
    passive: false,
    filters: [],
    allowLocalAs: 0,
    enforceFirstAs: true,
    nextHopMode: 'Auto',
    gracefulRestart: { enabled: true, restartTimeSeconds: 120, longLivedStaleTimeSeconds: 0, notification: false },
    routeReflectorClient: false,
    clusterNode: false,
    shutdown: null,
    extendedNextHop: false,
    speakerAsn: asn(isAtB ? 65002 : 65001),
    routerId: routerId(isAtB ? 2 : 1),
    restarting: false,
    forwardingPreserved: [],
    ...changes,
  }
}

type LogLine = { readonly level: string; readonly event: string; readonly fields: LogFields }

/** A peer, and all that its observer and its log were told. */
export class TestPeer {
  readonly peer: Peer
  readonly host: MemoryHost
  readonly log: LogLine[] = []
  readonly ups: Negotiated[] = []
  readonly ends: SessionEnd[] = []
  readonly updates: UpdateMessage[] = []
  refreshes = 0
  writables = 0
  /** Connections `accept` turned away. */
  refused = 0
  onEstablished: () => void = () => {}
  onEnded: () => void = () => {}
  onUpdate: (update: UpdateMessage) => void = () => {}
  #listener: Listener

  constructor(world: PeerWorld, address: string, initial: PeerSettings, random: () => number) {
    this.host = world.network.host(address)
    const line =
      (level: string) =>
      (event: string, fields: LogFields = {}): void =>
        void this.log.push({ level, event, fields })
    const log: Log = { ...silentLog, debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error'), child: () => log }
    this.peer = new Peer(
      {
        clock: world.clock,
        log,
        transport: this.host,
        random,
        observer: {
          established: (negotiated) => {
            this.ups.push(negotiated)
            this.onEstablished()
          },
          updateReceived: (update) => {
            this.updates.push(update)
            this.onUpdate(update)
          },
          routeRefreshReceived: () => {
            this.refreshes++
          },
          ended: (end) => {
            this.ends.push(end)
            this.onEnded()
          },
          failing: () => {},
          writable: () => {
            this.writables++
          },
        },
      },
      initial,
    )
    this.#listener = this.#listen(initial)
  }

  get state(): string {
    return this.peer.status().state
  }

  get lastError(): string | null {
    return this.peer.status().lastError
  }

  /** Changes the peer and what the listener knows of it, as the speaker does. */
  configure(next: PeerSettings): string {
    const outcome = this.peer.configure(next)
    this.#listener.setPeers([this.peer.acceptedPeer()])
    return outcome
  }

  /** The process dies: nothing is said on any connection, its ports are free. */
  vanish(): void {
    this.#listener[Symbol.dispose]()
    this.peer[Symbol.dispose]()
  }

  stopListening(): void {
    this.#listener[Symbol.dispose]()
  }

  #listen(initial: PeerSettings): Listener {
    const accepted = (connection: Connection): void => {
      const isKnown = formatIp(connection.remote.address) === formatIp(this.peer.settings.address)
      if (isKnown && this.peer.accept(connection)) return
      this.refused++
      connection.destroy()
    }
    const peers: readonly AcceptedPeer[] = [this.peer.acceptedPeer()]
    return this.host.listen([], initial.port, accepted, peers)
  }
}

/** The other end of one connection, speaking by hand. */
export class RawPeer {
  readonly connection: Connection
  readonly messages: Message[] = []
  readonly #framer = new MessageFramer()
  isClosed = false

  constructor(connection: Connection) {
    this.connection = connection
    connection.attach({
      received: (bytes) => {
        this.#framer.push(bytes, (message) => {
          const decoded = decodeMessage(message, preOpenContext)
          if (decoded.ok) this.messages.push(decoded.value)
        })
      },
      drained: () => {},
      progressed: () => {},
      closed: () => {
        this.isClosed = true
      },
    })
  }

  say(...messages: readonly Uint8Array[]): void {
    for (const message of messages) this.connection.write(message)
  }

  get open(): OpenMessage | undefined {
    return this.messages.find((message) => message.kind === 'open')
  }

  get notification(): NotificationMessage | undefined {
    return this.messages.find((message) => message.kind === 'notification')
  }

  /** Code and subcode of the NOTIFICATION received. */
  get refusal(): string | null {
    return this.notification === undefined ? null : `${this.notification.code}/${this.notification.subcode}`
  }
}

const V4: Capability = { kind: 'multiprotocol', afi: 1, safi: 1 }

/** An OPEN of AS 65002 with identifier 2, that offers IPv4 and what else is asked. */
export function openOf(changes: Partial<OpenMessage> = {}, ...more: readonly Capability[]): Uint8Array {
  const capabilities: Capability[] = [V4, { kind: 'fourOctetAs', asn: 65002 }, ...more]
  return encodeOpen({ kind: 'open', myAs: 65002, holdTimeSeconds: 90, routerId: 2, capabilities, ...changes })
}
export const keepalive = encodeKeepalive
export function notification(code: number, subcode: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  return encodeNotification({ code, subcode, data })
}

export class PeerWorld {
  readonly clock = new FakeClock()
  readonly network: MemoryNetwork

  constructor(options: Omit<MemoryNetworkOptions, 'clock'> = {}) {
    this.network = new MemoryNetwork({ clock: this.clock, ...options })
  }

  run(seconds: number): void {
    this.clock.advance(seconds * 1_000)
  }

  peer(address: string, initial: PeerSettings, random: () => number = () => 0.5): TestPeer {
    return new TestPeer(this, address, initial, random)
  }

  /** Peers at both addresses, started and (by default) Established. */
  pair(changes: { readonly a?: Partial<PeerSettings>; readonly b?: Partial<PeerSettings> } = {}): {
    readonly a: TestPeer
    readonly b: TestPeer
  } {
    const a = this.peer(A, settings(B, changes.a))
    const b = this.peer(B, settings(A, { passive: true, ...changes.b }))
    a.peer.start()
    b.peer.start()
    this.run(1)
    return { a, b }
  }

  /** A peer at A, started; whoever listens at B is a list of raw ends. */
  againstRaw(changes: Partial<PeerSettings> = {}): { readonly a: TestPeer; readonly raws: RawPeer[]; readonly host: MemoryHost } {
    const raws: RawPeer[] = []
    const host = this.network.host(B)
    host.listen([], 179, (connection) => raws.push(new RawPeer(connection)))
    const a = this.peer(A, settings(B, changes))
    a.peer.start()
    this.run(0.1)
    return { a, raws, host }
  }

  /** Dials A from B by hand. Throws if A refuses. */
  dialA(host: MemoryHost): RawPeer {
    const raws = dialByHand(host)
    this.run(0.01)
    const [raw] = raws
    if (raw === undefined || raw.isClosed) throw new Error('the connection was refused')
    return raw
  }
}

/** A peer whose only connection is the test itself: octets arrive the moment they are handed to `socket.received`. */
export function byHand(
  world: PeerWorld,
  changes: Partial<PeerSettings> = {},
): { readonly a: TestPeer; readonly socket: ConnectionHandler } {
  const a = world.peer(A, settings(B, { passive: true, ...changes }))
  const handlers: ConnectionHandler[] = []
  const end = { interface: null, port: 179 }
  a.peer.start()
  a.peer.accept({
    local: { address: ip(A), ...end },
    remote: { address: ip(B), ...end },
    direction: 'incoming',
    bufferedBytes: 0,
    attach: (handler) => void handlers.push(handler),
    write: () => true,
    pause: () => {},
    resume: () => {},
    close: () => {},
    destroy: () => {},
  })
  const [socket] = handlers
  if (socket === undefined) throw new Error('the connection was refused')
  return { a, socket }
}

/** Dials A; the connection is in the list once it is there. */
export function dialByHand(host: MemoryHost): readonly RawPeer[] {
  const raws: RawPeer[] = []
  host.dial(
    {
      remote: { address: ip(A), interface: null, port: 179 },
      sourceAddress: null,
      password: null,
      hopLimit: { send: 1, receiveAtLeast: null },
      userTimeoutMs: 60_000,
    },
    (connection) => raws.push(new RawPeer(connection)),
    () => {},
  )
  return raws
}
