// IPAMConfiguration: how nodes share the blocks of the pools. There is one object of this kind, named `default`.
import { z } from 'zod'
import { duration } from './fields.ts'
import { defineKind } from './kind.ts'
import { constrained } from './rules.ts'

const spec = constrained(
  z.strictObject({
    strictAffinity: z
      .boolean()
      .default(false)
      .meta({ description: 'A node never takes an address from a block of another node, even if no block is left.' }),
    maxBlocksPerHost: z
      .int()
      .min(1)
      .max(10_000)
      .exactOptional()
      .meta({ description: 'Blocks of each family that one node may claim. Unset: no limit.' }),
    ipCooldown: duration(0, 1200).default('30s').meta({ description: 'How long a released address rests before it is handed out again.' }),
  }),
  [
    {
      path: ['maxBlocksPerHost'],
      message:
        'maxBlocksPerHost needs strictAffinity: true, because a node at its limit would borrow from blocks of others; set strictAffinity or remove maxBlocksPerHost',
      holds: ({ maxBlocksPerHost, strictAffinity }) => maxBlocksPerHost === undefined || strictAffinity,
      cel: '!has(self.maxBlocksPerHost) || self.strictAffinity',
    },
  ],
)

/** What holds where there is no IPAMConfiguration. */
export const IPAM_CONFIGURATION_DEFAULTS = spec.parse({})

export const ipamConfiguration = defineKind({
  kind: 'IPAMConfiguration',
  plural: 'ipamconfigurations',
  shortNames: ['ipamconfig', 'ipamconfigs'],
  writer: 'user',
  description: 'How nodes share the blocks of the pools. The one object of this kind is named `default`.',
  columns: [
    { name: 'Strict', path: '.spec.strictAffinity' },
    { name: 'Blocks', path: '.spec.maxBlocksPerHost' },
    { name: 'Cooldown', path: '.spec.ipCooldown' },
  ],
  spec,
  status: z.looseObject({}),
  rules: [
    {
      path: ['metadata', 'name'],
      message: 'the one IPAMConfiguration is named default; rename it, any other has no effect',
      holds: ({ metadata }) => metadata.name === 'default',
      cel: "self.metadata.name == 'default'",
    },
  ],
})
