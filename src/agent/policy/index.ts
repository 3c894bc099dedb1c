// Policy on a node, as the command line and the rest of the agent see it. Loading this module is cheap.
import type { Store } from '../../store/index.ts'
import type { ExplainQuery, Explanation, Standpoint } from './explain.ts'

export type { ExplainedFlow, ExplainedStage, ExplainQuery, Explanation, Standpoint } from './explain.ts'
export { ExplainError } from './explain-error.ts'

/** Would a flow be allowed, and why. Throws ExplainError, and StoreError as the store does. */
export async function explainPolicy(store: Store, query: ExplainQuery, standpoint?: Standpoint): Promise<Explanation> {
  const explain = await import('./explain.ts')
  return explain.explainPolicy(store, query, standpoint)
}
