// All that an agent tells the store about its node, put together from what its parts know.
import { expect, test } from '@jest/globals'
import type { Derived } from '../../../src/agent/derive/index.ts'
import { ProblemBoard } from '../../../src/agent/problem-board.ts'
import { ClusterReports } from '../../../src/agent/reporting/cluster-reports.ts'
import { FakeClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { MemoryStore, type NodeNetwork, SnapshotBuilder, StoreError } from '../../../src/store/index.ts'
import { block, node } from '../../store/objects.ts'
import { deriveFor, host } from '../derive/world.ts'

async function settled(): Promise<void> {
  for (let at = 0; at < 200; at++) await Promise.resolve()
}

async function begin() {
  const clock = new FakeClock()
  const store = new MemoryStore({ clock })
  const objects = [node('n1', ['10.0.0.11']), node('n2'), block('10.244.0.0/26', 'n1'), block('10.244.0.64/26', 'n2')]
  for (const object of objects) await store.create(object as Parameters<MemoryStore['create']>[0])
  const told = new SnapshotBuilder()
  store.watch([{ kind: 'Node' }, { kind: 'IPAMBlock' }], {
    changed: (changes) => told.apply(changes),
    synced: () => {},
    problems: () => {},
  })
  await settled()
  const problems = new ProblemBoard(silentLog, () => {})
  const world = { derived: null as Derived | null, notReadyBecause: null as string | null }
  const deps = { node: 'n1', version: '1.2.3', store, clock, log: silentLog, problems, told: () => told.snapshot }
  const reports = new ClusterReports(deps, {
    facts: async () =>
      world.derived === null ? null : { derived: world.derived, peers: [], pods: null, isDataplaneSynced: true, notReadyBecause: [] },
    podNetwork: () => ({ notReadyBecause: world.notReadyBecause }),
    derived: () => world.derived,
  })
  await settled()
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 500) {
      clock.advance(500)
      await settled()
    }
  }
  const stored = (): Promise<NodeNetwork | null> => store.get('NodeNetwork', { name: 'n1' })
  return { clock, store, world, problems, reports, pass, stored }
}

const DERIVED: Derived = {
  ...deriveFor('n1', [node('n1', ['10.0.0.11'])], host({ eth0: ['10.0.0.11/24'] })),
  annotations: { 'fibula.network/detected-ipv4-address': '10.0.0.11/24' },
}

test('nothing before anything is derived; then the node with its own blocks, its problems by who found them, and the Node itself', async () => {
  const { world, reports, pass, stored, problems, store } = await begin()
  await pass(10_000)
  expect(await stored()).toBeNull()
  expect(reports.figures.report.written).toBe(0)
  problems.set('dataplane', [{ severity: 'error', subject: 'route/x', message: 'refused' }])
  problems.set('configuration', [{ severity: 'error', subject: 'BGPPeer/a', message: 'no Secret' }])
  problems.set('store', [{ severity: 'error', subject: 'BGPPeer/b', message: 'is not valid' }])
  world.derived = DERIVED
  world.notReadyBecause = 'no pool'
  reports.changed()
  await pass(10_000)
  const report = await stored()
  expect(report?.metadata).toMatchObject({ ownerReferences: [{ kind: 'Node', name: 'n1' }] })
  expect(report?.status).toMatchObject({
    version: '1.2.3',
    blocks: ['10.244.0.0/26'],
    problems: [{ subject: 'BGPPeer/a' }, { subject: 'BGPPeer/b' }, { subject: 'route/x' }],
  })
  const conditions = new Map(report?.status?.conditions.map(({ type, message }) => [type, message]))
  expect(conditions.get('DataplaneSynced')).toBe('route/x: refused')
  expect(conditions.get('ConfigurationAccepted')).toBe('BGPPeer/a: no Secret; BGPPeer/b: is not valid')
  expect(conditions.get('IPAMReady')).toBe('no pool')
  expect((await store.get('Node', { name: 'n1' }))?.metadata.annotations).toEqual(DERIVED.annotations)
  world.notReadyBecause = null
  reports.changed()
  await pass(10_000)
  const { status } = (await store.get('Node', { name: 'n1' })) ?? {}
  expect(status?.conditions).toMatchObject([{ type: 'NetworkUnavailable', status: 'False' }])
  expect(reports.figures).toEqual({ report: { written: 2, failed: 0 }, nodeWrites: 2 })
})

test.each(['Node/n1', 'NodeNetwork/n1'])('what cannot be written to %s is a problem until it can be', async (subject) => {
  const { world, reports, pass, problems, store } = await begin()
  world.derived = { ...DERIVED, annotations: {} }
  const refuse = (): void => store.failNext(new StoreError('UNAVAILABLE', 'forbidden'))
  if (subject === 'Node/n1') refuse() // that is written first, and at once
  reports.changed()
  await settled()
  if (subject !== 'Node/n1') refuse()
  const seen = new Set<string>()
  for (let look = 0; look < 120; look++) {
    for (const each of problems.of('report', 'node')) seen.add(`${each.severity} ${each.subject}: ${each.message}`)
    await pass(500) // no try follows another sooner
  }
  expect([...seen]).toEqual([`warning ${subject}: what this agent knows of the node cannot be written: forbidden`])
  expect(problems.all).toEqual([])
})

test('one that has ended writes nothing and leaves no timer', async () => {
  const { world, reports, pass, stored, clock } = await begin()
  world.derived = DERIVED
  reports.changed()
  reports[Symbol.dispose]()
  await pass(60_000)
  expect([await stored(), clock.armed]).toEqual([null, 0])
})
