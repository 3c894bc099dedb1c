// Object metadata as Kubernetes defines it: typed where we read it, accepted where manifests saved from a cluster carry it.
import { z } from 'zod'
import { dnsLabel, dnsSubdomain } from './names.ts'

const name = dnsSubdomain().meta({ description: 'Name of the object, unique among its kind (and namespace).' })
const namespace = dnsLabel().meta({ description: 'Namespace of a namespaced object; `default` when left out.' })
const strings = z.record(z.string(), z.string())

const shape = {
  name,
  namespace: namespace.exactOptional(),
  labels: strings.default({}).meta({ description: 'Labels, which selectors match.' }),
  annotations: strings.default({}).meta({ description: 'Annotations.' }),
  uid: z.string().exactOptional(),
  resourceVersion: z.string().exactOptional().meta({ description: 'Set by the store; an update must name the one it saw.' }),
  generation: z.int().exactOptional(),
  creationTimestamp: z.string().exactOptional(),
  deletionTimestamp: z.string().exactOptional(),
}

/** Of our own kinds: unknown fields are errors. */
export const userMetadata = z.strictObject({
  ...shape,
  deletionGracePeriodSeconds: z.int().exactOptional(),
  finalizers: z.array(z.string()).exactOptional(),
  generateName: z.string().exactOptional(),
  managedFields: z.unknown().exactOptional(),
  ownerReferences: z.unknown().exactOptional(),
  selfLink: z.string().exactOptional(),
})

/** Of Kubernetes' kinds: what we do not read is dropped, so that a hundred thousand pods stay small. */
export const coreMetadata = z.object(shape)

/** What we and the store read of any object's metadata. */
export type ObjectMeta = {
  readonly name: string
  readonly namespace?: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly uid?: string
  readonly resourceVersion?: string
  readonly generation?: number
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
}
