// Metrics of the routes of services.
import { Gauge, type Registry } from '../../lib/prometheus.ts'
import type { ServiceFigures } from './service-watch.ts'

/** `read` takes over the figures of this moment; null: no range of services is set, so there are no samples. */
export function serviceMetrics(registry: Registry): { readonly read: (figures: ServiceFigures | null) => void } {
  const registers = [registry]
  const routes = new Gauge({
    name: 'fibula_service_routes',
    help: 'Prefixes this node advertises for services: plain, or yielding (GRACEFUL_SHUTDOWN) until others can take the traffic.',
    labelNames: ['state'],
    registers,
  })
  const watched = new Gauge({
    name: 'fibula_service_objects',
    help: 'Services that are followed, and their endpoints that take connections.',
    labelNames: ['kind'],
    registers,
  })
  const withheld = new Gauge({
    name: 'fibula_service_standing',
    help: '1 for how this node stands to routes of services: in, cordoned, or excluded by its label.',
    labelNames: ['standing'],
    registers,
  })
  return {
    read(figures) {
      for (const gauge of [routes, watched, withheld]) gauge.reset()
      if (figures === null) return
      const { advertised, yielding, services, endpoints, standing } = figures
      routes.set({ state: 'plain' }, advertised - yielding)
      routes.set({ state: 'yielding' }, yielding)
      watched.set({ kind: 'service' }, services)
      watched.set({ kind: 'endpoint' }, endpoints)
      withheld.set({ standing }, 1)
    },
  }
}
