// Public face of IPAM; see README.md.
export {
  type BlockAllocation,
  type BlockRecord,
  type BlockReleased,
  type BlockReserve,
  type BlockState,
  emptyBlock,
  nodeOfAllocation,
} from './block-record.ts'
export { type BlockStore, BlockStoreError, type BlockStoreErrorCode, type StoredBlock } from './block-store.ts'
export type {
  AssignFault,
  Assignment,
  AssignRequest,
  BorrowedAddress,
  HeldAllocation,
  IpamConfig,
  IpamProblem,
  IpamView,
  NodeIpam,
  OwnBlock,
  PoolConfig,
} from './contract.ts'
export {
  type AddressCensus,
  type AddressFinding,
  type Finding,
  findingName,
  findLeaks,
  LeakWatch,
  type LivingPod,
  withoutFindings,
} from './leaks.ts'
export { createNodeIpam, NODE_IPAM_DEFAULTS, type NodeIpamDeps, type NodeIpamOptions } from './node-ipam.ts'
export { poolOf } from './pools.ts'
export type { RememberedBlock, ReserveFile } from './reserve-memory.ts'
