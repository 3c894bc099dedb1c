// A folder that is not there, or goes away: before it is looked at, in the middle of it, and while somebody waits to write. What was
// known of it stays; it is never made anew.
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { FolderLock } from '../../src/store/directory/lock.ts'
import { StateFolder } from '../../src/store/directory/state-folder.ts'
import { UserFolder } from '../../src/store/directory/user-folder.ts'
import { DirectoryStore } from '../../src/store/index.ts'
import { block, peerText } from './objects.ts'
import { Recorder, watching } from './recorder.ts'

let path: string
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'fib-store-'))
})
const elsewhere = (): string => `${path}-away`
afterEach(() => {
  for (const each of [path, elsewhere()]) rmSync(each, { recursive: true, force: true })
})

const save = (name: string, text: string): void => writeFileSync(join(path, name), text)

describe('a folder that is not there', () => {
  test('is waited for, if so asked: nothing is listed, a problem says why, and it is not made; then it is read', async () => {
    renameSync(path, elsewhere())
    await using store = new DirectoryStore(path, { waitsForFolder: true })
    const recorder = new Recorder()
    using _watch = store.watch([{ kind: 'BGPPeer' }], recorder)
    await recorder.until((seen) => seen.lastProblems.length > 0)
    const message = expect.stringContaining('there is no folder')
    expect(recorder.lastProblems).toMatchObject([{ severity: 'error', subject: path, message }])
    await expect(store.list({ kind: 'BGPPeer' })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await expect(store.create(block('10.0.0.0/26', 'n1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect([recorder.changesBeforeSync, existsSync(path)]).toEqual([null, false])
    writeFileSync(join(elsewhere(), 'a.yaml'), peerText('a'))
    renameSync(elsewhere(), path)
    await recorder.untilSynced()
    expect(recorder.names()).toEqual(['BGPPeer/a'])
    await recorder.until((seen) => seen.lastProblems.length === 0)
    await store.create(block('10.0.0.0/26', 'n1'))
  })

  test('because it was taken away: everything stays as it was known, and comes back with it', async () => {
    save('a.yaml', peerText('a'))
    await using store = new DirectoryStore(path)
    await store.create(block('10.0.0.0/26', 'n1'))
    using watch = await watching(store, [{ kind: 'BGPPeer' }, { kind: 'IPAMBlock' }])
    const { recorder } = watch
    const known = ['BGPPeer/a', 'IPAMBlock/10-0-0-0-26']
    expect([...recorder.names()].sort()).toEqual(known)
    renameSync(path, elsewhere())
    await recorder.until((seen) => seen.lastProblems.length > 0)
    await expect(store.get('IPAMBlock', { name: '10-0-0-0-26' })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect([...recorder.names()].sort()).toEqual(known)
    expect(existsSync(path)).toBe(false)
    writeFileSync(join(elsewhere(), 'b.yaml'), peerText('b'))
    renameSync(elsewhere(), path)
    await recorder.until((seen) => seen.names().includes('BGPPeer/b') && seen.lastProblems.length === 0)
    expect(recorder.changes.filter(({ type }) => type === 'gone')).toEqual([])
  })

  test('that is emptied has nothing: it is there', async () => {
    save('a.yaml', peerText('a'))
    await using store = new DirectoryStore(path)
    using watch = await watching(store, [{ kind: 'BGPPeer' }])
    unlinkSync(join(path, 'a.yaml'))
    await watch.recorder.until((seen) => seen.names().length === 0)
    expect(watch.recorder.lastProblems).toEqual([])
  })
})

/** A wall clock that takes the folder away, once, when it is asked next: right after a file was read. At 0 every file is young. */
function clockThatMoves(nowMs = 0): { readonly wallMs: () => number; moveAway: boolean; nowMs: number } {
  const clock = {
    nowMs,
    moveAway: false,
    wallMs: (): number => {
      if (clock.moveAway) renameSync(path, elsewhere())
      clock.moveAway = false
      return clock.nowMs
    },
  }
  return clock
}

describe('a folder that goes away while it is looked at', () => {
  test.each([true, false])('keeps what people wrote as it was known (only settled: %p)', async (onlySettled) => {
    for (const name of ['a', 'b']) save(`${name}.yaml`, peerText(name))
    const clock = clockThatMoves()
    const folder = new UserFolder(path, clock.wallMs)
    await folder.scan(false)
    const known = folder.objects
    clock.moveAway = true
    await expect(folder.scan(onlySettled)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(existsSync(path)).toBe(false)
    expect(folder.objects).toBe(known)
    expect([...folder.names]).toEqual(['a.yaml', 'b.yaml'])
    renameSync(elsewhere(), path)
    expect(await folder.scan(onlySettled)).toEqual({ again: false })
    expect(folder.objects).toBe(known)
  })

  test('and comes back: a file that is gone for a moment later is not taken to be gone since then', async () => {
    for (const name of ['a', 'b']) save(`${name}.yaml`, peerText(name))
    const clock = clockThatMoves(Date.now() + 1e9) // the files are old
    const folder = new UserFolder(path, clock.wallMs)
    await folder.scan(false)
    save('a.yaml', peerText('a', 65002, ' # changed'))
    clock.moveAway = true
    await expect(folder.scan(true)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    renameSync(elsewhere(), path)
    expect(await folder.scan(true)).toEqual({ again: false })
    clock.nowMs += 60_000
    unlinkSync(join(path, 'b.yaml'))
    expect(await folder.scan(true)).toEqual({ again: true })
    expect(folder.objects.size).toBe(2)
    clock.nowMs += 120
    expect(await folder.scan(true)).toEqual({ again: false })
    expect(folder.objects.size).toBe(1)
  })

  test('keeps what machines wrote, and what had changed is told once it is back', async () => {
    mkdirSync(join(path, 'state'))
    const write = (cidr: string, node: string): void =>
      save(`state/ipamblock.${cidr.replaceAll(/[./]/g, '-')}.yaml`, JSON.stringify(block(cidr, node)))
    for (const cidr of ['10.0.0.0/26', '10.0.0.64/26']) write(cidr, 'n1')
    const clock = clockThatMoves()
    const folder = new StateFolder(path, clock.wallMs)
    expect(await folder.scan()).toHaveLength(2)
    const known = [...folder.objects]
    write('10.0.0.0/26', 'n2')
    clock.moveAway = true
    await expect(folder.scan()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await expect(folder.read('ipamblock.10-0-0-64-26.yaml')).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect([...folder.objects]).toEqual(known)
    renameSync(elsewhere(), path)
    expect((await folder.scan()).map(({ name }) => name)).toContain('10-0-0-0-26')
    expect([...folder.objects.values()]).toMatchObject([{ spec: { node: 'n2' } }, { spec: { node: 'n1' } }])
  })
})

test('a folder that goes away while somebody waits for its lock is not made anew', async () => {
  const lock = (): FolderLock => new FolderLock(join(path, 'state', '.lock'))
  await lock().hold(async () => {
    const waiting = lock().hold(async () => {})
    renameSync(path, elsewhere())
    await expect(waiting).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })
  expect(existsSync(path)).toBe(false)
})
