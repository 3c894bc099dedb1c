// How a node's own address is found among those of its host, where nobody wrote it down: pure, from what the host shows at the moment,
// so that an address that changes is followed.
import { err, ok, type Result } from '../../lib/result.ts'
import {
  bitsOf,
  cidr,
  containsAddress,
  familyOf,
  type HostNetwork,
  type IpAddress,
  type IpFamily,
  isIpv4,
  isLinkLocalIpv6,
  isUsableUnicast,
  type Prefix,
  parseIp,
  parsePrefix,
  prefix,
  prefixFamily,
} from '../../net/index.ts'

/** One family's way to the node's address (`--ipv4-detection`, `--ipv6-detection`). */
export type Detection =
  /** On the interface of the default route, else the first that can be reached from outside. */
  | { readonly kind: 'firstFound' }
  /** What the kubelet says: the InternalIP of the Node's status. */
  | { readonly kind: 'internalIp' }
  /** On the first interface whose name one of these expressions matches, in their order. */
  | { readonly kind: 'interface'; readonly patterns: readonly string[] }
  /** As `firstFound`, but on none of these. */
  | { readonly kind: 'skipInterface'; readonly patterns: readonly string[] }
  /** The first within one of these ranges, in their order. */
  | { readonly kind: 'cidr'; readonly ranges: readonly Prefix[] }
  /** The one this host would speak from to that address. */
  | { readonly kind: 'canReach'; readonly destination: IpAddress }

type LocalAddress = HostNetwork['localAddresses'][number]

const METHODS = 'first-found, kubernetes-internal-ip, interface=REGEX,…, skip-interface=REGEX,…, cidr=CIDR,… or can-reach=ADDRESS'

/** Reads the text of an option; the error says in words what is wrong. */
export function parseDetection(text: string, family: IpFamily): Result<Detection, string> {
  const at = text.indexOf('=')
  const method = at < 0 ? text : text.slice(0, at)
  const values = at < 0 ? [] : text.slice(at + 1).split(',')
  const isBare = method === 'first-found' || method === 'kubernetes-internal-ip'
  if (isBare) {
    if (at >= 0) return err(`${method} takes no value`)
    return ok({ kind: method === 'first-found' ? 'firstFound' : 'internalIp' })
  }
  if (values.length === 0 || values.some((value) => value === ''))
    return err(`${JSON.stringify(text)} is no way to find an address; write ${METHODS}`)
  switch (method) {
    case 'interface':
    case 'skip-interface': {
      const bad = values.find((value) => !isRegex(value))
      if (bad !== undefined) return err(`${JSON.stringify(bad)} is not a regular expression`)
      return ok({ kind: method === 'interface' ? 'interface' : 'skipInterface', patterns: values })
    }
    case 'cidr': {
      const bad = values.find((value) => !isRangeOf(value, family))
      if (bad !== undefined)
        return err(`${JSON.stringify(bad)} is not an IPv${family} range, such as ${family === 4 ? '10.0.0.0/8' : 'fd00::/8'}`)
      return ok({ kind: 'cidr', ranges: values.map((value) => cidr(value)) })
    }
    case 'can-reach': {
      const destination = parseIp(values.join(','))
      if (destination === null || familyOf(destination) !== family)
        return err(`can-reach needs an IPv${family} address, such as ${family === 4 ? '10.0.0.1' : 'fd00::1'}; names are not looked up`)
      return ok({ kind: 'canReach', destination })
    }
    default:
      return err(`${JSON.stringify(text)} is no way to find an address; write ${METHODS}`)
  }
}

/** The address of the host that this way leads to; null: none. Not for `internalIp`, which is no matter of the host. */
export function detectAddress(
  network: HostNetwork,
  family: IpFamily,
  how: Exclude<Detection, { readonly kind: 'internalIp' }> = { kind: 'firstFound' },
): LocalAddress | null {
  const names = new Map(network.interfaces.map(({ index, name }) => [index, name]))
  const nameOf = ({ interfaceIndex }: LocalAddress): string => names.get(interfaceIndex) ?? ''
  // Whether a link is up does not matter: a cable that is out for a second must not give the node another address, or none.
  const candidates = network.localAddresses.filter(({ address }) => canBeNodeAddress(address, family))
  const ofUplinks = candidates.filter((local) => !NOT_AN_UPLINK.test(nameOf(local)))
  switch (how.kind) {
    case 'firstFound':
      return likeliest(ofUplinks, network, family)
    case 'skipInterface': {
      const skipped = how.patterns.map((pattern) => new RegExp(pattern))
      return likeliest(
        ofUplinks.filter((local) => !skipped.some((pattern) => pattern.test(nameOf(local)))),
        network,
        family,
      )
    }
    case 'interface':
      return firstOf(how.patterns, (pattern) => {
        const expression = new RegExp(pattern)
        return candidates.find((local) => expression.test(nameOf(local)))
      })
    case 'cidr':
      return firstOf(how.ranges, (range) => ofUplinks.find(({ address }) => containsAddress(range, address)))
    case 'canReach':
      return towards(how.destination, candidates, network)
  }
}

/** Of this family, and no address that only this link or this host knows. */
function canBeNodeAddress(address: IpAddress, family: IpFamily): boolean {
  if (familyOf(address) !== family || !isUsableUnicast(address) || isLinkLocalIpv6(address)) return false
  return !(isIpv4(address) && address >>> 16 === 0xa9fe) // 169.254/16, RFC 3927
}

/** Names of interfaces that hold no node address: container, bridge and tunnel devices of this and other systems. */
const NOT_AN_UPLINK = /^(lo|fib|cali|cni|docker|br-|virbr|veth|flannel|kube-|cilium|lxc|tun|wg|podman|nodelocaldns)/

/** The address a host would speak from: on the interface of its default route if it has one, else the first that is usable. */
function likeliest(candidates: readonly LocalAddress[], network: HostNetwork, family: IpFamily): LocalAddress | null {
  const defaults = network.routes
    .filter(({ prefix: to }) => to.length === 0 && familyOf(to.address) === family)
    .sort((a, b) => a.metric - b.metric)
  const onDefault = candidates.find(({ interfaceIndex }) => defaults.some((route) => route.interfaceIndex === interfaceIndex))
  // A host address (/32 on a loopback-like interface) is a choice of the administrator, but never the only sign of one.
  const routed = candidates.find(({ prefixLength }) => prefixLength < bitsOf(family))
  return onDefault ?? routed ?? candidates[0] ?? null
}

/** On the interface of the longest matching route: the address in whose subnet the next hop is, else the first. */
function towards(destination: IpAddress, candidates: readonly LocalAddress[], network: HostNetwork): LocalAddress | null {
  const routes = network.routes
    .filter(({ prefix: to }) => familyOf(to.address) === familyOf(destination) && containsAddress(to, destination))
    .sort((a, b) => b.prefix.length - a.prefix.length || a.metric - b.metric)
  return firstOf(routes, ({ interfaceIndex, gateway }) => {
    const there = candidates.filter((local) => local.interfaceIndex === interfaceIndex)
    const next = gateway ?? destination
    const isOnLink = ({ address, prefixLength }: LocalAddress): boolean =>
      familyOf(next) === familyOf(address) && containsAddress(prefix(address, prefixLength), next)
    return there.find(isOnLink) ?? there[0]
  })
}

function firstOf<T>(list: readonly T[], find: (item: T) => LocalAddress | undefined): LocalAddress | null {
  for (const item of list) {
    const found = find(item)
    if (found !== undefined) return found
  }
  return null
}

function isRegex(text: string): boolean {
  try {
    new RegExp(text)
    return true
  } catch {
    return false
  }
}

function isRangeOf(text: string, family: IpFamily): boolean {
  const range = parsePrefix(text)
  return range !== null && prefixFamily(range) === family
}
