// One port to all objects, its adapters, and the kinds of objects there are.

export { type LabelSelector, type Labels, matchesSelector } from '../lib/label-selector.ts'
export { blockOfObject, createBlockStore } from './block-objects.ts'
export { columnOf } from './columns.ts'
export { DirectoryStore } from './directory/adapter.ts'
export { compareResources, keyOf, keyOfResource, toIdentity } from './identity.ts'
export { BGP_CONFIGURATION_DEFAULTS } from './kinds/bgp-configuration.ts'
export { LARGE_CLUSTER, MAX_LARGE_PEER_SESSIONS, MAX_PEER_SESSIONS } from './kinds/bgp-peer.ts'
export { parseCommunityText } from './kinds/community.ts'
export { SERVICE_NAME_LABEL } from './kinds/endpoint-slice.ts'
export { secondsOf } from './kinds/fields.ts'
export { MAX_POOL_NODES, poolBlockSize, poolPrefix } from './kinds/ip-pool.ts'
export { BLOCK_NODE_LABEL, BORROWER_LABEL_PREFIX, blockName, blockNodeLabelValue, borrowerLabel } from './kinds/ipam-block.ts'
export { IPAM_CONFIGURATION_DEFAULTS } from './kinds/ipam-configuration.ts'
export { GROUP_VERSION } from './kinds/kind.ts'
export type { ObjectMeta } from './kinds/metadata.ts'
export { NODE_ANNOTATION } from './kinds/node.ts'
export { MAX_NODE_PROBLEMS, MAX_NODE_SESSIONS } from './kinds/node-network.ts'
export { type PeerAddress, parsePeerAddress } from './kinds/peer-address.ts'
export {
  type BGPConfiguration,
  type BGPFilter,
  type BGPPeer,
  findKind,
  type IPAMBlock,
  type IPAMConfiguration,
  type IPPool,
  type IPReservation,
  KIND_NAMES,
  type KindInfo,
  type KindName,
  kindInfo,
  type Lease,
  type ManifestOf,
  type Node,
  type NodeNetwork,
  type Resource,
  type ResourceOf,
  type Secret,
} from './kinds/registry.ts'
export { CEL_KEY, type CelRule, RULES_KEY } from './kinds/rules.ts'
export { secretValue } from './kinds/secret.ts'
export { ADVERTISE_ANNOTATION } from './kinds/service.ts'
export { ESTABLISHED } from './kinds/session.ts'
export { type Manifest, type ManifestPlace, type ManifestText, parseManifests, sourceOf } from './manifest.ts'
export { MemoryStore } from './memory.ts'
export { openStore } from './open.ts'
export {
  type Change,
  type Condition,
  type ConditionedKind,
  type ObjectKey,
  type Selection,
  type Store,
  StoreError,
  type StoreErrorCode,
  type Watch,
  type WatchObserver,
  type WriteOptions,
} from './port.ts'
export { formatIdentity, type StoreProblem } from './problem.ts'
export type { Right } from './right.ts'
export { type Snapshot, SnapshotBuilder } from './snapshot.ts'
export { type FieldFault, type Identity, parseResource } from './validate.ts'
