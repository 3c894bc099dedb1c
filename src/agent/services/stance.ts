// What a node does about one address: advertises it, yields (still advertises, at least preference), or does neither (pure).
//
// | this node                                   | elsewhere                      | then |
// |---|---|---|
// | is excluded, or has nobody to serve         | whatever                       | nothing |
// | serves                                      | whatever                       | advertises |
// | is cordoned, or its last endpoint terminates | nobody could take the traffic | yields until somebody can |
// | the same                                    | somebody can                   | nothing, once they can for HAND_OVER_MS |

/**
 * How long an endpoint has been ready here before a route leads to it: kube-proxy, which hears of it at the same time, has its rules
 * by then (it writes them once a second at most: its minSyncPeriod).
 */
export const PROXY_MS = 1_500
/** How long others have been able to take the traffic before a node lets go of it: their routes are in the fabric by then. */
export const HAND_OVER_MS = 2 * PROXY_MS

/** `excluded`: by label. `cordoned`: it takes no new pods, and those it has will move. */
export type Standing = 'in' | 'cordoned' | 'excluded'

export type Stance =
  | { readonly kind: 'withhold' }
  | { readonly kind: 'advertise' }
  /** `untilMs` null: until somebody else can take the traffic. */
  | { readonly kind: 'yield'; readonly untilMs: number | null }

/**
 * `here`: what this node has to offer. `othersSinceMs`: since when other nodes could do as well, minus infinity for longer than we know;
 * null: they cannot.
 */
export function stance(standing: Standing, here: 'serves' | 'terminates' | 'nobody', othersSinceMs: number | null, nowMs: number): Stance {
  if (standing === 'excluded' || here === 'nobody') return { kind: 'withhold' }
  if (standing === 'in' && here === 'serves') return { kind: 'advertise' }
  if (othersSinceMs === null) return { kind: 'yield', untilMs: null }
  const untilMs = othersSinceMs + HAND_OVER_MS
  return untilMs > nowMs ? { kind: 'yield', untilMs } : { kind: 'withhold' }
}
