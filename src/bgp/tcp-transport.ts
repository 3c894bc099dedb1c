// Transport on real sockets. They are made through `sys`, because Node cannot set what BGP needs before a connection exists, and
// then run by Node's `net`. The whole of a dial's or a listener's set-up is synchronous, so it may happen inside `inNetns`.
import net from 'node:net'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { familyOf, formatIp, type IpAddress, ipv4, ipv6, isLinkLocalIpv6 } from '../net/index.ts'
import {
  bindTcp,
  bindToDevice,
  openTcpSocket,
  orClose,
  setLeastReceivedHops,
  setMd5Key,
  setSendHops,
  setUserTimeout,
} from '../sys/tcp-socket.ts'
import { TcpConnection } from './tcp-connection.ts'
import { TcpListener } from './tcp-listener.ts'
import { codeOf, endpoint, hostOf, messageOf, whyNotListening } from './tcp-names.ts'
import { type AcceptedPeer, type Connection, type DialOptions, type PendingDial, type Transport, TransportError } from './transport.ts'

const WILDCARDS: readonly IpAddress[] = [ipv4(0), ipv6(0n)]

export class TcpTransport implements Transport {
  readonly #clock: Clock
  readonly #log: Log

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = clock
    this.#log = log
  }

  dial(
    options: DialOptions,
    connected: (connection: Connection) => void,
    failed: (reason: { code: string; message: string }) => void,
  ): PendingDial {
    const { remote } = options
    let fd: number
    try {
      fd = openDialSocket(options)
    } catch (cause) {
      const code = codeOf(cause)
      return this.#clock.after(0, () => failed({ code, message: messageOf(cause) }))
    }
    // `manualStart` is missing in the types: without it Node would read from the socket before it is connected.
    const adopted = { fd, manualStart: true, allowHalfOpen: true }
    const socket = new net.Socket(adopted)
    const onError = (error: NodeJS.ErrnoException): void => failed({ code: error.code ?? 'EIO', message: error.message })
    let isUp = false
    socket.once('error', onError)
    socket.once('connect', () => {
      isUp = true
      socket.off('error', onError)
      const local = endpoint(socket.localAddress, socket.localPort) ?? { ...remote, port: 0 }
      connected(new TcpConnection(socket, this.#clock, { local, remote, direction: 'outgoing' }))
    })
    socket.connect({ host: hostOf(remote), port: remote.port })
    return {
      [Symbol.dispose]: () => {
        if (isUp) return
        socket
          .removeAllListeners('connect')
          .off('error', onError)
          .on('error', () => {}) // cancelled: nobody is to hear of it
        socket.destroy()
      },
    }
  }

  listen(
    addresses: readonly IpAddress[],
    port: number,
    accepted: (connection: Connection) => void,
    peers: readonly AcceptedPeer[] = [],
  ): TcpListener {
    const listener = new TcpListener({ clock: this.#clock, log: this.#log }, accepted)
    try {
      for (const address of addresses.length === 0 ? WILDCARDS : addresses) {
        try {
          listener.open(address, port, peers)
        } catch (cause) {
          const isOptional = addresses.length === 0 && familyOf(address) === 6 && codeOf(cause) === 'EAFNOSUPPORT' // a host without IPv6
          if (!isOptional)
            throw new TransportError(codeOf(cause), `cannot listen on ${formatIp(address)} port ${port}: ${whyNotListening(cause)}`, cause)
        }
      }
      listener.setPeers(peers)
    } catch (cause) {
      listener[Symbol.dispose]()
      throw cause
    }
    return listener
  }
}

function openDialSocket({ remote, sourceAddress, password, hopLimit, userTimeoutMs }: DialOptions): number {
  const family = familyOf(remote.address)
  const fd = openTcpSocket(family)
  return orClose(fd, () => {
    setSendHops(fd, family, hopLimit.send)
    if (hopLimit.receiveAtLeast !== null) setLeastReceivedHops(fd, family, hopLimit.receiveAtLeast)
    setUserTimeout(fd, userTimeoutMs)
    if (password !== null) setMd5Key(fd, remote.address, password)
    if (remote.interface !== null) bindToDevice(fd, remote.interface)
    if (sourceAddress !== null) bindTcp(fd, sourceAddress, 0, isLinkLocalIpv6(sourceAddress) ? remote.interface : null)
  })
}
