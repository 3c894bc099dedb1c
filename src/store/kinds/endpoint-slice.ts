// EndpointSlice of Kubernetes: the addresses behind a service and whether they are ready.
import { z } from 'zod'
import { defineCoreKind } from './kind.ts'

/** Label of a slice with the name of its service. */
export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name'

export const endpointSlice = defineCoreKind({
  kind: 'EndpointSlice',
  apiVersion: 'discovery.k8s.io/v1',
  plural: 'endpointslices',
  shortNames: [],
  scope: 'Namespaced',
  description: 'Endpoints of a service of Kubernetes.',
  columns: [
    { name: 'Address type', path: '.addressType' },
    { name: 'Endpoints', path: '.endpoints[*].addresses' },
  ],
  body: {
    addressType: z.enum(['IPv4', 'IPv6', 'FQDN']),
    endpoints: z
      .array(
        z.object({
          addresses: z.array(z.string()).default([]),
          // An absent `ready` means ready (discovery.k8s.io/v1).
          conditions: z
            .object({ ready: z.boolean().exactOptional(), serving: z.boolean().exactOptional(), terminating: z.boolean().exactOptional() })
            .prefault({}),
          nodeName: z.string().exactOptional(),
          zone: z.string().exactOptional(),
          targetRef: z
            .object({ kind: z.string().exactOptional(), name: z.string().exactOptional(), namespace: z.string().exactOptional() })
            .exactOptional(),
        }),
      )
      .default([]),
    ports: z
      .array(z.object({ name: z.string().exactOptional(), port: z.int().exactOptional(), protocol: z.string().default('TCP') }))
      .default([]),
  },
})
