// The service routes of before a restart, in the run directory: until services have been listed again, or for as long as the store is
// away, the node goes on with them. A reboot clears the directory, and nothing that they led to runs any more.
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { covers, formatPrefix, type Prefix, parsePrefix } from '../../net/index.ts'
import { bootId } from '../restart-state.ts'
import type { ServiceFacts, ServicePlan, ServiceRoute } from './plan.ts'

const FILE = 'services.json'
const schema = z.object({
  bootId: z.string(),
  routes: z.array(z.object({ prefix: z.string(), isYielding: z.boolean(), sources: z.array(z.string()) })),
})

export class KeptRoutes {
  readonly #path: string
  #text: string | null = null

  constructor(runDir: string) {
    this.#path = join(runDir, FILE)
  }

  /** Empty if there is no such file, or none that can be read. */
  read(): readonly ServiceRoute[] {
    try {
      const parsed = schema.parse(JSON.parse(readFileSync(this.#path, 'utf8')))
      if (parsed.bootId !== bootId()) return []
      return parsed.routes.flatMap(({ prefix: text, ...rest }) => {
        const prefix = parsePrefix(text)
        return prefix === null ? [] : [{ prefix, ...rest }]
      })
    } catch {
      return [] // after a reboot, or written by an agent that knew other things
    }
  }

  /** Throws what the file system throws. */
  write({ routes }: ServicePlan): void {
    const texts = routes.map(({ prefix, ...rest }) => ({ prefix: formatPrefix(prefix), ...rest }))
    const text = JSON.stringify({ bootId: bootId(), routes: texts })
    if (text === this.#text) return
    writeFileSync(`${this.#path}.new`, text, { mode: 0o600 })
    renameSync(`${this.#path}.new`, this.#path)
    this.#text = text
  }

  clear(): void {
    rmSync(this.#path, { force: true })
    this.#text = null
  }
}

/** What may still be advertised of routes of before (pure): those in the ranges of today, unless the node is left out by now. */
export function stillWanted(routes: readonly ServiceRoute[], facts: ServiceFacts): readonly ServiceRoute[] {
  if (facts.standing === 'excluded') return []
  const ranges: readonly Prefix[] = [...facts.clusterIPs, ...facts.externalIPs, ...facts.loadBalancerIPs]
  return routes.filter(({ prefix }) => ranges.some((range) => covers(range, prefix)))
}
