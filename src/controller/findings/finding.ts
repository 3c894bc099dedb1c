// Something in the cluster that is not as it should be and that no admission could see: which object, one word why, and what to do.

export type Severity = 'error' | 'warning'

/** The condition of an object's status that shows a finding. */
export type ConditionType = 'Accepted' | 'Established' | 'Healthy'

export type Finding = {
  readonly severity: Severity
  /** `BGPPeer/tor-a`, `Node/node-1`; `Node` alone where it is about many of them. */
  readonly subject: string
  /** One word in CamelCase, constant. */
  readonly reason: string
  /** What is wrong and what to do. */
  readonly message: string
  /** null: the status of no object shows it. */
  readonly condition: ConditionType | null
}

/** Reason of an object whose selector means no node at all. */
export const SELECTS_NO_NODE = 'SelectsNoNode'

/** Above this many objects of one kind with one trouble there is one finding for all of them. */
export const MOST_BY_NAME = 5

/** Errors first, then by subject, reason and message. */
export function compareFindings(a: Finding, b: Finding): number {
  if (a.severity !== b.severity) return a.severity === 'error' ? -1 : 1
  const keyOf = ({ subject, reason, message }: Finding): string => `${subject} ${reason} ${message}`
  return keyOf(a) < keyOf(b) ? -1 : keyOf(a) === keyOf(b) ? 0 : 1
}
