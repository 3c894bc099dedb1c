// Links of pods; see README.md.
export { GATEWAY_IPV4, GATEWAY_IPV6, HOST_MAC, isHostInterface } from './gateway.ts'
export { PodLinks } from './pod-links.ts'
export type { DetachedLink, LinkWiring, WiredLink } from './port.ts'
