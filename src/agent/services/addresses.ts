// Which addresses of a service are advertised: those inside the configured ranges, of a service that is served at addresses at all,
// and whose load balancer is ours (pure).
import {
  containsAddress,
  familyOf,
  formatIp,
  formatPrefix,
  hostPrefix,
  type IpAddress,
  type IpFamily,
  isUsableUnicast,
  type Prefix,
  parseIp,
} from '../../net/index.ts'
import { ADVERTISE_ANNOTATION, type ResourceOf } from '../../store/index.ts'

export type ServiceRanges = {
  readonly clusterIPs: readonly Prefix[]
  readonly externalIPs: readonly Prefix[]
  readonly loadBalancerIPs: readonly Prefix[]
  /** Load balancer classes that are ours, beside none at all. */
  readonly classes: readonly string[]
}

export type ServiceAddress = {
  readonly prefix: Prefix
  /** Canonical text of `prefix`. */
  readonly key: string
  readonly family: IpFamily
  /** `Local`: only where an endpoint is. A `Cluster` address goes wherever the service is served. */
  readonly policy: 'Cluster' | 'Local'
}

export type Offer = {
  readonly addresses: readonly ServiceAddress[]
  /** What is wrong with the service, in words. */
  readonly faults: readonly string[]
}

type Service = ResourceOf<'Service'>

const NOTHING: Offer = { addresses: [], faults: [] }

export function offerOf(service: Service, ranges: ServiceRanges): Offer {
  const { spec, metadata } = service
  if (spec.type === 'ExternalName') return NOTHING
  const wanted = metadata.annotations[ADVERTISE_ANNOTATION] ?? 'true'
  if (wanted === 'false') return NOTHING
  if (wanted !== 'true') {
    return {
      addresses: [],
      faults: [
        `its annotation ${ADVERTISE_ANNOTATION} is ${JSON.stringify(wanted.slice(0, 40))}, so none of its addresses is advertised; write "false", or take it away`,
      ],
    }
  }
  const faults: string[] = []
  const found = new Map<string, ServiceAddress>()
  const add = (texts: readonly string[], within: readonly Prefix[], policy: ServiceAddress['policy']): void => {
    for (const address of addressesIn(texts)) {
      if (!within.some((range) => containsAddress(range, address))) continue
      const prefix = hostPrefix(address)
      const key = formatPrefix(prefix)
      // An address that is wanted twice, as cluster IP and external IP, goes the wider way.
      if (found.get(key)?.policy !== 'Cluster') found.set(key, { prefix, key, family: familyOf(address), policy })
    }
  }
  const isExternalLocal = spec.externalTrafficPolicy === 'Local'
  // The range as a whole leads to every node: a cluster IP has a route of its own only where one node is as good as none.
  if (isExternalLocal || spec.internalTrafficPolicy === 'Local') add(clusterIPsOf(service), ranges.clusterIPs, 'Local')
  const external = isExternalLocal ? 'Local' : 'Cluster'
  add(spec.externalIPs, ranges.externalIPs, external)
  if (spec.type === 'LoadBalancer') {
    const ofClass = spec.loadBalancerClass
    if (ofClass === undefined || ranges.classes.includes(ofClass)) {
      const given = balancerIPsOf(service)
      add(given, ranges.loadBalancerIPs, external)
      if (ofClass !== undefined) faults.push(...strays(given, ranges.loadBalancerIPs))
    }
  }
  return { addresses: [...found.values()], faults }
}

/** Headless services have none: `None`. */
function clusterIPsOf({ spec: { clusterIP, clusterIPs } }: Service): readonly string[] {
  return clusterIPs.length > 0 ? clusterIPs : clusterIP === undefined ? [] : [clusterIP]
}

/** Without those that nodes do not answer to (`ipMode: Proxy`, KEP-1860). */
function balancerIPsOf({ status }: Service): readonly string[] {
  return status.loadBalancer.ingress.flatMap(({ ip, ipMode = 'VIP' }) => (ip === undefined || ipMode !== 'VIP' ? [] : [ip]))
}

function addressesIn(texts: readonly string[]): readonly IpAddress[] {
  return texts.flatMap((text) => {
    const address = parseIp(text)
    return address === null || !isUsableUnicast(address) ? [] : [address]
  })
}

/** Who asks for our class expects the address to be advertised; without a class it may be anybody's. */
function strays(texts: readonly string[], ranges: readonly Prefix[]): readonly string[] {
  return addressesIn(texts)
    .filter((address) => !ranges.some((range) => containsAddress(range, address)))
    .map(
      (address) =>
        `its load balancer class is ours, but its address ${formatIp(address)} is in no range of serviceLoadBalancerIPs, so it is not advertised; add a range to BGPConfiguration, or give the service another address`,
    )
}
