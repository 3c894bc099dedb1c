// What a folder keeps beside people's manifests: versions that never come again, statuses and who applied which condition.
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, unlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type Condition, DirectoryStore } from '../../src/store/index.ts'
import { block, peer } from './objects.ts'

let path: string
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'fib-store-'))
})
afterEach(() => rmSync(path, { recursive: true, force: true }))

const versionOf = ({ metadata }: { readonly metadata: { readonly resourceVersion?: string | undefined } }): number =>
  Number(metadata.resourceVersion?.split('.').at(-1))
const NO_SESSIONS = { sessions: [], conditions: [] }
const READY: Condition = { type: 'Ready', status: 'True', reason: 'Fine', message: 'fine' }

describe('versions', () => {
  test('never come again, even where the file with the last one was lost', async () => {
    await using store = new DirectoryStore(path)
    let known = await store.create(block('10.0.0.0/26', 'n1'))
    for (let sequence = 1; sequence < 4; sequence++) known = await store.update({ ...known, spec: { ...known.spec, sequence } })
    unlinkSync(join(path, 'state', '.lock'))
    const next = await store.update({ ...known, spec: { ...known.spec, sequence: 9 } })
    expect(versionOf(next)).toBeGreaterThan(versionOf(known))
    let status = await store.create(peer('a'))
    for (let configured = 1; configured < 4; configured++)
      status = await store.updateStatus({ ...status, status: { ...NO_SESSIONS, configured } })
    unlinkSync(join(path, 'state', '.lock'))
    const later = await store.updateStatus({ ...status, status: { ...NO_SESSIONS, configured: 9 } })
    expect(versionOf(later)).toBeGreaterThan(versionOf(status))
    unlinkSync(join(path, 'state', '.lock'))
    const applied = await store.applyConditions('BGPPeer', { name: 'a' }, [READY], 'm')
    expect(versionOf(applied)).toBeGreaterThan(versionOf(later))
  })

  test('a write that changes nothing writes nothing', async () => {
    await using store = new DirectoryStore(path)
    const inodes = (): readonly string[] =>
      [...readdirSync(path), ...readdirSync(join(path, 'state')).map((name) => join('state', name))]
        .filter((name) => name.endsWith('.yaml'))
        .map((name) => `${name} ${statSync(join(path, name)).ino}`)
    const made = await store.create(peer('a'))
    const known = await store.updateStatus({ ...made, status: NO_SESSIONS })
    const kept = await store.create(block('10.0.0.0/26', 'n1'))
    const before = inodes()
    expect(before).toHaveLength(3)
    expect(await store.update(known)).toEqual(known)
    expect(await store.updateStatus(known)).toEqual(known)
    expect(await store.update(kept)).toEqual(kept)
    expect(await store.updateStatus(kept)).toEqual(kept)
    expect(inodes()).toEqual(before)
  })
})

describe('conditions', () => {
  test('what a manager applied stays its own when somebody else writes the status', async () => {
    await using store = new DirectoryStore(path)
    await store.create(peer('a'))
    const applied = await store.applyConditions('BGPPeer', { name: 'a' }, [READY], 'm')
    await store.updateStatus({ ...applied, status: { ...NO_SESSIONS, ...applied.status, configured: 3 } })
    const taken = await store.applyConditions('BGPPeer', { name: 'a' }, [], 'm')
    expect(taken.status).toMatchObject({ configured: 3 })
    expect(taken.status?.conditions).toEqual([])
  })

  test('one that is not valid is refused, and nothing is written', async () => {
    await using store = new DirectoryStore(path)
    await store.create(peer('a'))
    const bad = { ...READY, status: 'Perhaps' as 'True' } // as from a caller that was not type-checked
    await expect(store.applyConditions('BGPPeer', { name: 'a' }, [bad], 'm')).rejects.toMatchObject({ code: 'INVALID' })
    expect(existsSync(join(path, 'state', 'bgppeer.a.status.yaml'))).toBe(false)
  })

  test('a status is not mixed into the manifest of its object', async () => {
    await using store = new DirectoryStore(path)
    const made = await store.create(peer('a'))
    await store.updateStatus({ ...made, status: NO_SESSIONS })
    expect(JSON.parse(readFileSync(join(path, 'state', 'bgppeer.a.status.yaml'), 'utf8'))).not.toHaveProperty('spec')
  })
})

test('a signal that has been aborted: nothing is read and nothing written', async () => {
  await using store = new DirectoryStore(path)
  const made = await store.create(block('10.0.0.0/26', 'n1'))
  const signal = AbortSignal.abort(new Error('no more'))
  const key = { name: made.metadata.name }
  for (const work of [
    () => store.get('IPAMBlock', key, signal),
    () => store.list({ kind: 'IPAMBlock' }, signal),
    () => store.create(peer('a'), {}, signal),
    () => store.update({ ...made, spec: { ...made.spec, sequence: 1 } }, {}, signal),
    () => store.delete('IPAMBlock', key, signal),
    () => store.problems(signal),
  ])
    await expect(work()).rejects.toThrow('no more')
  expect(await store.get('IPAMBlock', key)).toEqual(made)
})

test('a folder that is not there has no objects of any kind: it cannot be asked', async () => {
  const away = `${path}-away`
  renameSync(path, away)
  try {
    await using store = new DirectoryStore(path, { waitsForFolder: true })
    for (const work of [
      () => store.get('IPAMBlock', { name: 'x' }),
      () => store.list({ kind: 'IPAMBlock' }),
      () => store.get('BGPPeer', { name: 'x' }),
      () => store.problems(),
      () => store.delete('IPAMBlock', { name: 'x' }),
    ])
      await expect(work()).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('there is no folder') })
  } finally {
    renameSync(away, path)
  }
})
