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
export { createNodeIpam, type NodeIpamDeps, type NodeIpamOptions } from './node-ipam.ts'
