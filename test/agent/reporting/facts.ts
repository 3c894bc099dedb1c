// What there is to report of a node with one peer on which nothing is amiss.
import type { ReportFacts } from '../../../src/agent/reporting/report.ts'
import { node, peer } from '../../store/objects.ts'
import { deriveFor, host } from '../derive/world.ts'

export const QUIET: Omit<ReportFacts, 'peers'> = {
  version: '1.0.0',
  derived: deriveFor('n1', [node('n1', ['10.0.0.11']), peer('tor')], host({ eth0: ['10.0.0.11/24'] })),
  blocks: [],
  pods: null,
  problems: [],
  notReadyBecause: [],
  isDataplaneSynced: true,
  dataplaneProblems: [],
  configurationProblems: [],
  podNetwork: null,
}
