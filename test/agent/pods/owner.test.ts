// The agent's hold on its pods: what it is told while they cannot be served, and that it tries again.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { Problem } from '../../../src/agent/control-api.ts'
import { OPEN_GATE } from '../../../src/agent/pods/index.ts'
import { PodsOwner } from '../../../src/agent/pods/owner.ts'
import type { DataplaneAsk } from '../../../src/agent/pods/remote-wiring.ts'
import { type Clock, systemClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { MemoryStore, SnapshotBuilder } from '../../../src/store/index.ts'
import { ipamConfig, poolConfig } from '../../ipam/world.ts'
import { until } from '../../support/poll.ts'

/** Nothing waits for long. */
const HASTY: Clock = { ...systemClock, after: (delayMs, fire) => systemClock.after(Math.min(delayMs, 30), fire) }

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fibula-owner-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('a state directory that cannot be used is told and tried again; what is derived meanwhile waits for nothing', async () => {
  const stateDir = join(folder, 'state')
  writeFileSync(stateDir, '') // a file where the folder should be
  let problems: readonly Problem[] = []
  let derivations = 0
  let isReady = false
  const answers = { strays: [], missing: [], unknown: [] }
  const dataplane = { ask: () => Promise.resolve(answers) } as unknown as DataplaneAsk
  const owner = new PodsOwner({
    node: 'n1',
    log: silentLog,
    clock: HASTY,
    cni: { socket: join(folder, 'cni.sock'), stateDir, confDir: null, binDirs: [] },
    store: new MemoryStore(),
    snapshot: new SnapshotBuilder().snapshot,
    dataplane,
    gate: OPEN_GATE,
    ownBlocks: () => [],
    unreadiness: () => null,
    onRoutes: () => derivations++,
    onProblems: (now) => {
      problems = now
    },
    onReady: () => {
      isReady = true
    },
  })
  expect(owner.isSettled).toBe(false)
  await until('it has tried', () => owner.isSettled)
  expect([derivations > 0, owner.pods, owner.counts().ready]).toEqual([true, null, false])
  expect(problems).toEqual([
    { severity: 'error', subject: 'CNI', message: expect.stringMatching(/^pods cannot be served: .*state directory/) },
  ])

  owner.resized({ containerId: 'c1', ifName: 'eth0' }, 1480) // kept until there is who writes it down
  rmSync(stateDir)
  await until('the pods are served', () => owner.pods !== null)
  owner.pods?.configure(ipamConfig([poolConfig('pods', '10.244.0.0/24')]))
  await until('a pod could come', () => {
    owner.lookSoon()
    return isReady && owner.counts().ready
  })
  expect(problems).toEqual([])
  await owner.end()
})

test('an end while it cannot be served comes at once', async () => {
  writeFileSync(join(folder, 'state'), '')
  const owner = new PodsOwner({
    node: 'n1',
    log: silentLog,
    clock: systemClock, // whose retry is seconds away
    cni: { socket: join(folder, 'cni.sock'), stateDir: join(folder, 'state'), confDir: null, binDirs: [] },
    store: new MemoryStore(),
    snapshot: new SnapshotBuilder().snapshot,
    dataplane: { ask: () => Promise.reject(new Error('not asked')) } as unknown as DataplaneAsk,
    gate: OPEN_GATE,
    ownBlocks: () => [],
    unreadiness: () => null,
    onRoutes: () => {},
    onProblems: () => {},
    onReady: () => {},
  })
  await until('it has tried', () => owner.isSettled)
  let hasEnded = false
  void owner.end().then(() => {
    hasEnded = true
  })
  await until('it has ended', () => hasEnded)
})
