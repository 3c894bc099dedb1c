// Public face of IPAM; see README.md.
export type { AssignFault, Assignment, AssignRequest, HeldAllocation, IpamConfig, NodeIpam, PoolConfig } from './contract.ts'
