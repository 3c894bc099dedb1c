// Public face of the kernel route module. One thread owns it; see README.md.
export { type HostAddress, type HostLink, type KernelListener, type RouteBackend, RouteBackendError } from './backend.ts'
export { KernelRoutes, type KernelRoutesOptions } from './kernel-routes.ts'
export { NetlinkRouteBackend, type NetlinkRouteBackendOptions } from './netlink/backend.ts'
export { NetlinkEvents, type NetlinkEventsOptions } from './netlink/events.ts'
export { type LocalRoutes, NO_LOCAL_ROUTES } from './plan.ts'
export { type KernelRoute, OUR_METRIC, OUR_PROTOCOL } from './route.ts'
export type { RouteCounts, RouteProblem, RouteState, RouteStatus } from './status.ts'
export { RouteSyncer, type RouteSyncerOptions } from './syncer.ts'
