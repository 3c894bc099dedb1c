// Why something failed, in words for the person who has to repair it.
import { formatIp } from '../net/index.ts'
import type { Event } from './fsm/index.ts'
import type { FsmStateName, PeerSettings } from './peer-types.ts'
import type { CloseReason } from './transport.ts'

type Target = Pick<PeerSettings, 'address' | 'interface' | 'port' | 'password' | 'sourceAddress'>

function shown({ address, interface: device, port }: Target): string {
  const host = device === null ? formatIp(address) : `${formatIp(address)}%${device}`
  return typeof address === 'bigint' ? `[${host}]:${port}` : `${host}:${port}`
}

/** A wrong TCP MD5 key looks like silence, because the kernel drops what it cannot verify (RFC 2385 §2). */
export function noAnswer(target: Target): string {
  const about =
    target.password === null
      ? 'the peer is unreachable, or it wants a TCP MD5 password and we have none configured'
      : 'wrong or missing TCP MD5 password, or the peer is unreachable'
  return `no answer from ${shown(target)}: ${about}`
}

export function dialFailure(target: Target, code: string, message: string): string {
  switch (code) {
    case 'ECONNREFUSED':
      return `connection refused by ${shown(target)}: no BGP speaker listens there, or it does not want us`
    case 'ETIMEDOUT':
      return noAnswer(target)
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'ENETDOWN':
      return `no route to ${shown(target)} (${code})`
    case 'EADDRNOTAVAIL':
      return target.sourceAddress === null
        ? `this host has no address to reach ${shown(target)} from`
        : `source address ${formatIp(target.sourceAddress)} is not configured on this host`
    case 'ENODEV':
      return `interface ${target.interface ?? '?'} does not exist on this host`
    case 'ECONNRESET':
      return `connection reset by ${shown(target)} while it was being made`
    default:
      return `cannot connect to ${shown(target)}: ${message}`
  }
}

/** `phase`: how far the session had come. */
export function connectionLost(phase: 'OpenSent' | 'OpenConfirm' | 'Established', reason: CloseReason): string {
  switch (reason.kind) {
    case 'closedByUs':
      return 'we closed the connection'
    case 'closedByPeer':
      return phase === 'OpenSent'
        ? 'the peer closed the connection before its OPEN: is this address configured as its peer?'
        : 'the peer closed the connection without a NOTIFICATION'
    case 'error':
      if (reason.code === 'ECONNRESET') {
        return phase === 'OpenSent'
          ? 'the peer reset the connection before its OPEN: is this address configured as its peer?'
          : 'connection reset by peer'
      }
      if (reason.code === 'ETIMEDOUT') return 'the peer stopped acknowledging what we send (TCP timeout)'
      return `connection failed: ${reason.message}`
  }
}

/** For events that carry no reason of their own: messages that are fine in themselves, but not now. */
export function unexpected(event: Event, state: FsmStateName): string {
  switch (event.kind) {
    case 'openReceived':
      return `the peer sent an unexpected OPEN in state ${state}`
    case 'keepaliveReceived':
      return `the peer sent an unexpected KEEPALIVE in state ${state}`
    case 'updateReceived':
      return `the peer sent an unexpected UPDATE in state ${state}`
    case 'routeRefreshReceived':
      return `the peer sent an unexpected ROUTE-REFRESH in state ${state}`
    case 'openCollisionDump':
      return 'connection collision: the other connection stays'
    default:
      return `the session ended on ${event.kind} in state ${state}`
  }
}
