// Pod of Kubernetes: where it runs, its addresses and named ports.
import { z } from 'zod'
import { defineCoreKind } from './kind.ts'

const container = z.object({
  name: z.string(),
  ports: z
    .array(z.object({ name: z.string().exactOptional(), containerPort: z.int().min(1).max(65_535), protocol: z.string().default('TCP') }))
    .default([]),
})

export const pod = defineCoreKind({
  kind: 'Pod',
  apiVersion: 'v1',
  plural: 'pods',
  shortNames: ['po'],
  scope: 'Namespaced',
  description: 'A pod of Kubernetes.',
  columns: [
    { name: 'Phase', path: '.status.phase' },
    { name: 'IP', path: '.status.podIPs[*].ip' },
    { name: 'Node', path: '.spec.nodeName' },
  ],
  body: {
    spec: z
      .object({
        nodeName: z.string().exactOptional(),
        hostNetwork: z.boolean().default(false),
        containers: z.array(container).default([]),
        initContainers: z.array(container.extend({ restartPolicy: z.string().exactOptional() })).default([]),
      })
      .prefault({}),
    status: z
      .object({
        phase: z.string().default('Pending'),
        podIP: z.string().exactOptional(),
        podIPs: z.array(z.object({ ip: z.string() })).default([]),
      })
      .prefault({}),
  },
})
