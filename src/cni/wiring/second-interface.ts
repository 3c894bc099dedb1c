// A pod with several interfaces. Routes go by destination, so all packets would leave by the first one, whose host end drops what
// comes from another's address (source check). So a further interface gets its default routes twice: in table main behind those of
// the first, for what has no source yet and for when the first goes; and in a table of its own for packets from its addresses.
import { type IpAddress, isIpv4 } from '../../net/index.ts'
import {
  addRoute,
  addRouteToTable,
  addSourceRule,
  deleteSourceRule,
  type InterfaceRoute,
  type Rtnetlink,
} from '../../sys/rtnetlink/index.ts'

/** More than the metric of any route that the kernel or another plugin makes by default (IPv6: 1024). */
const BEHIND = 2048
/** Tables from here on, by interface: `fi` in ASCII and room for 65536. */
const FIRST_TABLE = 0x6669_0000
const RULE_PRIORITY = 17_900

/** Adds what a further interface needs. `routes` are those it would have as the first; `taken` of them are there already. */
export function addBehind(
  netlink: Rtnetlink,
  interfaceIndex: number,
  addresses: readonly IpAddress[],
  { routes, taken }: { readonly routes: readonly InterfaceRoute[]; readonly taken: readonly InterfaceRoute[] },
): void {
  const table = FIRST_TABLE + (interfaceIndex & 0xffff)
  const isConcerned = (family: 4 | 6): boolean => taken.some((route) => route.family === family)
  const byDefault = routes.filter((route) => route.destination === null && isConcerned(route.family))
  const concerned = addresses.filter((address) => isConcerned(isIpv4(address) ? 4 : 6))
  netlink.requestAll([
    ...taken.map((route) => addRoute({ ...route, metric: BEHIND + interfaceIndex })),
    ...byDefault.map((route) => addRouteToTable(table, route)),
    ...concerned.map((source) => addSourceRule({ source, priority: RULE_PRIORITY }, table)),
  ])
}

/** Removes the rules for addresses; everything else goes with the interface. None there, as mostly: fine. */
export function removeRules(netlink: Rtnetlink, addresses: readonly IpAddress[]): void {
  netlink.batch(addresses.map((source) => deleteSourceRule({ source, priority: RULE_PRIORITY })))
}
