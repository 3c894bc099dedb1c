// In which order a node's threads hear of a new configuration (pure): what is advertised has its rules, routes and blackholes before,
// and what is withdrawn loses its blackhole or its guard after. In between packets for it would go back to the router they came from.
import type { SpeakerConfig } from '../bgp/index.ts'
import { formatPrefix, type Prefix } from '../net/index.ts'
import type { LocalSettings } from './threads.ts'

export type Step = { readonly to: 'dataplane'; readonly local: LocalSettings } | { readonly to: 'bgp'; readonly speaker: SpeakerConfig }

/** `before`: what the dataplane was told last; null: nothing yet. Each step is to be done before the next. */
export function stepsTo(
  { local, speaker }: { readonly local: LocalSettings; readonly speaker: SpeakerConfig },
  before: LocalSettings | null,
): readonly Step[] {
  const leaving = missingFrom(local.routes.blackholes, before?.routes.blackholes ?? [])
  const unguarded = missingFrom(local.guards?.serviceRanges ?? [], before?.guards?.serviceRanges ?? [])
  if (leaving.length + unguarded.length === 0) {
    return [
      { to: 'dataplane', local },
      { to: 'bgp', speaker },
    ]
  }
  const guards = local.guards ?? before?.guards ?? null
  const both: LocalSettings = {
    ...local,
    routes: { ...local.routes, blackholes: [...local.routes.blackholes, ...leaving] },
    guards:
      guards === null || unguarded.length === 0
        ? local.guards
        : { ...guards, serviceRanges: [...(local.guards?.serviceRanges ?? []), ...unguarded] },
  }
  return [
    { to: 'dataplane', local: both },
    { to: 'bgp', speaker },
    { to: 'dataplane', local },
  ]
}

function missingFrom(now: readonly Prefix[], before: readonly Prefix[]): readonly Prefix[] {
  const kept = new Set(now.map(formatPrefix))
  return before.filter((prefix) => !kept.has(formatPrefix(prefix)))
}
