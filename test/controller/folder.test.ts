// Two replicas over one folder, each with a store of its own as two processes have: the same Lease, statuses and leaks as in a cluster.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { Controller } from '../../src/controller/controller.ts'
import type { ElectionTimes } from '../../src/controller/election/election.ts'
import { DirectoryStore } from '../../src/store/index.ts'
import { peer, pool } from '../store/objects.ts'
import { until } from '../support/poll.ts'
import { fill, ipamBlock, kubeNode, network, session, silentLog } from './world.ts'

const TIMES: ElectionTimes = { leaseDurationMs: 3_000, renewDeadlineMs: 2_000, retryPeriodMs: 200 }
const LONG_MS = 90_000

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fibula-controller-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

class Replica implements AsyncDisposable {
  readonly store = new DirectoryStore(folder)
  readonly controller: Controller
  constructor(identity: string) {
    this.controller = new Controller({
      store: this.store,
      log: silentLog,
      namespace: 'fibula-system',
      identity,
      times: TIMES,
      leakGraceMs: 1_000,
      statusIntervalMs: 1_000,
    })
    this.controller.start()
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.controller[Symbol.asyncDispose]()
    await this.store[Symbol.asyncDispose]()
  }
}

test(
  'one leads and writes statuses, leaks of a node without manifest are collected, and the other goes on',
  async () => {
    await using store = new DirectoryStore(folder)
    writeFileSync(join(folder, 'node.yaml'), JSON.stringify(kubeNode('n1')))
    await fill(store, [
      pool('pods', '10.244.0.0/16'),
      peer('tor', { filters: ['missing'] }),
      network('n1', { peers: [session('tor')] }),
      network('gone'),
      ipamBlock('10.244.0.0/26', 'n1', [{ address: '10.244.0.1', pod: 'without-manifest' }]),
      ipamBlock('10.244.0.64/26', 'gone', [{ address: '10.244.0.65', pod: 'lost' }]),
    ])
    const lease = async () => (await store.get('Lease', { namespace: 'fibula-system', name: 'fibula-controller' }))?.spec
    {
      await using first = new Replica('first')
      await until('the first leads', () => first.controller.view().election.isLeading)
      await using second = new Replica('second')
      await until('the second waits', () => second.controller.view().election.leader === 'first')
      const status = await until('a status', async () => (await store.get('BGPPeer', { name: 'tor' }))?.status)
      expect(status).toMatchObject({
        established: 1,
        conditions: [
          { type: 'Accepted', status: 'False', reason: 'FilterNotFound' },
          { type: 'Established', status: 'True' },
        ],
      })
      await until('the block of the gone node is gone', async () => (await store.get('IPAMBlock', { name: '10-244-0-64-26' })) === null)
      await until('and its report', async () => (await store.get('NodeNetwork', { name: 'gone' })) === null)
      expect(second.controller.view().leader).toBeNull()
      await first.controller[Symbol.asyncDispose]()
      await until('the second leads', () => second.controller.view().election.isLeading)
    }
    expect(await lease()).toMatchObject({ holderIdentity: '', leaseTransitions: 1 })
    expect((await store.get('IPAMBlock', { name: '10-244-0-0-26' }))?.spec.allocations).toHaveLength(1) // no manifests of pods: unknown
    expect(readdirSync(join(folder, 'state'))).toContain('lease.fibula-system.fibula-controller.yaml')
  },
  LONG_MS,
)
