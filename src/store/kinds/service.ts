// Service of Kubernetes: its addresses, ports and traffic policies.
import { z } from 'zod'
import { defineCoreKind } from './kind.ts'

/** Annotation of a service: `"false"` keeps its addresses from being advertised. */
export const ADVERTISE_ANNOTATION = 'fibula.network/advertise'

const trafficPolicy = () => z.enum(['Cluster', 'Local']).default('Cluster')

export const service = defineCoreKind({
  kind: 'Service',
  apiVersion: 'v1',
  plural: 'services',
  shortNames: ['svc'],
  scope: 'Namespaced',
  description: 'A service of Kubernetes.',
  columns: [
    { name: 'Type', path: '.spec.type' },
    { name: 'Cluster IP', path: '.spec.clusterIP' },
    { name: 'External IPs', path: '.spec.externalIPs' },
  ],
  body: {
    spec: z
      .object({
        type: z.enum(['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName']).default('ClusterIP'),
        clusterIP: z.string().exactOptional(),
        clusterIPs: z.array(z.string()).default([]),
        externalIPs: z.array(z.string()).default([]),
        loadBalancerIP: z.string().exactOptional(),
        loadBalancerClass: z.string().exactOptional(),
        ipFamilies: z.array(z.enum(['IPv4', 'IPv6'])).default([]),
        externalTrafficPolicy: trafficPolicy(),
        internalTrafficPolicy: trafficPolicy(),
        publishNotReadyAddresses: z.boolean().default(false),
        selector: z.record(z.string(), z.string()).default({}),
        ports: z
          .array(
            z.object({
              name: z.string().exactOptional(),
              port: z.int().min(1).max(65_535),
              protocol: z.string().default('TCP'),
              nodePort: z.int().exactOptional(),
              targetPort: z.union([z.int(), z.string()]).exactOptional(),
            }),
          )
          .default([]),
      })
      .prefault({}),
    status: z
      .object({
        loadBalancer: z
          .object({
            ingress: z
              .array(
                z.object({
                  ip: z.string().exactOptional(),
                  // `Proxy`: the address is of a load balancer outside, and nodes do not answer to it (KEP-1860). Absent: `VIP`.
                  ipMode: z.string().exactOptional(),
                  hostname: z.string().exactOptional(),
                }),
              )
              .default([]),
          })
          .prefault({}),
      })
      .prefault({}),
  },
})
