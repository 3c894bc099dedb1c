// Which links a fabric can lose without cutting anybody off. Pure.
import { type Link, type Plan, speakersOf } from './plan.ts'

/** Links without which every speaker still reaches every other. */
export function redundantLinks(plan: Plan): readonly Link[] {
  return plan.links.filter((link) =>
    isConnected(
      plan,
      plan.links.filter((other) => other !== link),
    ),
  )
}

function isConnected(plan: Plan, links: readonly Link[]): boolean {
  const speakers = speakersOf(plan).map(({ name }) => name)
  const reached = new Set(plan.routers.slice(0, 1).map(({ name }) => name))
  for (let before = 0; reached.size > before; ) {
    before = reached.size
    for (const { ends } of links) {
      const names = ends.map(({ speaker }) => speaker)
      // a node passes nothing on: only routers extend the reach
      if (names.some((name) => reached.has(name) && isRouter(plan, name))) for (const name of names) reached.add(name)
    }
  }
  return reached.size === speakers.length
}

function isRouter({ routers }: Plan, name: string): boolean {
  return routers.some((router) => router.name === name)
}
