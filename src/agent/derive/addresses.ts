// The BGP addresses of nodes. A node's annotation comes first. Our own comes next from what the agent was told to look for, else from
// the Node's status, else from what the host shows. Of others only their Node objects are known: what an agent was told to look for, it
// writes there (`detected-ipv4-address`), so that they agree with it.
import {
  familyOf,
  formatIp,
  type HostNetwork,
  type IpAddress,
  type IpFamily,
  isLinkLocalIpv6,
  isUsableUnicast,
  parseIp,
  parsePrefix,
} from '../../net/index.ts'
import { NODE_ANNOTATION, type Node } from '../../store/index.ts'
import { type Detection, detectAddress } from './detection.ts'

export type NodeAddress = {
  readonly address: IpAddress
  /** null: neither the host nor an annotation says. */
  readonly prefixLength: number | null
  /** The interface that has it; null: none has. */
  readonly interface: string | null
  /** Where it comes from: the annotation, the status of the Node, or the host itself. */
  readonly origin: 'annotation' | 'status' | 'host'
}

/** What an agent was told to look for, of each family; null: nothing, so the Node's status comes first. */
export type Detections = { readonly ipv4: Detection | null; readonly ipv6: Detection | null }

const WRITTEN = { 4: NODE_ANNOTATION.ipv4Address, 6: NODE_ANNOTATION.ipv6Address } as const
const DETECTED = { 4: NODE_ANNOTATION.detectedIpv4Address, 6: NODE_ANNOTATION.detectedIpv6Address } as const

/** `refuse` is told what is wrong with an annotation. */
export type Refuse = (annotation: string, message: string) => null

/** The address of another node, as its Node object tells it. */
export function addressOf(node: Node | undefined, family: IpFamily, refuse: Refuse): IpAddress | null {
  const written = annotated(node, family, refuse)
  if (written !== null) return written.address
  const detected = parseNodeAddress(node?.metadata.annotations[DETECTED[family]] ?? '', family)
  return detected?.address ?? internalAddress(node, family)
}

/** Our own address, with what the host knows about it. */
export function ownAddress(
  node: Node | undefined,
  family: IpFamily,
  host: HostNetwork,
  detection: Detection | null,
  refuse: Refuse,
): NodeAddress | null {
  const written = annotated(node, family, refuse)
  if (written !== null) return located(written.address, written.prefixLength, 'annotation', host)
  if (detection !== null && detection.kind !== 'internalIp') {
    const found = detectAddress(host, family, detection)
    return found === null ? null : located(found.address, found.prefixLength, 'host', host)
  }
  const internal = internalAddress(node, family)
  if (internal !== null) return located(internal, null, 'status', host)
  const found = detection === null ? detectAddress(host, family) : null
  return found === null ? null : located(found.address, found.prefixLength, 'host', host)
}

/** What our Node's annotations of detected addresses have to be; null: absent. */
export function annotationsWanted(
  { ipv4, ipv6 }: { readonly ipv4: NodeAddress | null; readonly ipv6: NodeAddress | null },
  detections: Detections,
): Readonly<Record<string, string | null>> {
  const wanted = (own: NodeAddress | null, detection: Detection | null): string | null => {
    const isToldByNode = own === null || own.origin !== 'host' || detection === null
    return isToldByNode ? null : `${formatIp(own.address)}${own.prefixLength === null ? '' : `/${own.prefixLength}`}`
  }
  return { [DETECTED[4]]: wanted(ipv4, detections.ipv4), [DETECTED[6]]: wanted(ipv6, detections.ipv6) }
}

function annotated(node: Node | undefined, family: IpFamily, refuse: Refuse): ReturnType<typeof parseNodeAddress> {
  const text = node?.metadata.annotations[WRITTEN[family]]
  if (text === undefined) return null
  const like = family === 4 ? '10.0.0.11/24' : 'fd00::11/64'
  return (
    parseNodeAddress(text, family) ?? refuse(WRITTEN[family], `is not an IPv${family} address with prefix length; write it like ${like}`)
  )
}

/** `10.0.0.11/24`, or the address alone; null if it is not one a peer could reach. */
function parseNodeAddress(text: string, family: IpFamily): { readonly address: IpAddress; readonly prefixLength: number | null } | null {
  const [addressText = '', length] = text.split('/')
  const address = parseIp(addressText)
  if (address === null || familyOf(address) !== family || !isUsableUnicast(address) || isLinkLocalIpv6(address)) return null
  if (length === undefined) return { address, prefixLength: null }
  return parsePrefix(text) === null ? null : { address, prefixLength: Number(length) }
}

function internalAddress(node: Node | undefined, family: IpFamily): IpAddress | null {
  for (const { type, address } of node?.status.addresses ?? []) {
    const parsed = type === 'InternalIP' ? parseIp(address) : null
    if (parsed !== null && familyOf(parsed) === family) return parsed
  }
  return null
}

function located(address: IpAddress, prefixLength: number | null, origin: NodeAddress['origin'], host: HostNetwork): NodeAddress {
  const there = host.localAddresses.find((local) => local.address === address)
  const name = host.interfaces.find(({ index }) => index === there?.interfaceIndex)?.name ?? null
  return { address, prefixLength: prefixLength ?? there?.prefixLength ?? null, interface: name, origin }
}
