// Public face of the CNI module; see README.md.

export {
  type ChainedPlugin,
  CONFLIST_FILE,
  type ConflistOptions,
  findChained,
  NETWORK_NAME,
  renderConflist,
  writeConflist,
} from './conflist.ts'
export { CNI_CODE, type CniCode, type CniReply } from './error.ts'
export { type CniInvocation, decodeResponse, encodeRequest } from './frame.ts'
export { installPlugin, PLUGIN_FILE, removeConflist, removePlugin } from './install.ts'
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
export { openReserveFile } from './reserve-file.ts'
export { type CniHandler, type CniServerOptions, serveCni } from './server.ts'
export { type CniLimits, type CniObserver, CniService, type CniServiceDeps, type CniUnreadiness } from './service.ts'
export {
  type DetachedLink,
  GATEWAY_IPV4,
  GATEWAY_IPV6,
  HOST_MAC,
  isHostInterface,
  type LinkWiring,
  PodLinks,
  type WiredLink,
} from './wiring/index.ts'
