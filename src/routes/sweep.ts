// Takes our routes out of the kernel for good, for a node that Fibula leaves. Others' routes stay.
import { bitsOf, IP_FAMILIES, type IpFamily } from '../net/index.ts'
import { REMOVE, type RouteBackend, type RouteView } from './backend.ts'
import { isPodInterface } from './links.ts'
import { OUR_PROTOCOL } from './route.ts'

export type SweptRoutes = {
  readonly removed: number
  /** In words, one for each that the kernel did not let go. */
  readonly faults: readonly string[]
}

type Found = { readonly address: Uint8Array; readonly length: number }

/** Removes every route of table main with our protocol; with `keepPods` not those to pods of this node. Throws RouteBackendError. */
export function sweepRoutes(backend: RouteBackend, { keepPods }: { readonly keepPods: boolean }): SweptRoutes {
  const podLinks = new Set(keepPods ? backend.listLinks().links.flatMap(({ index, name }) => (isPodInterface(name) ? [index] : [])) : [])
  const done = IP_FAMILIES.flatMap((family) =>
    [...findOurs(backend, family, podLinks)].map(([key, routes]) => remove(backend, family, key, routes)),
  )
  return { removed: done.reduce((sum, { removed }) => sum + removed, 0), faults: done.flatMap(({ faults }) => faults) }
}

/** By `METRIC TOS`, which the writes of one go share. */
function findOurs(backend: RouteBackend, family: IpFamily, podLinks: ReadonlySet<number>): ReadonlyMap<string, readonly Found[]> {
  const found = new Map<string, Found[]>()
  backend.listRoutes(family, {
    restart: () => found.clear(),
    route(view) {
      if (view.protocol !== OUR_PROTOCOL || leadsTo(view, podLinks)) return
      const key = `${view.metric} ${view.tos}`
      const routes = found.get(key) ?? []
      if (routes.length === 0) found.set(key, routes)
      routes.push({ address: view.address.slice(0, bitsOf(family) / 8), length: view.length })
    },
  })
  return found
}

function leadsTo({ body }: RouteView, links: ReadonlySet<number>): boolean {
  return body.kind === 'unicast' && body.nextHops.some(({ interfaceIndex }) => links.has(interfaceIndex))
}

function remove(backend: RouteBackend, family: IpFamily, key: string, routes: readonly Found[]): SweptRoutes {
  const [metric = 0, tos = 0] = key.split(' ').map(Number)
  const count = routes.length
  const octets = bitsOf(family) / 8
  const addresses = new Uint8Array(count * octets)
  for (const [at, { address }] of routes.entries()) addresses.set(address, at * octets)
  const { failures, unknown } = backend.write({
    family,
    count,
    metric,
    tos,
    operations: new Uint8Array(count).fill(REMOVE),
    addresses,
    lengths: Uint8Array.from(routes, ({ length }) => length),
    bodyOf: new Uint32Array(count),
    bodies: [],
  })
  const lost = unknown.map(({ from, to }) => `what became of ${to - from} IPv${family} routes is not known`)
  const refused = failures.map(({ code, text }) => `an IPv${family} route stays: ${text ?? code}`)
  return { removed: count - failures.length - unknown.reduce((sum, { from, to }) => sum + to - from, 0), faults: [...lost, ...refused] }
}
