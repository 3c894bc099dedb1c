// What every adapter of the store promises; run against each of them.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type Condition, type Store, StoreError, type StoreErrorCode } from '../../src/store/index.ts'
import { block, node, peer, pool, secret } from './objects.ts'
import { Recorder, watching } from './recorder.ts'

export interface StoreHarness extends AsyncDisposable {
  /** Another client of the same objects. */
  open(): Store
}

async function codeOf(work: Promise<unknown>): Promise<StoreErrorCode | 'succeeded'> {
  try {
    await work
    return 'succeeded'
  } catch (cause) {
    if (cause instanceof StoreError) return cause.code
    throw cause
  }
}

function versionOf(object: { readonly metadata: { readonly resourceVersion?: string } } | null): string {
  return object?.metadata.resourceVersion ?? 'none'
}

export function storeContract(name: string, makeHarness: () => Promise<StoreHarness>): void {
  describe(`store contract: ${name}`, () => {
    let harness: StoreHarness
    let store: Store
    let other: Store

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

    describe('conditions of several managers', () => {
      const ready: Condition = { type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'fine' }
      const network: Condition = { type: 'NetworkUnavailable', status: 'False', reason: 'FibulaReady', message: 'routes are in' }
      const typesOf = (
        object: { readonly status?: { readonly conditions: readonly { readonly type: string }[] } | undefined } | null,
      ): string =>
        (object?.status?.conditions ?? [])
          .map(({ type }) => type)
          .sort()
          .join()

      test('each manager has its own, and the rest of the object stays', async () => {
        await store.create(node('n1', ['10.0.0.11']))
        await store.applyConditions('Node', { name: 'n1' }, [ready], 'kubelet')
        const made = await other.applyConditions('Node', { name: 'n1' }, [network], 'fibula')
        expect(typesOf(made)).toBe('NetworkUnavailable,Ready')
        const seen = await store.get('Node', { name: 'n1' })
        expect(seen).toEqual(made)
        const bare = node('n1', ['10.0.0.11'])
        if (seen?.status.addresses.length !== 0) expect(seen?.status.addresses).toEqual(bare.status?.addresses)
      })

      test('what a manager leaves out goes, what others have stays', async () => {
        await store.create(peer('a'))
        const findings = ['NoSecret', 'NoNode'].map((type): Condition => ({ ...network, type }))
        await store.applyConditions('BGPPeer', { name: 'a' }, [ready], 'controller')
        await store.applyConditions('BGPPeer', { name: 'a' }, findings, 'agent')
        await store.applyConditions('BGPPeer', { name: 'a' }, findings.slice(1), 'agent')
        expect(typesOf(await other.get('BGPPeer', { name: 'a' }))).toBe('NoNode,Ready')
        await store.applyConditions('BGPPeer', { name: 'a' }, [], 'agent')
        expect(typesOf(await other.get('BGPPeer', { name: 'a' }))).toBe('Ready')
      })

      test('applying the same again changes nothing; the time is that of the last change of status', async () => {
        const [first, again] = [
          await store.create(peer('a')).then(() => store.applyConditions('BGPPeer', { name: 'a' }, [network], 'fibula')),
          await other.applyConditions('BGPPeer', { name: 'a' }, [network], 'fibula'),
        ]
        expect(versionOf(again)).toBe(versionOf(first))
        const reworded = await store.applyConditions('BGPPeer', { name: 'a' }, [{ ...network, message: 'all well' }], 'fibula')
        expect(reworded.status?.conditions[0]).toEqual({ ...first.status?.conditions[0], message: 'all well' })
        expect(Number.isNaN(Date.parse(first.status?.conditions[0]?.lastTransitionTime ?? ''))).toBe(false)
      })

      test('many managers at once lose nothing', async () => {
        await store.create(node('n1'))
        const managers = Array.from({ length: 8 }, (_, at) => `m${at}`)
        await Promise.all(
          managers.map((manager, at) =>
            (at % 2 === 0 ? store : other).applyConditions('Node', { name: 'n1' }, [{ ...network, type: manager }], manager),
          ),
        )
        expect(typesOf(await store.get('Node', { name: 'n1' }))).toBe(managers.join())
      })

      test('a watcher hears of it; what is not there is NOT_FOUND', async () => {
        await store.create(node('n1'))
        using watch = await watching(other, [{ kind: 'Node' }])
        await store.applyConditions('Node', { name: 'n1' }, [network], 'fibula')
        await watch.recorder.until((seen) => seen.changes.some(({ object }) => object.kind === 'Node' && typesOf(object) !== ''))
        expect(await codeOf(store.applyConditions('Node', { name: 'n2' }, [network], 'fibula'))).toBe('NOT_FOUND')
      })

      test('a whole status written by somebody else keeps what it says of ours', async () => {
        await store.create(peer('a'))
        const made = await store.applyConditions('BGPPeer', { name: 'a' }, [network], 'fibula')
        await other.updateStatus({ ...made, status: { ...made.status, sessions: [] } })
        expect(typesOf(await store.get('BGPPeer', { name: 'a' }))).toBe('NetworkUnavailable')
        const bare = await store.get('BGPPeer', { name: 'a' })
        if (bare === null) throw new Error('gone')
        await other.updateStatus({ ...bare, status: { sessions: [], conditions: [] } })
        expect(typesOf(await store.get('BGPPeer', { name: 'a' }))).toBe('')
        await store.applyConditions('BGPPeer', { name: 'a' }, [network], 'fibula')
        expect(typesOf(await store.get('BGPPeer', { name: 'a' }))).toBe('NetworkUnavailable')
      })
    })

    describe('a watch whose selections change', () => {
      const tor = { kind: 'Secret', namespace: 'fibula-system', name: 'tor' } as const
      const spine = { ...tor, name: 'spine' }

      test('what is new comes, what nobody selects any more goes, what stays is not told again', async () => {
        for (const { name, namespace } of [tor, spine]) await store.create(secret(name, namespace, { password: 'x' }))
        await store.create(peer('a'))
        using watch = await watching(other, [{ kind: 'BGPPeer' }, tor])
        const told = watch.recorder.changes.length
        await watch.select([{ kind: 'BGPPeer' }, spine])
        expect(watch.pending()).toEqual([])
        expect(
          watch.recorder.changes
            .slice(told)
            .map(({ type, object }) => `${type} ${object.kind}/${object.metadata.name}`)
            .sort(),
        ).toEqual(['gone Secret/tor', 'put Secret/spine'])
        await watch.select([{ kind: 'BGPPeer' }, tor, spine])
        expect(watch.recorder.names()).toEqual(['BGPPeer/a', 'Secret/fibula-system/spine', 'Secret/fibula-system/tor'])
      })

      test('an object that is not there yet comes when it is made; one no longer selected does not', async () => {
        using watch = await watching(other, [])
        await watch.select([tor])
        await store.create(secret('tor', 'fibula-system', { password: 'x' }))
        await watch.recorder.until((seen) => seen.names().length === 1)
        await watch.select([])
        await store.create(secret('spine', 'fibula-system', { password: 'x' }))
        const now = await store.get('Secret', tor)
        if (now === null) throw new Error('gone')
        await store.update({ ...now, metadata: { ...now.metadata, labels: { a: 'b' } } })
        await watch.select([spine])
        await watch.recorder.until((seen) => seen.names().join() === 'Secret/fibula-system/spine')
        expect(watch.recorder.changes.map(({ type, object }) => `${type} ${object.metadata.name}`)).toEqual([
          'put tor',
          'gone tor',
          'put spine',
        ])
      })

      test('a wider selection that has the object too keeps it', async () => {
        await store.create(secret('tor', 'fibula-system', { password: 'x' }))
        using watch = await watching(other, [tor])
        await watch.select([{ kind: 'Secret', namespace: 'fibula-system' }])
        expect(watch.recorder.changes.map(({ type }) => type)).toEqual(['put'])
        await store.delete('Secret', tor)
        await watch.recorder.until((seen) => seen.names().length === 0)
      })

      test('the set may change before the first listing, and a watch that has ended waits for nothing', async () => {
        await store.create(peer('a'))
        const recorder = new Recorder()
        const watch = store.watch([tor], recorder)
        await watch.select([{ kind: 'BGPPeer' }])
        expect(recorder.changesBeforeSync).toBe(1)
        expect(recorder.names()).toEqual(['BGPPeer/a'])
        watch[Symbol.dispose]()
        await watch.select([tor])
      })
    })

    describe('watch', () => {
      test('everything there is comes before synced, changes after it', async () => {
        await store.create(peer('a'))
        await store.create(block('10.0.0.0/26', 'n1'))
        using watch = await watching(other, [{ kind: 'BGPPeer' }, { kind: 'IPAMBlock' }])
        expect(watch.recorder.changesBeforeSync).toBe(2)
        expect(watch.recorder.names()).toEqual(['BGPPeer/a', 'IPAMBlock/10-0-0-0-26'])
        await store.create(peer('b'))
        await store.delete('BGPPeer', { name: 'a' })
        await watch.recorder.until((seen) => seen.names().join() === 'BGPPeer/b,IPAMBlock/10-0-0-0-26')
      })

      test('an empty store is synced too', async () => {
        using watch = await watching(store, [{ kind: 'BGPPeer' }])
        expect(watch.recorder.changes).toEqual([])
      })

      test('a writer sees its own write as soon as it is made', async () => {
        using watch = await watching(store, [{ kind: 'IPAMBlock' }])
        const made = await store.create(block('10.0.0.0/26', 'n1'))
        expect(watch.recorder.state().get('IPAMBlock/10-0-0-0-26')).toEqual(made)
      })

      test('only what was asked for comes: kind, namespace, name', async () => {
        await store.create(secret('tor', 'fibula-system', { password: 'x' }))
        await store.create(secret('tor', 'default', { password: 'x' }))
        await store.create(secret('else', 'fibula-system', { password: 'x' }))
        await store.create(peer('tor'))
        using watch = await watching(other, [{ kind: 'Secret', namespace: 'fibula-system', name: 'tor' }])
        expect(watch.recorder.names()).toEqual(['Secret/fibula-system/tor'])
      })

      test('an object whose labels no longer fit goes, and comes back when they do', async () => {
        const made = await store.create(block('10.0.0.0/26', 'n1'))
        using watch = await watching(other, [{ kind: 'IPAMBlock', labels: { 'fibula.network/node': 'n1' } }])
        const lent = await store.update({ ...made, metadata: { ...made.metadata, labels: { 'fibula.network/node': 'n2' } } })
        await watch.recorder.until((seen) => seen.names().length === 0)
        expect(watch.recorder.changes.at(-1)?.type).toBe('gone')
        await store.update({ ...lent, metadata: { ...lent.metadata, labels: { 'fibula.network/node': 'n1' } } })
        await watch.recorder.until((seen) => seen.names().length === 1)
      })

      test('nothing comes after the watch has ended', async () => {
        const watch = await watching(store, [{ kind: 'IPAMBlock' }])
        watch[Symbol.dispose]()
        await store.create(block('10.0.0.0/26', 'n1'))
        expect(watch.recorder.changes).toEqual([])
      })

      test('versions of one object never go back, and the last one comes', async () => {
        using watch = await watching(other, [{ kind: 'IPAMBlock' }])
        let now = await store.create(block('10.0.0.0/26', 'n1'))
        for (let turn = 1; turn <= 60; turn++) now = await store.update({ ...now, spec: { ...now.spec, sequence: turn } })
        await watch.recorder.until((seen) => seen.changes.at(-1)?.object.metadata.resourceVersion === versionOf(now))
        const sequences = watch.recorder.changes.map(({ object }) => (object.kind === 'IPAMBlock' ? object.spec.sequence : -1))
        expect(sequences).toEqual([...new Set(sequences)].sort((a, b) => a - b))
        expect(sequences.at(-1)).toBe(60)
      })

      test('watches that begin in the middle of writes miss nothing', async () => {
        const watches: Awaited<ReturnType<typeof watching>>[] = []
        const begun: Promise<void>[] = []
        for (let at = 0; at < 24; at++) {
          if (at % 4 === 0)
            begun.push(watching(at % 8 === 0 ? store : other, [{ kind: 'IPAMBlock' }]).then((watch) => void watches.push(watch)))
          await store.create(block(`10.0.${at}.0/26`, 'n1'))
          if (at % 3 === 0) await store.delete('IPAMBlock', { name: `10-0-${at}-0-26` })
        }
        await Promise.all(begun)
        expect(watches).toHaveLength(6)
        for (const watch of watches) {
          await watch.recorder.until((seen) => seen.names().length === 16)
          watch[Symbol.dispose]()
        }
      })

      test('an object that is deleted and made again between two looks is seen as the new one', async () => {
        using watch = await watching(other, [{ kind: 'IPAMBlock' }])
        const first = await store.create(block('10.0.0.0/26', 'n1'))
        await store.delete('IPAMBlock', first.metadata)
        const second = await store.create(block('10.0.0.0/26', 'n2'))
        await watch.recorder.until((seen) => seen.changes.at(-1)?.object.metadata.uid === second.metadata.uid)
        expect([...watch.recorder.state().values()]).toEqual([second])
      })
    })
  })
}
