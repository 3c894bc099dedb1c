// The listening sockets of a speaker. Keys of peers are installed before their first SYN can be answered; what Linux cannot hold
// per peer on a listener (the least accepted TTL) is set on each connection the moment it is accepted.
import net from 'node:net'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { familyOf, formatIp, type IpAddress, type IpFamily, isLinkLocalIpv6 } from '../net/index.ts'
import {
  bindTcp,
  boundTo,
  listenTcp,
  openTcpSocket,
  orClose,
  reuseAddress,
  setLeastReceivedHops,
  setMd5Key,
  setSendHops,
  setUserTimeout,
} from '../sys/tcp-socket.ts'
import { TcpConnection } from './tcp-connection.ts'
import { codeOf, endpoint } from './tcp-names.ts'
import type { AcceptedPeer, Connection, Endpoint, Listener } from './transport.ts'

const BACKLOG = 4_096
/** SYN-ACKs leave before the peer is known; one with GTSM drops anything below 255 (RFC 5082 §3). */
const LISTENER_HOPS = 255

type ListeningSocket = { readonly fd: number; readonly family: IpFamily; readonly server: net.Server }

export class TcpListener implements Listener {
  readonly #clock: Clock
  readonly #log: Log
  readonly #accepted: (connection: Connection) => void
  readonly #sockets: ListeningSocket[] = []
  #peers: ReadonlyMap<string, AcceptedPeer> = new Map()
  /** By canonical text of the address. */
  #keys: ReadonlyMap<string, { readonly address: IpAddress; readonly password: string }> = new Map()

  constructor(deps: { readonly clock: Clock; readonly log: Log }, accepted: (connection: Connection) => void) {
    this.#clock = deps.clock
    this.#log = deps.log
    this.#accepted = accepted
  }

  /** Port of the first socket: the one asked for, or what the kernel chose for 0. */
  get port(): number {
    const [first] = this.#sockets
    return first === undefined ? 0 : boundTo(first.fd).port
  }

  /** Adds a socket that listens on one address, with the keys of `peers` in place. Throws `SysError`. */
  open(address: IpAddress, port: number, peers: readonly AcceptedPeer[]): void {
    const family = familyOf(address)
    const fd = openTcpSocket(family)
    orClose(fd, () => {
      reuseAddress(fd)
      setSendHops(fd, family, LISTENER_HOPS)
      bindTcp(fd, address, port, null)
      for (const key of keysOf(peers, this.#log).values()) this.#setKey({ fd, family }, key.address, key.password)
      listenTcp(fd, BACKLOG)
    })
    const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket))
    server.on('error', (err) => this.#log.warn('bgp.listener.failed', { address: formatIp(address), err }))
    server.listen({ fd }, BACKLOG)
    this.#sockets.push({ fd, family, server })
  }

  setPeers(peers: readonly AcceptedPeer[]): void {
    this.#peers = new Map(peers.map((peer) => [nameOf(peer), peer]))
    const wanted = keysOf(peers, this.#log)
    for (const socket of this.#sockets) {
      for (const [name, { address }] of this.#keys) if (!wanted.has(name)) this.#setKey(socket, address, null)
      for (const [name, { address, password }] of wanted) {
        if (this.#keys.get(name)?.password !== password) this.#setKey(socket, address, password)
      }
      setLeastReceivedHops(socket.fd, socket.family, leastHops(peers, socket.family))
    }
    this.#keys = wanted
  }

  [Symbol.dispose](): void {
    for (const { server } of this.#sockets.splice(0)) server.close()
  }

  /** One peer whose key the kernel refuses must not stop the others; its connections are refused in `#accept`. */
  #setKey(socket: Pick<ListeningSocket, 'fd' | 'family'>, address: IpAddress, password: string | null): void {
    if (familyOf(address) !== socket.family) return
    try {
      setMd5Key(socket.fd, address, password)
    } catch (err) {
      this.#log.error('bgp.listener.keyRefused', { address: formatIp(address), code: codeOf(err), err })
    }
  }

  #accept(socket: net.Socket): void {
    const remote = endpoint(socket.remoteAddress, socket.remotePort)
    const local = endpoint(socket.localAddress, socket.localPort)
    if (remote === null || local === null) {
      socket.destroy() // gone again already
      return
    }
    const peer = this.#peers.get(nameOf(remote))
    if (peer !== undefined && !this.#protect(socket, peer)) {
      socket.on('error', () => {}).resetAndDestroy()
      return
    }
    this.#accepted(new TcpConnection(socket, this.#clock, { local, remote, direction: 'incoming' }))
  }

  /**
   * Gives an accepted socket what belongs to its peer. The key is set again because a connection may have been made before the
   * listener had it: unsigned segments are dropped from here on. Segments that arrived with too low a TTL before this moment
   * have been let in; none can be after it.
   */
  #protect(socket: net.Socket, { address, hopLimit, password, userTimeoutMs }: AcceptedPeer): boolean {
    const fd = descriptorOf(socket)
    if (fd === null) return false
    const family = familyOf(address)
    try {
      setSendHops(fd, family, hopLimit.send)
      if (hopLimit.receiveAtLeast !== null) setLeastReceivedHops(fd, family, hopLimit.receiveAtLeast)
      if (password !== null) setMd5Key(fd, address, password)
      setUserTimeout(fd, userTimeoutMs)
      return true
    } catch (err) {
      this.#log.warn('bgp.connection.unprotected', { address: formatIp(address), err })
      return false
    }
  }
}

function nameOf({ address, interface: device }: Pick<Endpoint, 'address' | 'interface'>): string {
  return isLinkLocalIpv6(address) ? `${formatIp(address)}%${device ?? ''}` : formatIp(address)
}

/** Keys by address: the kernel keeps one an address, whatever the link. */
function keysOf(peers: readonly AcceptedPeer[], log: Log): ReadonlyMap<string, { readonly address: IpAddress; readonly password: string }> {
  const keys = new Map<string, { readonly address: IpAddress; readonly password: string }>()
  for (const { address, interface: device, password } of peers) {
    if (password === null) continue
    const name = formatIp(address)
    const known = keys.get(name)
    if (known === undefined) keys.set(name, { address, password })
    else if (known.password !== password) log.warn('bgp.listener.keysConflicted', { address: name, interface: device })
  }
  return keys
}

/** What every peer of the family demands, 0 if one demands nothing: all that a shared socket may enforce. */
function leastHops(peers: readonly AcceptedPeer[], family: IpFamily): number {
  const demands = peers.filter(({ address }) => familyOf(address) === family).map(({ hopLimit }) => hopLimit.receiveAtLeast ?? 0)
  return demands.length === 0 ? 0 : Math.min(...demands)
}

/** Node keeps the descriptor of a socket to itself but for this field, which every version since 0.10 has had. */
function descriptorOf(socket: net.Socket): number | null {
  if (!('_handle' in socket)) return null
  const handle: unknown = socket._handle
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return null
  return typeof handle.fd === 'number' && handle.fd >= 0 ? handle.fd : null
}
