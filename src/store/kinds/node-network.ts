// NodeNetwork: what the agent of one node reports about it. Written by that agent alone.
import { z } from 'zod'
import { condition } from './fields.ts'
import { defineKind } from './kind.ts'

export const nodeNetwork = defineKind({
  kind: 'NodeNetwork',
  plural: 'nodenetworks',
  shortNames: ['nodenet'],
  writer: 'machine',
  description: 'What the agent of a node reports: its addresses, blocks and sessions. Written by Fibula itself; named like the node.',
  columns: [
    { name: 'AS', path: '.status.asNumber' },
    { name: 'Router ID', path: '.status.routerID' },
    { name: 'Addresses', path: '.status.addresses[*].address' },
    { name: 'Sessions', path: '.status.sessions.established' },
  ],
  spec: z.looseObject({}).default({}),
  status: z.looseObject({
    addresses: z
      .array(
        z.looseObject({
          address: z.string().meta({ description: 'A BGP address of the node, with prefix length where it is known.' }),
          interface: z.string().exactOptional().meta({ description: 'The interface that has it.' }),
        }),
      )
      .default([])
      .meta({ description: 'BGP addresses of the node, at most one a family.' }),
    asNumber: z.int().exactOptional().meta({ description: 'AS number in use.' }),
    routerID: z.string().exactOptional().meta({ description: 'BGP Identifier in use.' }),
    blocks: z.array(z.string()).default([]).meta({ description: 'Blocks the node has claimed.' }),
    sessions: z
      .looseObject({
        configured: z.int().meta({ description: 'Sessions there should be.' }),
        established: z.int().meta({ description: 'Sessions that are up.' }),
      })
      .exactOptional()
      .meta({ description: 'Numbers of BGP sessions.' }),
    conditions: z.array(condition).default([]).meta({ description: 'What is wrong on this node.' }),
  }),
})
