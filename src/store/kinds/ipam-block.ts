// IPAMBlock: a part of a pool that one node has claimed, and who has which of its addresses. Written by agents and the
// controller, never by people; the node's affinity lives here and nowhere else (decision 10).
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { formatPrefix, type Prefix } from '../../net/index.ts'
import { cidr, ipAddress } from './fields.ts'
import { defineKind } from './kind.ts'
import { dnsSubdomain } from './names.ts'

/** Label of a block with the name of its node, so that an agent watches only its own. */
export const BLOCK_NODE_LABEL = 'fibula.network/node'

/** The value of that label: the name of the node, or, where that is longer than a label may be, its beginning and a hash. */
export function blockNodeLabelValue(node: string): string {
  return node.length <= 63 ? node : `${node.slice(0, 46).replace(/[^a-z0-9]+$/, '')}-${hashOf(node)}`
}

/** The name of a block's object: its prefix with `.`, `:` and `/` as `-`. */
export function blockName(block: Prefix): string {
  return formatPrefix(block).replace('::/', '--').replace(/[.:/]/g, '-').replace(/^-+/, 'x-')
}

/**
 * Label of a block in which `node` has addresses although the block is not its own: the key ends in a hash, because the name of a
 * node can be longer than a label may be. Its value is empty.
 */
export function borrowerLabel(node: string): string {
  return `${BORROWER_LABEL_PREFIX}${hashOf(node)}`
}

function hashOf(node: string): string {
  return createHash('sha256').update(node).digest('hex').slice(0, 16)
}

/** What keys of `borrowerLabel` begin with. */
export const BORROWER_LABEL_PREFIX = 'borrower.fibula.network/'

const allocation = z.looseObject({
  address: ipAddress().meta({ description: 'The address.' }),
  handle: z.string().min(1).meta({ description: 'Who owns it.' }),
  sequence: z.int().min(0).default(0).meta({ description: 'Names this very allocation: an address that is used again has another.' }),
  pod: z.string().exactOptional().meta({ description: 'Name of the pod.' }),
  namespace: z.string().exactOptional().meta({ description: 'Namespace of the pod.' }),
  node: z.string().exactOptional().meta({ description: 'The node of the pod. Unset: the node of the block.' }),
  time: z.string().exactOptional().meta({ description: 'When it was assigned (ISO 8601), for people.' }),
})

const reserve = z.looseObject({
  address: ipAddress().meta({ description: 'The address.' }),
  node: dnsSubdomain().meta({ description: 'The node that hands it out.' }),
  sequence: z.int().min(0).default(0).meta({ description: 'What the allocation will have.' }),
})

const released = z.looseObject({
  address: ipAddress().meta({ description: 'The address.' }),
  sequence: z.int().min(0).default(0).meta({ description: 'Of the block when the address was released.' }),
  time: z.string().exactOptional().meta({ description: 'When it was released (ISO 8601), for people.' }),
})

export const ipamBlock = defineKind({
  kind: 'IPAMBlock',
  plural: 'ipamblocks',
  shortNames: ['ipb'],
  writer: 'machine',
  description: 'A block of addresses and its owner. Written by Fibula itself.',
  columns: [
    { name: 'CIDR', path: '.spec.cidr' },
    { name: 'Node', path: '.spec.node' },
    { name: 'State', path: '.spec.state' },
  ],
  selectableFields: ['.spec.node', '.spec.state', '.spec.cidr'],
  spec: z.looseObject({
    cidr: cidr().meta({ description: 'The block.' }),
    node: dnsSubdomain().exactOptional().meta({ description: 'The node that has claimed it. Unset: nobody any more.' }),
    state: z
      .enum(['Pending', 'Confirmed'])
      .default('Confirmed')
      .meta({ description: 'Only a confirmed block is advertised and has a blackhole route.' }),
    sequence: z.int().min(0).default(0).meta({ description: 'Grows with every change of an address.' }),
    allocations: z.array(allocation).default([]).meta({ description: 'Addresses in use.' }),
    reserves: z
      .array(reserve)
      .default([])
      .meta({ description: 'Addresses that a node has claimed ahead of need; for everybody else they are in use.' }),
    released: z
      .array(released)
      .default([])
      .meta({ description: 'Free addresses that were in use before, the one that has been free for longest first.' }),
  }),
  status: z.looseObject({}),
})
