// IPReservation: addresses inside pools that are never handed out.
import { z } from 'zod'
import { cidr } from './fields.ts'
import { defineKind } from './kind.ts'

export const ipReservation = defineKind({
  kind: 'IPReservation',
  plural: 'ipreservations',
  shortNames: ['ipr'],
  writer: 'user',
  description: 'Addresses inside pools that are never handed out, such as those of a router or a server. Addresses in use stay.',
  columns: [{ name: 'Reserved', path: '.spec.reservedCIDRs' }],
  spec: z.strictObject({
    reservedCIDRs: z.array(cidr()).min(1).max(500).meta({ description: 'The addresses, as prefixes: 10.244.0.7/32 is one address.' }),
  }),
  status: z.looseObject({}),
})
