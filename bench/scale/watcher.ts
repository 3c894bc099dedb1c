// The store's watcher alone, over everything that any agent may have to watch. Argument: a file to write when all has been listed.
import { writeFileSync } from 'node:fs'
import { openStore, type Selection, SnapshotBuilder } from '../../src/store/index.ts'

const KINDS = [
  'BGPConfiguration',
  'BGPPeer',
  'BGPFilter',
  'IPPool',
  'IPReservation',
  'IPAMConfiguration',
  'Node',
  'Namespace',
  'Pod',
  'Service',
  'EndpointSlice',
  'NetworkPolicy',
] as const

const objects = new SnapshotBuilder()
openStore('kubernetes').watch(
  KINDS.map((kind): Selection => ({ kind })),
  {
    changed: (changes) => objects.apply(changes),
    synced: () => writeFileSync(process.argv[2] ?? '', 'synced\n'),
    problems: (problems) => console.error(JSON.stringify(problems)),
  },
)
