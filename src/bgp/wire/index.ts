export { asPathHops, isConfederation, mergeAs4Path } from './as-path.ts'
export { isNonTransitive } from './attribute.ts'
export { AttributeCache } from './attribute-cache.ts'
export { attributeName, encodePathAttributes } from './attribute-set.ts'
export { capabilityCode, encodeCapability } from './capability.ts'
export {
  type AcceptedOpen,
  asnOfOpen,
  checkOpen,
  type ExpectedOpen,
  familiesOfOpen,
  myAsField,
} from './check-open.ts'
export { decodeMessage, encodeKeepalive, encodeMessage, encodeRouteRefresh } from './codec.ts'
export {
  formatAsPath,
  formatCommunity,
  formatExtendedCommunity,
  formatLargeCommunity,
  parseCommunity,
  parseExtendedCommunity,
  parseLargeCommunity,
} from './community-text.ts'
export { createDecodeContext, type DecodeContext, type DecodeOptions, type EncodeContext, preOpenContext } from './context.ts'
export { capabilityText, type NotificationContext, notificationText } from './describe.ts'
export { hexOf, MAX_NOTIFICATION_DATA, messageError } from './error.ts'
export { MessageFramer, type OnMessage } from './framing.ts'
export type {
  Capability,
  KeepaliveMessage,
  Malformation,
  Message,
  MessageError,
  NlriRun,
  NotificationMessage,
  OpenMessage,
  RoleName,
  RouteRefreshMessage,
  UpdateMessage,
} from './message.ts'
export { decodePrefixes, maxNlriOctets, NlriReader, writeNlri } from './nlri.ts'
export {
  decodeMaxPrefixData,
  decodeShutdownMessage,
  encodeMaxPrefixData,
  encodeNotification,
  encodeShutdownMessage,
  unwrapHardReset,
  wrapHardReset,
} from './notification.ts'
export { encodeOpen } from './open.ts'
export { encodeEndOfRib, encodeUpdates, type UpdateBatch } from './update-encode.ts'
export { ByteWriter } from './writer.ts'
