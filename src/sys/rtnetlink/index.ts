// rtnetlink for links, addresses, neighbours and a pod's own routes: requests as values, and a synchronous socket to send them.
export { type AddressView, addAddress, type InterfaceAddress, listAddresses, readAddress } from './address.ts'
export {
  ADDR_GEN_MODE,
  changeLink,
  createVeth,
  deleteLink,
  deleteLinkGroup,
  getLink,
  type Ipv4Devconf,
  type Ipv6Devconf,
  type LinkChange,
  type LinkView,
  listLinks,
  readIsOperational,
  readLink,
  type VethPair,
} from './link.ts'
export type { NetlinkRequest } from './message.ts'
export { addNeighbour, setProxyArpDelay } from './neighbour.ts'
export {
  addRoute,
  addRouteToTable,
  type InterfaceRoute,
  isLocalRoute,
  listRoutes,
  lookUpRoute,
  readRoute,
  replaceRoute,
} from './route.ts'
export { Rtnetlink } from './rtnetlink.ts'
export { addSourceRule, deleteSourceRule, type SourceRule } from './rule.ts'
export { changeTunnel, createTunnel, type Tunnel } from './tunnel.ts'
