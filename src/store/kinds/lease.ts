// Lease of Kubernetes: who leads among several replicas. In a folder it is a file of state/, with the same compare-and-swap.
import { z } from 'zod'
import { defineCoreKind } from './kind.ts'

export const lease = defineCoreKind({
  kind: 'Lease',
  apiVersion: 'coordination.k8s.io/v1',
  plural: 'leases',
  shortNames: [],
  scope: 'Namespaced',
  keptInState: true,
  description: 'Who leads among several replicas, and until when.',
  columns: [
    { name: 'Holder', path: '.spec.holderIdentity' },
    { name: 'Renewed', path: '.spec.renewTime' },
  ],
  body: {
    spec: z
      .object({
        holderIdentity: z.string().default(''),
        leaseDurationSeconds: z.int().exactOptional(),
        acquireTime: z.string().exactOptional(),
        renewTime: z.string().exactOptional(),
        leaseTransitions: z.int().default(0),
      })
      .prefault({}),
  },
})
