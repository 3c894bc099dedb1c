// BGPFilter: ordered rules over a prefix and its path attributes, for import and export, one list a family.
import { z } from 'zod'
import { type IpFamily, parsePrefix } from '../../net/index.ts'
import { asNumber, cidr, communityText } from './fields.ts'
import { defineKind } from './kind.ts'
import { constrained } from './rules.ts'

const communityOperation = () => z.strictObject({ value: communityText().meta({ description: 'The community.' }) })

const operation = constrained(
  z.strictObject({
    addCommunity: communityOperation().exactOptional().meta({ description: 'Add a community.' }),
    removeCommunity: communityOperation().exactOptional().meta({ description: 'Remove a community.' }),
    prependASPath: z
      .strictObject({
        prefix: z
          .array(asNumber())
          .min(1)
          .max(10)
          .meta({ description: 'AS numbers to put in front of the AS path, the first of them first.' }),
      })
      .exactOptional()
      .meta({ description: 'Make the AS path longer.' }),
    setLocalPreference: z
      .strictObject({ value: z.int().min(0).max(0xffff_ffff).meta({ description: 'Local preference; higher wins.' }) })
      .exactOptional()
      .meta({ description: 'Set the local preference.' }),
    setMED: z
      .strictObject({ value: z.int().min(0).max(0xffff_ffff).meta({ description: 'MED; lower wins.' }) })
      .exactOptional()
      .meta({ description: 'Set the multi-exit discriminator.' }),
    removeMED: z.strictObject({}).exactOptional().meta({ description: 'Remove the multi-exit discriminator.' }),
  }),
  [
    {
      path: [],
      message: 'an operation does exactly one thing; write each as an item of its own: [{ addCommunity: ... }, { setMED: ... }]',
      holds: (operations) => Object.keys(operations).length === 1,
      cel: `[${['addCommunity', 'removeCommunity', 'prependASPath', 'setLocalPreference', 'setMED', 'removeMED'].map((name) => `has(self.${name})`).join(', ')}].filter(one, one).size() == 1`,
    },
  ],
)

/** In CEL: min, by default the length of cidr, is at least that and at most max. */
function prefixLengthFits(bits: number): string {
  const shortest = '(has(self.cidr) && isCIDR(self.cidr) ? cidr(self.cidr).prefixLength() : 0)'
  const min = `(has(self.prefixLength.min) ? self.prefixLength.min : ${shortest})`
  const max = `(has(self.prefixLength.max) ? self.prefixLength.max : ${bits})`
  return `!has(self.prefixLength) || (${min} >= ${shortest} && ${min} <= ${max})`
}

function rules(family: IpFamily, direction: string) {
  const bits = family === 4 ? 32 : 128
  const rule = constrained(
    z.strictObject({
      action: z
        .enum(['Accept', 'Reject'])
        .meta({ description: 'What happens to a path that meets every condition of the rule; both are final.' }),
      cidr: cidr(family).exactOptional().meta({ description: 'Prefix to compare with; needs matchOperator.' }),
      matchOperator: z.enum(['Equal', 'NotEqual', 'In', 'NotIn']).exactOptional().meta({
        description: 'Equal: the prefix is cidr. In: it is cidr or more specific, within prefixLength. NotEqual and NotIn: the opposite.',
      }),
      prefixLength: z
        .strictObject({
          min: z.int().min(0).max(bits).exactOptional().meta({ description: 'Shortest prefix length. Unset: that of cidr.' }),
          max: z
            .int()
            .min(0)
            .max(bits)
            .exactOptional()
            .meta({ description: `Longest prefix length. Unset: ${bits}.` }),
        })
        .exactOptional()
        .meta({ description: 'Bounds on the length of a prefix In (or NotIn) cidr.' }),
      source: z
        .enum(['RemotePeers', 'Local'])
        .exactOptional()
        .meta({ description: 'RemotePeers: learned over BGP. Local: originated by this node.' }),
      peerType: z.enum(['eBGP', 'iBGP']).exactOptional().meta({ description: 'Only on sessions of this kind.' }),
      communities: z
        .strictObject({ values: z.array(communityText()).min(1).max(32).meta({ description: 'The path carries at least one of these.' }) })
        .exactOptional()
        .meta({ description: 'Communities of the path.' }),
      asPathPrefix: z.array(asNumber()).min(1).max(10).exactOptional().meta({ description: 'The AS path begins with these AS numbers.' }),
      asPathContains: asNumber().exactOptional().meta({ description: 'The AS path contains this AS number.' }),
      operations: z.array(operation).min(1).max(10).exactOptional().meta({ description: 'Changes to an accepted path, in order.' }),
    }),
    [
      {
        path: ['matchOperator'],
        message: 'cidr and matchOperator go together; set both or neither',
        holds: (r) => (r.cidr === undefined) === (r.matchOperator === undefined),
        cel: 'has(self.cidr) == has(self.matchOperator)',
      },
      {
        path: ['prefixLength'],
        message: 'prefixLength needs cidr and matchOperator In or NotIn',
        holds: (r) => r.prefixLength === undefined || r.matchOperator === 'In' || r.matchOperator === 'NotIn',
        cel: "!has(self.prefixLength) || (has(self.matchOperator) && self.matchOperator in ['In', 'NotIn'])",
      },
      {
        path: ['prefixLength'],
        message: 'prefixLength holds no length: min must be at least the length of cidr, and at most max',
        holds: ({ prefixLength, cidr: text }) => {
          const shortest = text === undefined ? 0 : (parsePrefix(text)?.length ?? 0)
          const min = prefixLength?.min ?? shortest
          return prefixLength === undefined || (min >= shortest && min <= (prefixLength.max ?? bits))
        },
        cel: prefixLengthFits(bits),
      },
      {
        path: ['operations'],
        message: 'operations need action Accept: a rejected path is not changed',
        holds: (r) => r.operations === undefined || r.action === 'Accept',
        cel: "!has(self.operations) || self.action == 'Accept'",
      },
    ],
  )
  return z
    .array(rule)
    .max(100)
    .default([])
    .meta({
      description: `Rules for IPv${family} routes ${direction}, tried in order; no match falls through to the next filter, and at last to the default policy.`,
    })
}

export const bgpFilter = defineKind({
  kind: 'BGPFilter',
  plural: 'bgpfilters',
  shortNames: ['bgpf'],
  writer: 'user',
  description: 'Rules that accept, reject or change routes. A BGPPeer names the filters that apply to it.',
  columns: [{ name: 'Age', path: '.metadata.creationTimestamp' }],
  spec: z.strictObject({
    exportV4: rules(4, 'to the peer'),
    importV4: rules(4, 'from the peer'),
    exportV6: rules(6, 'to the peer'),
    importV6: rules(6, 'from the peer'),
  }),
  status: z.looseObject({}),
})
