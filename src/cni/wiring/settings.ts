// Kernel settings of both ends of a pod's link. What netlink can set needs no /proc/sys; the rest is written only where it differs,
// because /proc/sys may be read-only, and reported in words where that matters.
//
// Not set, on purpose: route_localnet (a pod has no business with the node's 127.0.0.0/8; portmap and kube-proxy set it where they
// need it), and proxy_ndp (the pod's IPv6 gateway is an address that the host end really has).
import fs from 'node:fs'
import { WRITABLE_PROC_SYS } from '../../sys/proc-sys.ts'
import { ADDR_GEN_MODE, type LinkChange, type LinkView } from '../../sys/rtnetlink/index.ts'
import { messageOf } from './pod-namespace.ts'

/** A setting below /proc/sys/net that is not as it should be. */
export type Sysctl = {
  readonly path: string
  readonly value: number
  /** What comes of it if it stays as it is; null: nothing to speak of. */
  readonly consequence: string | null
  /** Without it there is no point in going on. */
  readonly isVital: boolean
}

/** Writes settings of the namespace the thread is in. Returns warnings; throws SettingError for one that is vital. */
export function writeSysctls(settings: readonly Sysctl[]): readonly string[] {
  return settings.flatMap(({ path, value, consequence, isVital }) => {
    try {
      fs.writeFileSync(`${WRITABLE_PROC_SYS}/net/${path}`, `${value}\n`)
      return []
    } catch (cause) {
      const words = `cannot set net/${path} to ${value}: ${messageOf(cause)}${consequence === null ? '' : `; ${consequence}`}`
      if (isVital) throw new SettingError(words)
      return consequence === null ? [] : [`${words}; let the agent write /proc/sys/net`]
    }
  })
}

class SettingError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'SettingError'
  }
}

/** How the host end is set by netlink, before it comes up. The kernel uses the stricter of rp_filter here and of `all`, unless that is 2. */
export function hostChange(hasIpv6: boolean): LinkChange {
  return {
    // The source check (RFC 3704 §2.2): a pod sends from its own addresses only. Its IPv6 half needs a filter rule.
    ipv4: { forwarding: 1, proxyArp: 1, rpFilter: 1 },
    addrGenMode: hasIpv6 ? ADDR_GEN_MODE.eui64 : ADDR_GEN_MODE.none,
  }
}

/** IPv6 settings of the host end that differ from what they should be: off without an address in the pod, a router's with one. */
export function hostSysctls({ name, ipv6 }: LinkView, hasIpv6: boolean): readonly Sysctl[] {
  if (ipv6 === null) return []
  const settings: Sysctl[] = []
  const want = (key: string, value: number, consequence: string | null, isVital = false): void => {
    settings.push({ path: `ipv6/conf/${name}/${key}`, value, consequence, isVital })
  }
  // With forwarding on, 1 means the same as 0 (Documentation/networking/ip-sysctl.rst).
  const isHeeded = ipv6.acceptRa === 2 || (ipv6.acceptRa === 1 && ipv6.forwarding !== 1)
  const ofAdvertisements = isHeeded ? 'a pod could give the node routes by router advertisement' : null
  if (!hasIpv6) {
    if (ipv6.disableIpv6 !== 1) want('disable_ipv6', 1, ofAdvertisements)
    return settings
  }
  if (ipv6.disableIpv6 !== 0) want('disable_ipv6', 0, 'the pod has an IPv6 address', true)
  if (ipv6.forwarding !== 1) want('forwarding', 1, 'the host end acts as a host towards the pod, not as a router')
  if (ipv6.acceptRa !== 0) want('accept_ra', 0, ofAdvertisements)
  return settings
}

/** IPv6 settings of the pod's end that differ: off without an address, never by router advertisement. */
export function podSysctls({ name, ipv6 }: LinkView, hasIpv6: boolean): readonly Sysctl[] {
  if (ipv6 === null) return []
  const settings: Sysctl[] = []
  const want = (key: string, value: number, consequence: string | null, isVital = false): void => {
    settings.push({ path: `ipv6/conf/${name}/${key}`, value, consequence, isVital })
  }
  if (hasIpv6 && ipv6.disableIpv6 !== 0) want('disable_ipv6', 0, 'the pod has an IPv6 address', true)
  // No address, so nothing to speak from: addrGenMode none sees to that even where this cannot be written.
  if (!hasIpv6 && ipv6.disableIpv6 !== 1) want('disable_ipv6', 1, null)
  // The node sends no router advertisements, and forwards none: this is against a future of them.
  if (hasIpv6 && ipv6.acceptRa !== 0) want('accept_ra', 0, null)
  return settings
}

/** Warns if the kernel checks sources loosely on every interface, whatever the interface says. */
export function sourceCheckWarnings(): readonly string[] {
  try {
    if (fs.readFileSync('/proc/sys/net/ipv4/conf/all/rp_filter', 'utf8').trim() !== '2') return []
  } catch {
    return []
  }
  return ['net/ipv4/conf/all/rp_filter is 2, which makes the source check of pods loose: set it to 0 or 1']
}
