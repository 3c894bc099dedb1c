// In which order a node's threads hear of a new configuration (pure): what is advertised has its rules, routes and blackholes before,
// and what is withdrawn loses its blackhole after. In between packets for it would go back to the router they came from.
import type { SpeakerConfig } from '../bgp/index.ts'
import { formatPrefix } from '../net/index.ts'
import type { LocalSettings } from './threads.ts'

export type Step = { readonly to: 'dataplane'; readonly local: LocalSettings } | { readonly to: 'bgp'; readonly speaker: SpeakerConfig }

/** `before`: what the dataplane was told last; null: nothing yet. Each step is to be done before the next. */
export function stepsTo(
  { local, speaker }: { readonly local: LocalSettings; readonly speaker: SpeakerConfig },
  before: LocalSettings | null,
): readonly Step[] {
  const kept = new Set(local.routes.blackholes.map(formatPrefix))
  const leaving = (before?.routes.blackholes ?? []).filter((block) => !kept.has(formatPrefix(block)))
  if (leaving.length === 0) {
    return [
      { to: 'dataplane', local },
      { to: 'bgp', speaker },
    ]
  }
  const both = { ...local, routes: { ...local.routes, blackholes: [...local.routes.blackholes, ...leaving] } }
  return [
    { to: 'dataplane', local: both },
    { to: 'bgp', speaker },
    { to: 'dataplane', local },
  ]
}
