// What a pod's own end needs: addresses, and routes to a gateway that is the same everywhere. Pure.
import { bitsOf, familyOf, IP_FAMILIES, type IpAddress, type IpFamily } from '../../net/index.ts'
import type { InterfaceRoute } from '../../sys/rtnetlink/index.ts'
import { GATEWAY_IPV4, GATEWAY_IPV6 } from './gateway.ts'

/** Families of a pod, IPv4 first. */
export function familiesOf(addresses: readonly IpAddress[]): readonly IpFamily[] {
  return IP_FAMILIES.filter((family) => addresses.some((address) => familyOf(address) === family))
}

/** A pod's gateway. */
export function gatewayOf(family: IpFamily): IpAddress {
  return family === 4 ? GATEWAY_IPV4 : GATEWAY_IPV6
}

/**
 * A pod's routes, in the order to add them: IPv4 first learns that the gateway is on the link; a link-local one always is.
 * `metric` 0 is the kernel's default.
 */
export function podRoutes(
  addresses: readonly IpAddress[],
  { interfaceIndex, metric, mtu }: Pick<InterfaceRoute, 'interfaceIndex' | 'metric' | 'mtu'>,
): readonly InterfaceRoute[] {
  return familiesOf(addresses).flatMap((family) => {
    const gateway = gatewayOf(family)
    const common = { family, interfaceIndex, metric, mtu }
    const byDefault: InterfaceRoute = { ...common, destination: null, gateway }
    if (family === 6) return [byDefault]
    return [{ ...common, destination: { address: gateway, length: bitsOf(family) }, gateway: null }, byDefault]
  })
}

/** True if both say the same but for metric and MTU, which others may choose. */
export function isSameWay(a: InterfaceRoute, b: InterfaceRoute): boolean {
  return (
    a.family === b.family &&
    a.interfaceIndex === b.interfaceIndex &&
    a.gateway === b.gateway &&
    a.destination?.address === b.destination?.address &&
    a.destination?.length === b.destination?.length
  )
}
