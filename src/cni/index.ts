// Public face of the CNI module; see README.md.

export { type Journal, JournalError, openJournal } from './journal.ts'
export { handleOf, heldAllocations, hostInterfaceOf } from './names.ts'
export type {
  Attachment,
  AttachmentKey,
  EndpointGate,
  PodAddresses,
  PodLink,
  PodSource,
  PodWiring,
  WiredPod,
  WiringFault,
} from './ports.ts'
export { type CniHandler, type CniServerOptions, DEFAULT_CNI_SOCKET, serveCni } from './server.ts'
export type { CniLimits, CniObserver, CniServiceDeps, CniUnreadiness } from './service.ts'
