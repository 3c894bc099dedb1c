// All that this agent tells the store about its node: the NodeNetwork, and what it writes to its own Node.
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { Node, Snapshot, Store } from '../../store/index.ts'
import type { Derived } from '../derive/index.ts'
import type { ProblemBoard } from '../problem-board.ts'
import { OwnNode } from './own-node.ts'
import type { ReportFacts } from './report.ts'
import { Reporter, type ReportFigures } from './reporter.ts'

export type ClusterReportsDeps = {
  readonly node: string
  readonly version: string
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  readonly problems: ProblemBoard
  /** What the store has told so far, live. */
  readonly told: () => Snapshot
}

/** What the agent's other parts know. */
export type AgentFacts = Pick<ReportFacts, 'peers' | 'pods' | 'isDataplaneSynced' | 'notReadyBecause'> & {
  readonly derived: Derived
}

export interface AgentParts {
  /** null: nothing is derived yet. Rejects if a thread does not answer. */
  facts(): Promise<AgentFacts | null>
  /** Whether a pod can be given a network; null: no CNI is served. */
  podNetwork(): { readonly notReadyBecause: string | null } | null
  derived(): Derived | null
}

export class ClusterReports implements Disposable {
  readonly #reporter: Reporter
  readonly #ownNode: OwnNode

  constructor(deps: ClusterReportsDeps, parts: AgentParts) {
    const { node: name, problems, told, version } = deps
    const random = Math.random
    const own = (): Node | null => told().Node.get(name) ?? null
    this.#reporter = new Reporter({
      ...deps,
      random,
      facts: async () => {
        const facts = await parts.facts()
        if (facts === null) return null
        return {
          ...facts,
          version,
          podNetwork: parts.podNetwork(),
          blocks: [...told().IPAMBlock.values()].filter(({ spec }) => spec.node === name).map(({ spec }) => spec.cidr),
          problems: problems.all,
          dataplaneProblems: problems.of('dataplane'),
          configurationProblems: problems.of('configuration', 'store'),
        }
      },
      owner: () => own()?.metadata ?? null,
      nodes: () => told().Node.size,
      onFault: (message) => problems.set('report', faults(`NodeNetwork/${name}`, message)),
    })
    this.#ownNode = new OwnNode({
      ...deps,
      random,
      node: own,
      podNetwork: () => parts.podNetwork(),
      annotations: () => parts.derived()?.annotations ?? {},
      onFault: (message) => problems.set('node', faults(`Node/${name}`, message)),
    })
  }

  get figures(): { readonly report: ReportFigures; readonly nodeWrites: number } {
    return { report: this.#reporter.figures, nodeWrites: this.#ownNode.written }
  }

  /** Something of what is told may be another. */
  changed(): void {
    this.#reporter.changed()
    this.#ownNode.lookAgain()
  }

  [Symbol.dispose](): void {
    this.#reporter[Symbol.dispose]()
    this.#ownNode[Symbol.dispose]()
  }
}

function faults(subject: string, message: string | null) {
  if (message === null) return []
  return [{ severity: 'warning' as const, subject, message: `what this agent knows of the node cannot be written: ${message}` }]
}
