// What every adapter of the store promises of watches.
import { describe, expect, test } from '@jest/globals'
import { type Clients, versionOf } from './contract-support.ts'
import { block, peer, secret } from './objects.ts'
import { Recorder, watching } from './recorder.ts'

export function watchContract(clients: () => Clients): void {
  describe('a watch whose selections change', () => {
    const tor = { kind: 'Secret', namespace: 'fibula-system', name: 'tor' } as const
    const spine = { ...tor, name: 'spine' }

    test('what is new comes, what nobody selects any more goes, what stays is not told again', async () => {
      const { store, other } = clients()
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
      const { store, other } = clients()
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
      const { store, other } = clients()
      await store.create(secret('tor', 'fibula-system', { password: 'x' }))
      using watch = await watching(other, [tor])
      await watch.select([{ kind: 'Secret', namespace: 'fibula-system' }])
      expect(watch.recorder.changes.map(({ type }) => type)).toEqual(['put'])
      await store.delete('Secret', tor)
      await watch.recorder.until((seen) => seen.names().length === 0)
    })

    test('the set may change before the first listing, and a watch that has ended waits for nothing', async () => {
      const { store } = clients()
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
      const { store, other } = clients()
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
      const { store } = clients()
      using watch = await watching(store, [{ kind: 'BGPPeer' }])
      expect(watch.recorder.changes).toEqual([])
    })

    test('a writer sees its own write as soon as it is made', async () => {
      const { store } = clients()
      using watch = await watching(store, [{ kind: 'IPAMBlock' }])
      const made = await store.create(block('10.0.0.0/26', 'n1'))
      expect(watch.recorder.state().get('IPAMBlock/10-0-0-0-26')).toEqual(made)
    })

    test('only what was asked for comes: kind, namespace, name', async () => {
      const { store, other } = clients()
      await store.create(secret('tor', 'fibula-system', { password: 'x' }))
      await store.create(secret('tor', 'default', { password: 'x' }))
      await store.create(secret('else', 'fibula-system', { password: 'x' }))
      await store.create(peer('tor'))
      using watch = await watching(other, [{ kind: 'Secret', namespace: 'fibula-system', name: 'tor' }])
      expect(watch.recorder.names()).toEqual(['Secret/fibula-system/tor'])
    })

    test('an object whose labels no longer fit goes, and comes back when they do', async () => {
      const { store, other } = clients()
      const made = await store.create(block('10.0.0.0/26', 'n1'))
      using watch = await watching(other, [{ kind: 'IPAMBlock', labels: { 'fibula.network/node': 'n1' } }])
      const lent = await store.update({ ...made, metadata: { ...made.metadata, labels: { 'fibula.network/node': 'n2' } } })
      await watch.recorder.until((seen) => seen.names().length === 0)
      expect(watch.recorder.changes.at(-1)?.type).toBe('gone')
      await store.update({ ...lent, metadata: { ...lent.metadata, labels: { 'fibula.network/node': 'n1' } } })
      await watch.recorder.until((seen) => seen.names().length === 1)
    })

    test('nothing comes after the watch has ended', async () => {
      const { store } = clients()
      const watch = await watching(store, [{ kind: 'IPAMBlock' }])
      watch[Symbol.dispose]()
      await store.create(block('10.0.0.0/26', 'n1'))
      expect(watch.recorder.changes).toEqual([])
    })

    test('versions of one object never go back, and the last one comes', async () => {
      const { store, other } = clients()
      using watch = await watching(other, [{ kind: 'IPAMBlock' }])
      let now = await store.create(block('10.0.0.0/26', 'n1'))
      for (let turn = 1; turn <= 60; turn++) now = await store.update({ ...now, spec: { ...now.spec, sequence: turn } })
      await watch.recorder.until((seen) => seen.changes.at(-1)?.object.metadata.resourceVersion === versionOf(now))
      const sequences = watch.recorder.changes.map(({ object }) => (object.kind === 'IPAMBlock' ? object.spec.sequence : -1))
      expect(sequences).toEqual([...new Set(sequences)].sort((a, b) => a - b))
      expect(sequences.at(-1)).toBe(60)
    })

    test('watches that begin in the middle of writes miss nothing', async () => {
      const { store, other } = clients()
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
      const { store, other } = clients()
      using watch = await watching(other, [{ kind: 'IPAMBlock' }])
      const first = await store.create(block('10.0.0.0/26', 'n1'))
      await store.delete('IPAMBlock', first.metadata)
      const second = await store.create(block('10.0.0.0/26', 'n2'))
      await watch.recorder.until((seen) => seen.changes.at(-1)?.object.metadata.uid === second.metadata.uid)
      expect([...watch.recorder.state().values()]).toEqual([second])
    })
  })
}
