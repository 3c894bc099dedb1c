// Namespace of Kubernetes: its labels, which selectors match.
import { z } from 'zod'
import { defineCoreKind } from './kind.ts'

export const namespace = defineCoreKind({
  kind: 'Namespace',
  apiVersion: 'v1',
  plural: 'namespaces',
  shortNames: ['ns'],
  scope: 'Cluster',
  description: 'A namespace of Kubernetes.',
  columns: [{ name: 'Phase', path: '.status.phase' }],
  body: { status: z.object({ phase: z.string().exactOptional() }).prefault({}) },
})
