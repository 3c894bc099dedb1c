// Which addresses a pod asks for: the runtime's runtimeConfig.ips, else the annotations of the pod (pure).
import type { Labels } from '../lib/label-selector.ts'
import { err, ok, type Result } from '../lib/result.ts'
import { familyOf, formatIp, IP_FAMILIES, type IpAddress, parseIp } from '../net/index.ts'
import { CNI_CODE, type CniFault } from './error.ts'
import { shown } from './json.ts'

const ADDRESSES_ANNOTATION = 'fibula.network/ip-addrs'
const IPV4_POOLS_ANNOTATION = 'fibula.network/ipv4-pools'
const IPV6_POOLS_ANNOTATION = 'fibula.network/ipv6-pools'

export type PodRequest = {
  readonly requested: readonly IpAddress[]
  readonly pools: { readonly ipv4: readonly string[] | null; readonly ipv6: readonly string[] | null }
}

/** What the pod asks for. The runtime's wish, where there is one, stands above the annotation. */
export function podRequest(annotations: Labels, requestedIps: readonly IpAddress[]): Result<PodRequest, CniFault> {
  const written = readList(annotations, ADDRESSES_ANNOTATION, 'addresses, such as ["10.244.1.7"]')
  if (!written.ok) return written
  const ipv4 = readList(annotations, IPV4_POOLS_ANNOTATION, 'names or CIDRs of IPPools, such as ["pods"]')
  if (!ipv4.ok) return ipv4
  const ipv6 = readList(annotations, IPV6_POOLS_ANNOTATION, 'names or CIDRs of IPPools, such as ["pods-v6"]')
  if (!ipv6.ok) return ipv6
  const annotated: IpAddress[] = []
  for (const text of written.value ?? []) {
    const address = parseIp(text)
    if (address === null) return wrong(ADDRESSES_ANNOTATION, `${shown(text)} is not an IP address`)
    annotated.push(address)
  }
  const requested = requestedIps.length > 0 ? requestedIps : annotated
  const source = requestedIps.length > 0 ? 'runtimeConfig.ips' : ADDRESSES_ANNOTATION
  for (const family of IP_FAMILIES) {
    const ofFamily = requested.filter((address) => familyOf(address) === family)
    if (ofFamily.length > 1)
      return wrong(source, `it asks for ${ofFamily.map(formatIp).join(' and ')}, but a pod has one IPv${family} address`)
  }
  return ok({ requested, pools: { ipv4: ipv4.value, ipv6: ipv6.value } })
}

/** The JSON list of an annotation; null if there is none. */
function readList(annotations: Labels, name: string, what: string): Result<readonly string[] | null, CniFault> {
  const value = annotations[name]
  if (value === undefined) return ok(null)
  try {
    const parsed: unknown = JSON.parse(value)
    if (Array.isArray(parsed) && parsed.length > 0 && parsed.every((each): each is string => typeof each === 'string')) return ok(parsed)
  } catch {} // not JSON: said below
  return wrong(name, `${shown(value)} is not a JSON list of ${what}`)
}

function wrong(source: string, problem: string): Result<never, CniFault> {
  if (source === 'runtimeConfig.ips') return err({ code: CNI_CODE.invalidConfig, message: `network configuration: ${source}: ${problem}` })
  return err({ code: CNI_CODE.invalidAnnotation, message: `annotation ${source} of the pod: ${problem}; correct it or remove it` })
}
