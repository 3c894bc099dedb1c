// IPAMBlock: a part of a pool that one node has claimed, and who has which of its addresses. Written by agents and the
// controller, never by people; the node's affinity lives here and nowhere else (decision 10).
import { z } from 'zod'
import { formatPrefix, type Prefix } from '../../net/index.ts'
import { cidr, ipAddress } from './fields.ts'
import { defineKind } from './kind.ts'
import { dnsSubdomain } from './names.ts'

/** Label of a block with the name of its node, so that an agent watches only its own. */
export const BLOCK_NODE_LABEL = 'fibula.network/node'

/** The name of a block's object: its prefix with `.`, `:` and `/` as `-`. */
export function blockName(block: Prefix): string {
  return formatPrefix(block).replace('::/', '--').replace(/[.:/]/g, '-').replace(/^-+/, 'x-')
}

const allocation = z.looseObject({
  address: ipAddress().meta({ description: 'The address.' }),
  handle: z.string().min(1).meta({ description: 'Who owns it.' }),
  pod: z.string().exactOptional().meta({ description: 'Name of the pod.' }),
  namespace: z.string().exactOptional().meta({ description: 'Namespace of the pod.' }),
  node: z.string().exactOptional().meta({ description: 'The node of the pod, where it borrowed the address from another.' }),
  time: z.string().exactOptional().meta({ description: 'When it was assigned (ISO 8601).' }),
})

export const ipamBlock = defineKind({
  kind: 'IPAMBlock',
  plural: 'ipamblocks',
  shortNames: [],
  writer: 'machine',
  description: 'A block of addresses and its owner. Written by Fibula itself.',
  columns: [
    { name: 'CIDR', path: '.spec.cidr' },
    { name: 'Node', path: '.spec.node' },
    { name: 'State', path: '.spec.state' },
  ],
  spec: z.looseObject({
    cidr: cidr().meta({ description: 'The block.' }),
    node: dnsSubdomain().exactOptional().meta({ description: 'The node that has claimed it. Unset: nobody any more.' }),
    state: z
      .enum(['Pending', 'Confirmed'])
      .default('Confirmed')
      .meta({ description: 'Only a confirmed block is advertised and has a blackhole route.' }),
    sequence: z.int().min(0).default(0).meta({ description: 'Grows with every change of an allocation.' }),
    allocations: z.array(allocation).default([]).meta({ description: 'Addresses in use.' }),
  }),
  status: z.looseObject({}),
})
