// The port to tunnel devices over rtnetlink.
import fs from 'node:fs'
import { err, ok, type Result } from '../../lib/result.ts'
import { type IpAddress, type IpFamily, ip, ipFromBytes, isIpv4 } from '../../net/index.ts'
import { SysError } from '../../sys/libc.ts'
import { eachAttribute, readText } from '../../sys/netlink-message.ts'
import { NetlinkError } from '../../sys/netlink-socket.ts'
import {
  ADDR_GEN_MODE,
  changeLink,
  changeTunnel,
  createTunnel,
  deleteLink,
  getLink,
  type NetlinkRequest,
  Rtnetlink,
  readLink,
  type Tunnel,
} from '../../sys/rtnetlink/index.ts'
import type { TunnelBackend, TunnelRefusal } from './backend.ts'
import { TUNNELS, type TunnelState, type TunnelStep, type WantedTunnel } from './plan.ts'

const IFINFOMSG_LENGTH = 16
const IFLA_LINKINFO = 18
const IFLA_INFO_KIND = 1
const IFLA_INFO_DATA = 2
const IFLA_IPTUN_LOCAL = 2
const IFLA_IPTUN_REMOTE = 3
const IFLA_IPTUN_PROTO = 9
const IFLA_IPTUN_COLLECT_METADATA = 19
const PROTOCOLS = { 4: 4, 6: 41 } as const
/** Hops between two nodes; fixed, so that whoever traces a route across the tunnel sees it as one hop. */
const OUTER_TTL = 64
const ALREADY_GONE: ReadonlySet<string> = new Set(['ENODEV', 'ENXIO'])

export class NetlinkTunnelBackend implements TunnelBackend {
  readonly #rtnetlink = new Rtnetlink()

  find(family: IpFamily): Result<TunnelState | null, TunnelRefusal> {
    let state: TunnelState | null = null
    const asked = this.#try(() =>
      this.#rtnetlink.ask(getLink(TUNNELS[family].name), (view, _type, _flags, from, to) => {
        state = readTunnel(family, view, from, to)
      }),
    )
    if (!asked.ok && !ALREADY_GONE.has(asked.error.code)) return asked
    return ok(state)
  }

  perform(family: IpFamily, step: TunnelStep): Result<void, TunnelRefusal> {
    switch (step.kind) {
      case 'create':
        return this.#create(family, step.tunnel, step.index)
      case 'relocate':
        return this.#request(changeTunnel(step.index, ipv4Tunnel(step.tunnel)))
      case 'setMtu':
        return this.#request(changeLink(step.index, { mtu: step.mtu }))
      case 'setUp':
        return this.#request(changeLink(step.index, { isUp: true }))
      case 'remove': {
        const done = this.#request(deleteLink(step.index))
        return !done.ok && ALREADY_GONE.has(done.error.code) ? ok(undefined) : done
      }
    }
  }

  [Symbol.dispose](): void {
    this.#rtnetlink[Symbol.dispose]()
  }

  #create(family: IpFamily, tunnel: WantedTunnel, index: number | null): Result<void, TunnelRefusal> {
    const { name } = TUNNELS[family]
    const made = this.#request(createTunnel({ ...tunnelOf(family, tunnel), ...(index === null ? {} : { index }) }))
    if (!made.ok) return made
    // A packet may come in by the tunnel and be answered by a plain path. The kernel uses the higher value of `all` and this one,
    // so where `all` is strict only loose helps. Refusals are no obstacle: applySysctls reports what is not as it should be.
    this.#request(changeLink(name, { ipv4: { rpFilter: isStrictForAll() ? 2 : 0, forwarding: 1 } }))
    this.#request(changeLink(name, { addrGenMode: ADDR_GEN_MODE.none })) // nobody asks for link-local addresses on it
    return this.#request(changeLink(name, { isUp: true }))
  }

  #request(request: NetlinkRequest): Result<void, TunnelRefusal> {
    return this.#try(() => this.#rtnetlink.request(request))
  }

  #try(action: () => void): Result<void, TunnelRefusal> {
    try {
      action()
      return ok(undefined)
    } catch (cause) {
      if (!(cause instanceof SysError)) throw cause
      return err({ code: cause.code, text: cause instanceof NetlinkError ? cause.kernelText : null })
    }
  }
}

function ipv4Tunnel({ local, mtu }: WantedTunnel): Tunnel {
  if (!isIpv4(local)) throw new RangeError('an IPv4 tunnel has an IPv4 end')
  return { kind: 'ipip', name: TUNNELS[4].name, local, mtu, ttl: OUTER_TTL, isPathMtuDiscovered: true }
}

function tunnelOf(family: IpFamily, wanted: WantedTunnel): Tunnel {
  return family === 4 ? ipv4Tunnel(wanted) : { kind: 'ip6tnl', name: TUNNELS[6].name, mtu: wanted.mtu }
}

function isStrictForAll(): boolean {
  try {
    return fs.readFileSync('/proc/sys/net/ipv4/conf/all/rp_filter', 'utf8').trim() === '1'
  } catch {
    return false // no /proc/sys: nothing is known, and applySysctls says so
  }
}

/** Reads the payload of RTM_NEWLINK; null if it is malformed. */
function readTunnel(family: IpFamily, view: DataView, from: number, to: number): TunnelState | null {
  const link = readLink(view, from, to)
  if (link === null) return null
  const any = ip(family === 4 ? '0.0.0.0' : '::')
  const data: { local: IpAddress | null; remote: IpAddress; protocol: number; isExternal: boolean; kind: string } = {
    local: null,
    remote: any,
    protocol: PROTOCOLS[family],
    isExternal: false,
    kind: '',
  }
  const octets = family === 4 ? 4 : 16
  const addressAt = (at: number): IpAddress => ipFromBytes(family, new Uint8Array(view.buffer, view.byteOffset + at, octets))
  const readData = (type: number, start: number, end: number): void => {
    if (type === IFLA_IPTUN_LOCAL && end - start === octets) data.local = addressAt(start)
    else if (type === IFLA_IPTUN_REMOTE && end - start === octets) data.remote = addressAt(start)
    else if (type === IFLA_IPTUN_PROTO && end > start) data.protocol = view.getUint8(start)
    else if (type === IFLA_IPTUN_COLLECT_METADATA) data.isExternal = true
  }
  eachAttribute(view, from + IFINFOMSG_LENGTH, to, (type, start, end) => {
    if (type !== IFLA_LINKINFO) return
    eachAttribute(view, start, end, (inner, at, stop) => {
      if (inner === IFLA_INFO_KIND) data.kind = readText(view, at, stop)
      else if (inner === IFLA_INFO_DATA && data.kind === TUNNELS[family].kind) eachAttribute(view, at, stop, readData)
    })
  })
  return {
    index: link.index,
    mtu: link.mtu,
    isUp: link.isUp,
    local: data.local === any ? null : data.local,
    isOurs:
      data.kind === TUNNELS[family].kind &&
      data.remote === any &&
      data.protocol === PROTOCOLS[family] &&
      data.isExternal === (family === 6),
  }
}
