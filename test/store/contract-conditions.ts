// What every adapter of the store promises of conditions that several programs write.
import { describe, expect, test } from '@jest/globals'
import type { Condition } from '../../src/store/index.ts'
import { type Clients, codeOf, versionOf } from './contract-support.ts'
import { node, peer } from './objects.ts'
import { watching } from './recorder.ts'

export function conditionsContract(clients: () => Clients): void {
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
      const { store, other } = clients()
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
      const { store, other } = clients()
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
      const { store, other } = clients()
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
      const { store, other } = clients()
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
      const { store, other } = clients()
      await store.create(node('n1'))
      using watch = await watching(other, [{ kind: 'Node' }])
      await store.applyConditions('Node', { name: 'n1' }, [network], 'fibula')
      await watch.recorder.until((seen) => seen.changes.some(({ object }) => object.kind === 'Node' && typesOf(object) !== ''))
      expect(await codeOf(store.applyConditions('Node', { name: 'n2' }, [network], 'fibula'))).toBe('NOT_FOUND')
    })

    test('a whole status written by somebody else keeps what it says of ours', async () => {
      const { store, other } = clients()
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
}
