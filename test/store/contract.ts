// What every adapter of the store promises; run against each of them.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { Store } from '../../src/store/index.ts'
import { conditionsContract } from './contract-conditions.ts'
import { type Clients, codeOf, versionOf } from './contract-support.ts'
import { watchContract } from './contract-watch.ts'
import { block, node, peer, pool, secret } from './objects.ts'

export interface StoreHarness extends AsyncDisposable {
  /** Another client of the same objects. */
  open(): Store
}

export function storeContract(name: string, makeHarness: () => Promise<StoreHarness>): void {
  describe(`store contract: ${name}`, () => {
    let harness: StoreHarness
    let store: Store
    let other: Store

    const clients = (): Clients => ({ store, other })

    beforeEach(async () => {
      harness = await makeHarness()
      store = harness.open()
      other = harness.open()
    })
    afterEach(async () => {
      await store[Symbol.asyncDispose]()
      await other[Symbol.asyncDispose]()
      await harness[Symbol.asyncDispose]()
    })

    describe('create, get, list, delete', () => {
      test('what was created is there for every client, with its defaults', async () => {
        const made = await store.create(peer('tor-a'))
        expect(made.spec.nextHopMode).toBe('Auto')
        expect(versionOf(made)).not.toBe('none')
        expect(await other.get('BGPPeer', { name: 'tor-a' })).toEqual(made)
      })

      test('what is not there is null, and an empty list', async () => {
        expect(await store.get('BGPPeer', { name: 'tor-a' })).toBeNull()
        expect(await store.list({ kind: 'BGPPeer' })).toEqual([])
      })

      test('kinds do not mix, and a list is in order of names', async () => {
        for (const each of ['b', 'c', 'a']) await store.create(peer(each))
        await store.create(pool('a', '10.0.0.0/16'))
        expect((await other.list({ kind: 'BGPPeer' })).map(({ metadata }) => metadata.name)).toEqual(['a', 'b', 'c'])
        expect((await other.list({ kind: 'IPPool' })).map(({ spec }) => spec.cidr)).toEqual(['10.0.0.0/16'])
      })

      test('a namespaced object is found in its namespace only', async () => {
        await store.create(secret('tor', 'fibula-system', { password: 'x' }))
        expect(await other.get('Secret', { name: 'tor', namespace: 'fibula-system' })).not.toBeNull()
        expect(await other.get('Secret', { name: 'tor' })).toBeNull()
        expect(await other.list({ kind: 'Secret', namespace: 'default' })).toEqual([])
        expect(await other.list({ kind: 'Secret', namespace: 'fibula-system' })).toHaveLength(1)
      })

      test('a list may be narrowed by name and labels', async () => {
        await store.create(block('10.0.0.0/26', 'n1'))
        await store.create(block('10.0.0.64/26', 'n2'))
        const labels = { 'fibula.network/node': 'n2' }
        expect((await other.list({ kind: 'IPAMBlock', labels })).map(({ spec }) => spec.cidr)).toEqual(['10.0.0.64/26'])
        expect(await other.list({ kind: 'IPAMBlock', labels, name: '10-0-0-0-26' })).toEqual([])
      })

      test.each([peer('a'), block('10.0.0.0/26', 'n1'), node('n1')])('creating $kind twice is ALREADY_EXISTS', async (object) => {
        await store.create(object)
        expect(await codeOf(other.create(object))).toBe('ALREADY_EXISTS')
      })

      test.each([peer('a'), block('10.0.0.0/26', 'n1'), node('n1')])('a deleted $kind is gone for every client', async (object) => {
        await store.create(object)
        await other.delete(object.kind, object.metadata)
        expect(await store.get(object.kind, object.metadata)).toBeNull()
        expect(await codeOf(store.delete(object.kind, object.metadata))).toBe('NOT_FOUND')
      })

      test('a delete that names a version spares any other', async () => {
        const first = await store.create(block('10.0.0.0/26', 'n1'))
        await other.update({ ...first, spec: { ...first.spec, sequence: 1 } })
        const { name } = first.metadata
        expect(await codeOf(store.delete('IPAMBlock', { name, resourceVersion: versionOf(first) }))).toBe('CONFLICT')
        const now = await store.get('IPAMBlock', { name })
        await store.delete('IPAMBlock', { name, resourceVersion: versionOf(now) })
        expect(await other.get('IPAMBlock', { name })).toBeNull()
      })

      test('an object that is not valid is INVALID, with its faults, and is not stored', async () => {
        const work = store.create(peer('a', { asNumber: 0 }))
        await expect(work).rejects.toMatchObject({ code: 'INVALID', faults: [{ path: ['spec', 'asNumber'] }] })
        expect(await other.list({ kind: 'BGPPeer' })).toEqual([])
      })

      test('what a store hands out cannot be changed under its feet', async () => {
        const made = await store.create(block('10.0.0.0/26', 'n1'))
        try {
          ;(made.spec as { cidr: string }).cidr = '10.9.0.0/26'
        } catch {
          // frozen: just as good
        }
        expect((await store.get('IPAMBlock', made.metadata))?.spec.cidr).toBe('10.0.0.0/26')
      })

      test('an aborted call does nothing', async () => {
        const aborted = AbortSignal.abort(new Error('enough'))
        await expect(store.create(peer('a'), {}, aborted)).rejects.toThrow('enough')
        expect(await other.get('BGPPeer', { name: 'a' })).toBeNull()
      })
    })

    describe('update: compare and swap', () => {
      test.each([
        ['a user kind', peer('a')],
        ['a machine kind', block('10.0.0.0/26', 'n1')],
        ['a core kind', node('n1')],
      ])('%s: the second of two writers that read the same version fails with CONFLICT', async (_, object) => {
        const mine = await store.create(object)
        const theirs = await other.get(object.kind, object.metadata)
        if (theirs === null) throw new Error('not there')
        const relabelled = await store.update({ ...mine, metadata: { ...mine.metadata, labels: { rack: 'a' } } } as typeof mine)
        expect(versionOf(relabelled)).not.toBe(versionOf(mine))
        expect(await codeOf(other.update({ ...theirs, metadata: { ...theirs.metadata, labels: { rack: 'b' } } } as typeof mine))).toBe(
          'CONFLICT',
        )
        expect((await other.get(object.kind, object.metadata))?.metadata.labels).toEqual({ rack: 'a' })
      })

      test('an update must name the version it saw', async () => {
        await store.create(peer('a'))
        expect(await codeOf(store.update(peer('a', { asNumber: 65002 })))).toBe('INVALID')
      })

      test('what does not exist cannot be updated', async () => {
        expect(await codeOf(store.update({ ...peer('a'), metadata: { name: 'a', resourceVersion: '1' } }))).toBe('NOT_FOUND')
        expect(await codeOf(store.updateStatus({ ...peer('a'), metadata: { name: 'a', resourceVersion: '1' } }))).toBe('NOT_FOUND')
      })

      test('an update replaces: what it leaves out is gone', async () => {
        const made = await store.create(peer('a', { holdTime: '9s' }))
        const { holdTime: _, ...spec } = made.spec
        await store.update({ ...made, spec })
        expect((await other.get('BGPPeer', { name: 'a' }))?.spec.holdTime).toBeUndefined()
      })

      test('an update that changes nothing keeps the version', async () => {
        const made = await store.create(peer('a'))
        expect(versionOf(await store.update(made))).toBe(versionOf(made))
        const machine = await store.create(block('10.0.0.0/26', 'n1'))
        expect(versionOf(await store.update(machine))).toBe(versionOf(machine))
      })

      test('a machine-written object keeps its uid; its generation counts changes of the spec', async () => {
        const made = await store.create(block('10.0.0.0/26', 'n1'))
        const changed = await store.update({ ...made, spec: { ...made.spec, sequence: 7 } })
        const labelled = await store.update({ ...changed, metadata: { ...changed.metadata, labels: {} } })
        expect([made, changed, labelled].map(({ metadata }) => metadata.generation)).toEqual([1, 2, 2])
        expect(new Set([made, changed, labelled].map(({ metadata }) => metadata.uid)).size).toBe(1)
        expect(changed.metadata.creationTimestamp).toBe(made.metadata.creationTimestamp)
      })

      test('an object that was deleted and made again is another: an old version does not fit it', async () => {
        const first = await store.create(block('10.0.0.0/26', 'n1'))
        await store.delete('IPAMBlock', first.metadata)
        const second = await other.create(block('10.0.0.0/26', 'n1'))
        expect(second.metadata.uid).not.toBe(first.metadata.uid)
        expect(await codeOf(store.update({ ...first, spec: { ...first.spec, sequence: 1 } }))).toBe('CONFLICT')
      })

      test('fields that a newer version added to a machine-written object survive an update', async () => {
        const newer = { ...block('10.0.0.0/26', 'n1'), spec: { cidr: '10.0.0.0/26', node: 'n1', reserve: ['10.0.0.9'] } }
        const made = await store.create(newer)
        await store.update({ ...made, spec: { ...made.spec, sequence: 1 } })
        expect((await other.get('IPAMBlock', made.metadata))?.spec['reserve']).toEqual(['10.0.0.9'])
      })

      test('many writers of one client lose nothing', async () => {
        const { metadata } = await store.create(block('10.0.0.0/26', 'n1'))
        const increment = async (by: Store): Promise<void> => {
          for (;;) {
            const now = await by.get('IPAMBlock', metadata)
            if (now === null) throw new Error('gone')
            const code = await codeOf(by.update({ ...now, spec: { ...now.spec, sequence: now.spec.sequence + 1 } }))
            if (code === 'succeeded') return
            if (code !== 'CONFLICT') throw new Error(code)
          }
        }
        await Promise.all(Array.from({ length: 40 }, (_, at) => increment(at % 2 === 0 ? store : other)))
        expect((await store.get('IPAMBlock', metadata))?.spec.sequence).toBe(40)
      })
    })

    describe('status', () => {
      const sessions = [
        {
          node: 'n1',
          address: '10.0.0.1',
          state: 'Established',
          since: '2030-01-01T00:00:00Z',
          capabilities: { offered: [], received: [], negotiated: [] },
          prefixes: {},
        },
      ]

      test('create and update do not write it, updateStatus writes nothing else', async () => {
        const made = await store.create({ ...peer('a'), status: { sessions } })
        expect(made.status).toBeUndefined()
        const reported = await other.updateStatus({ ...made, spec: { ...made.spec, asNumber: 1 }, status: { sessions, conditions: [] } })
        expect(reported.spec.asNumber).toBe(65001)
        expect(reported.status?.sessions).toHaveLength(1)
        const changed = await store.update({
          ...reported,
          spec: { ...reported.spec, asNumber: 65009 },
          status: { sessions: [], conditions: [] },
        })
        expect(changed.status?.sessions).toHaveLength(1)
        expect((await other.get('BGPPeer', { name: 'a' }))?.spec.asNumber).toBe(65009)
      })

      test('either write makes the other conflict', async () => {
        const made = await store.create(peer('a'))
        await store.updateStatus({ ...made, status: { sessions, conditions: [] } })
        expect(await codeOf(other.update({ ...made, spec: { ...made.spec, asNumber: 65009 } }))).toBe('CONFLICT')
        expect(await codeOf(other.updateStatus({ ...made, status: { sessions: [], conditions: [] } }))).toBe('CONFLICT')
      })

      test('a machine-written object has its status beside its spec', async () => {
        const made = await store.create({ apiVersion: 'fibula.network/v1alpha1', kind: 'NodeNetwork', metadata: { name: 'n1' } })
        await store.updateStatus({ ...made, status: { routerID: '10.0.0.1' } })
        expect((await other.get('NodeNetwork', { name: 'n1' }))?.status?.routerID).toBe('10.0.0.1')
      })

      test('it goes with its object', async () => {
        const made = await store.create(peer('a'))
        await store.updateStatus({ ...made, status: { sessions, conditions: [] } })
        await store.delete('BGPPeer', { name: 'a' })
        await store.create(peer('a'))
        expect((await other.get('BGPPeer', { name: 'a' }))?.status).toBeUndefined()
      })
    })

    conditionsContract(clients)
    watchContract(clients)
  })
}
