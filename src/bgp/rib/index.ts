export type {
  PeerId,
  PrefixCounts,
  RibConfig,
  RibPeerConfig,
  RibSession,
  RibSink,
  RoutePage,
  RouteQuery,
  TableSizes,
} from './contract.ts'
export { Rib } from './rib.ts'
