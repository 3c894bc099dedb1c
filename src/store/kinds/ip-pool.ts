// IPPool: a range that pod addresses come from.
import { z } from 'zod'
import { type Prefix, parsePrefix } from '../../net/index.ts'
import { cidr, condition, labelSelector } from './fields.ts'
import { defineKind } from './kind.ts'
import { constrained } from './rules.ts'

const spec = constrained(
  z.strictObject({
    cidr: cidr().meta({ description: 'The range.' }),
    blockSize: z.int().min(20).max(128).exactOptional().meta({
      description: 'Prefix length of the blocks that nodes claim: 20 to 32 for IPv4, 116 to 128 for IPv6. Unset: 26 and 122.',
    }),
    ipipMode: z.enum(['Never', 'CrossSubnet', 'Always']).default('Never').meta({
      description: 'IP-in-IP between nodes where the fabric has no route (IPv6: ip6tnl). CrossSubnet: only to nodes that are not on-link.',
    }),
    natOutgoing: z.boolean().default(false).meta({ description: 'Masquerade traffic that leaves the pools, except towards nodes.' }),
    nodeSelector: labelSelector().exactOptional().meta({ description: 'Nodes that may claim blocks. Unset: every node.' }),
    namespaceSelector: labelSelector()
      .exactOptional()
      .meta({ description: 'Namespaces whose pods may get addresses. Unset: every namespace.' }),
    disabled: z.boolean().default(false).meta({ description: 'No new addresses; those in use stay.' }),
    disableBGPExport: z.boolean().default(false).meta({ description: 'Blocks of this pool are not advertised.' }),
    allowedUses: z
      .array(z.enum(['Workload', 'Tunnel', 'LoadBalancer']))
      .min(1)
      .max(3)
      .default(['Workload', 'Tunnel'])
      .meta({ description: 'What addresses are for: pods, tunnel ends, or load balancer services (which exclude the others).' }),
    assignmentMode: z
      .enum(['Automatic', 'Manual'])
      .default('Automatic')
      .meta({ description: 'Manual: only for pods that name the pool in their annotations.' }),
  }),
  [
    {
      path: ['cidr'],
      message: 'link-local addresses cannot be routed; use another range',
      holds: (s) => !/^(169\.254\.|fe[89ab])/i.test(s.cidr),
      cel: "!self.cidr.lowerAscii().matches('^(169[.]254[.]|fe[89ab])')",
    },
    {
      path: ['blockSize'],
      message: 'blockSize must be 20 to 32 for an IPv4 pool and 116 to 128 for an IPv6 pool',
      holds: ({ cidr: text, blockSize }) => blockSize === undefined || (text.includes(':') ? blockSize >= 116 : blockSize <= 32),
      cel: "!has(self.blockSize) || (self.cidr.contains(':') ? self.blockSize >= 116 : self.blockSize <= 32)",
    },
    {
      path: ['blockSize'],
      message: 'the pool is smaller than one block; use a shorter prefix for cidr or a longer blockSize',
      holds: (s) => (parsePrefix(s.cidr)?.length ?? 0) <= poolBlockSize(s),
      cel: "!isCIDR(self.cidr) || cidr(self.cidr).prefixLength() <= (has(self.blockSize) ? self.blockSize : (self.cidr.contains(':') ? 122 : 26))",
    },
    {
      path: ['allowedUses'],
      message: 'LoadBalancer excludes the other uses; make a pool of its own',
      holds: ({ allowedUses }) => !allowedUses.includes('LoadBalancer') || allowedUses.length === 1,
      cel: "!('LoadBalancer' in self.allowedUses) || size(self.allowedUses) == 1",
    },
    {
      path: ['allowedUses'],
      message: 'allowedUses names a use twice; remove one',
      holds: ({ allowedUses }) => new Set(allowedUses).size === allowedUses.length,
      cel: 'self.allowedUses.all(one, self.allowedUses.exists_one(other, other == one))',
    },
    {
      path: ['disableBGPExport'],
      message: 'addresses of load balancers must be advertised; remove disableBGPExport or LoadBalancer',
      holds: (s) => !s.disableBGPExport || !s.allowedUses.includes('LoadBalancer'),
      cel: "!self.disableBGPExport || !('LoadBalancer' in self.allowedUses)",
    },
  ],
)

/** The prefix length of a pool's blocks: as set, or 26 for IPv4 and 122 for IPv6. */
export function poolBlockSize(spec: { readonly cidr: string; readonly blockSize?: number }): number {
  return spec.blockSize ?? (spec.cidr.includes(':') ? 122 : 26)
}

/** The range of a pool as a value. Its schema has checked it. */
export function poolPrefix(spec: { readonly cidr: string }): Prefix {
  const parsed = parsePrefix(spec.cidr)
  if (parsed === null) throw new RangeError(`not a prefix: ${spec.cidr}`)
  return parsed
}

/** Most nodes an IPPool lists; those with most of its addresses come first. */
export const MAX_POOL_NODES = 100

const status = z.looseObject({
  capacity: z
    .int()
    .exactOptional()
    .meta({ description: `Addresses of the pool; ${Number.MAX_SAFE_INTEGER} stands for more.` }),
  allocated: z.int().exactOptional().meta({ description: 'Addresses in use.' }),
  reserved: z.int().exactOptional().meta({ description: 'Addresses that nodes have claimed ahead of need.' }),
  usage: z.string().exactOptional().meta({ description: 'Part of the addresses that is in use or claimed ahead, like 42%.' }),
  blocks: z
    .looseObject({
      capacity: z.int().meta({ description: `Blocks that fit into the pool; ${Number.MAX_SAFE_INTEGER} stands for more.` }),
      claimed: z.int().meta({ description: 'Blocks that nodes have.' }),
      unclaimed: z.int().meta({ description: 'Blocks that exist but have no node any more; their free addresses are lent.' }),
    })
    .exactOptional()
    .meta({ description: 'Blocks of the pool.' }),
  nodeCount: z.int().exactOptional().meta({ description: 'Nodes that have blocks or addresses of the pool.' }),
  nodes: z
    .array(
      z.looseObject({
        node: z.string().meta({ description: 'The node.' }),
        blocks: z.int().meta({ description: 'Blocks it has.' }),
        allocated: z.int().meta({ description: 'Addresses its pods have, also in blocks of others.' }),
        reserved: z.int().meta({ description: 'Addresses it has claimed ahead.' }),
      }),
    )
    .default([])
    .meta({ description: `Who has what, at most ${MAX_POOL_NODES} nodes: those with most addresses first.` }),
  conditions: z
    .array(condition)
    .default([])
    .meta({ description: 'Accepted: whether nodes use it as it is. Healthy: whether it has addresses left.' }),
})

export const ipPool = defineKind({
  kind: 'IPPool',
  plural: 'ippools',
  shortNames: ['ipp'],
  writer: 'user',
  description: 'A range that addresses come from. Nodes claim blocks of it and advertise them.',
  columns: [
    { name: 'CIDR', path: '.spec.cidr' },
    { name: 'IPIP', path: '.spec.ipipMode' },
    { name: 'NAT', path: '.spec.natOutgoing' },
    { name: 'Disabled', path: '.spec.disabled' },
    { name: 'Used', path: '.status.allocated' },
    { name: 'Usage', path: '.status.usage' },
    { name: 'Blocks', path: '.status.blocks.claimed' },
    { name: 'Nodes', path: '.status.nodeCount' },
    { name: 'Healthy', path: '.status.conditions[?(@.type=="Healthy")].reason' },
    { name: 'Capacity', path: '.status.capacity', wide: true },
    { name: 'Reserved', path: '.status.reserved', wide: true },
    { name: 'Why', path: '.status.conditions[?(@.status=="False")].message', wide: true },
  ],
  selectableFields: ['.spec.cidr', '.spec.disabled', '.spec.assignmentMode'],
  spec,
  status,
})
