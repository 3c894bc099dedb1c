// The default topology, planned as the tests need it.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { type Plan, planLab, type RouterKind } from '../../src/lab/plan.ts'
import { parseTopology, type Topology } from '../../src/lab/topology.ts'

/** The document of lab/two-racks.yaml, to be changed at will. */
export function twoRacks(): Record<string, unknown> & {
  nodes: Record<string, unknown>[]
  links: Record<string, unknown>[]
  routers: Record<string, unknown>[]
} {
  return parse(readFileSync(join(import.meta.dirname, '..', '..', 'lab', 'two-racks.yaml'), 'utf8'))
}

export function topology(document: unknown = twoRacks()): Topology {
  const parsed = parseTopology(document)
  if (!parsed.ok) throw new Error(parsed.error.join('\n'))
  return parsed.value
}

export function plan(routerKind: RouterKind = 'fibula', document: unknown = twoRacks()): Plan {
  return planLab(topology(document), { routerKind, netnsPrefix: 'fiblab-' })
}
