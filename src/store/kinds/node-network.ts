// NodeNetwork: what the agent of one node reports about it. Written by that agent alone; the controller reads it for the statuses of
// peers and pools, and removes it when its node is gone.
import { z } from 'zod'
import { condition } from './fields.ts'
import { defineKind } from './kind.ts'
import { sessionShape } from './session.ts'

/** Most sessions a NodeNetwork lists; those not Established come first, so that what is left out is up. */
export const MAX_NODE_SESSIONS = 500
/** Most problems a NodeNetwork lists, errors first. */
export const MAX_NODE_PROBLEMS = 50

const peer = z.looseObject({
  session: z.string().meta({ description: 'Name of the session, as `fibula bgp peers` shows it; unique on the node.' }),
  peer: z.string().exactOptional().meta({ description: 'The BGPPeer it follows from. Unset: the node-to-node mesh.' }),
  remoteNode: z.string().exactOptional().meta({ description: 'The node of the cluster at the other end, if it is one.' }),
  ...sessionShape,
})

const problem = z.looseObject({
  severity: z.enum(['error', 'warning']).meta({ description: 'How bad it is.' }),
  subject: z.string().meta({ description: 'What it is about, such as BGPPeer/tor-a.' }),
  reason: z.string().exactOptional().meta({ description: 'Why, one word for programs, such as SecretNotFound.' }),
  message: z.string().meta({ description: 'What is wrong and what to do.' }),
})

export const nodeNetwork = defineKind({
  kind: 'NodeNetwork',
  plural: 'nodenetworks',
  shortNames: ['nodenet'],
  writer: 'machine',
  description: 'What the agent of a node reports: its addresses, blocks and sessions. Written by Fibula itself; named like the node.',
  columns: [
    { name: 'AS', path: '.status.asNumber' },
    { name: 'IPv4', path: '.status.addresses[?(@.family=="IPv4")].address' },
    { name: 'IPv6', path: '.status.addresses[?(@.family=="IPv6")].address' },
    { name: 'Sessions', path: '.status.sessions.configured' },
    { name: 'Established', path: '.status.sessions.established' },
    { name: 'Pods', path: '.status.pods.attached' },
    { name: 'Ready', path: '.status.conditions[?(@.type=="Ready")].status' },
    { name: 'Router ID', path: '.status.routerID', wide: true },
    { name: 'Version', path: '.status.version', wide: true },
    { name: 'Why', path: '.status.conditions[?(@.status=="False")].message', wide: true },
  ],
  spec: z.looseObject({}).default({}),
  status: z.looseObject({
    version: z.string().exactOptional().meta({ description: 'Version of the agent.' }),
    addresses: z
      .array(
        z.looseObject({
          address: z.string().meta({ description: 'A BGP address of the node, with prefix length where it is known.' }),
          family: z.enum(['IPv4', 'IPv6']).exactOptional().meta({ description: 'Its IP family.' }),
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
    peers: z
      .array(peer)
      .default([])
      .meta({ description: `One entry a session, at most ${MAX_NODE_SESSIONS}: those not Established first, then by name.` }),
    pods: z
      .looseObject({ attached: z.int().meta({ description: 'Interfaces of pods that are attached.' }) })
      .exactOptional()
      .meta({ description: 'Pods of the node. Unset: no CNI is served there.' }),
    ipam: z
      .looseObject({
        allocated: z.int().meta({ description: 'Addresses its pods have.' }),
        reserved: z.int().meta({ description: 'Addresses claimed ahead of need.' }),
        free: z.int().meta({ description: 'Addresses of its blocks that can be handed out now.' }),
      })
      .exactOptional()
      .meta({ description: 'Addresses of the node. Unset: no CNI is served there.' }),
    problems: z
      .array(problem)
      .default([])
      .meta({ description: `What the agent found wrong, and about which object, at most ${MAX_NODE_PROBLEMS}: errors first.` }),
    conditions: z.array(condition).default([]).meta({ description: 'What is wrong on this node.' }),
  }),
})
