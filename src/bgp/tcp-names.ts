// Addresses as Node's `net` writes them, and error codes as BGP people read them.
import { formatIp, isLinkLocalIpv6, parseIp } from '../net/index.ts'
import { SysError } from '../sys/libc.ts'
import type { Endpoint } from './transport.ts'

/** An endpoint from the texts Node gives, `fe80::1%eth0` included; null when it has none, because the socket is gone. */
export function endpoint(host: string | undefined, port: number | undefined): Endpoint | null {
  const [text = '', device] = (host ?? '').split('%')
  const address = parseIp(text)
  return address === null || port === undefined ? null : { address, interface: device ?? null, port }
}

/** The text Node's `connect` wants. */
export function hostOf({ address, interface: device }: Endpoint): string {
  return device !== null && isLinkLocalIpv6(address) ? `${formatIp(address)}%${device}` : formatIp(address)
}

export function codeOf(cause: unknown): string {
  return cause instanceof SysError ? cause.code : 'EIO'
}

export function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

/** Why an address cannot be listened on, and what to do. */
export function whyNotListening(cause: unknown): string {
  switch (codeOf(cause)) {
    case 'EADDRINUSE':
      return 'another program listens there'
    case 'EADDRNOTAVAIL':
      return 'the address is not configured on this host'
    case 'EACCES':
      return 'not permitted (ports below 1024 need root or CAP_NET_BIND_SERVICE)'
    default:
      return messageOf(cause)
  }
}
