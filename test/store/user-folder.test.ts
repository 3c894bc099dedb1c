// When a folder of manifests reads a file: once it has changed, and once it has come to rest.
import { mkdtempSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { UserFolder } from '../../src/store/directory/user-folder.ts'
import type { Resource } from '../../src/store/index.ts'
import { peerText } from './objects.ts'

let path: string
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'fib-store-'))
})
afterEach(() => rmSync(path, { recursive: true, force: true }))

const save = (name: string, text: string): void => writeFileSync(join(path, name), text)
const touchedMs = (name: string): number => statSync(join(path, name)).ctimeMs

function asNumbersOf(folder: UserFolder): readonly (number | undefined)[] {
  return [...folder.objects.values()].map(({ object }) => asNumberOf(object))
}

function asNumberOf(object: Resource): number | undefined {
  return object.kind === 'BGPPeer' ? object.spec.asNumber : undefined
}

test('a file in the middle of being written is left until it has come to rest', async () => {
  let nowMs = Date.now()
  const folder = new UserFolder(path, () => nowMs)
  save('a.yaml', `${peerText('a')}---\n${peerText('b')}`)
  await folder.scan(false)
  save('a.yaml', peerText('a', 65)) // the rest is still to come
  nowMs = touchedMs('a.yaml') + 40
  expect(await folder.scan(true)).toEqual({ again: true })
  expect([...folder.objects.keys()]).toEqual(['BGPPeer/a', 'BGPPeer/b'])
  save('a.yaml', `${peerText('a', 65002)}---\n${peerText('b')}`)
  nowMs = touchedMs('a.yaml') + 120
  expect(await folder.scan(true)).toEqual({ again: false })
  expect(asNumbersOf(folder)).toEqual([65002, 65001])
})

test('a file that never comes to rest is read in the end all the same', async () => {
  save('a.yaml', peerText('a'))
  let nowMs = touchedMs('a.yaml') - 90
  const folder = new UserFolder(path, () => nowMs, 50)
  expect(await folder.scan(true)).toEqual({ again: true })
  nowMs += 40
  expect(await folder.scan(true)).toEqual({ again: true })
  expect(folder.objects.size).toBe(0)
  nowMs += 40
  expect(await folder.scan(true)).toEqual({ again: false })
  expect(folder.objects.size).toBe(1)
})

test('a file that is gone for a moment is not gone', async () => {
  save('a.yaml', peerText('a'))
  let nowMs = Date.now() - 60_000
  const folder = new UserFolder(path, () => nowMs)
  await folder.scan(false)
  unlinkSync(join(path, 'a.yaml'))
  expect(await folder.scan(true)).toEqual({ again: true })
  expect(folder.objects.size).toBe(1)
  nowMs += 120
  expect(await folder.scan(true)).toEqual({ again: false })
  expect(folder.objects.size).toBe(0)
  save('a.yaml', peerText('a')) // a new one has to come to rest as any other
  nowMs = touchedMs('a.yaml') + 10
  expect(await folder.scan(true)).toEqual({ again: true })
  expect(folder.objects.size).toBe(0)
})

test('a file that is read while it is old is read again only when it has changed; a young one is, because a change may leave no trace', async () => {
  save('a.yaml', peerText('a'))
  let nowMs = touchedMs('a.yaml') + 900
  let asked = 0
  const folder = new UserFolder(path, () => {
    asked++ // the clock is asked for the age of what was read
    return nowMs
  })
  const reads = async (): Promise<number> => {
    asked = 0
    await folder.scan(false)
    return asked
  }
  expect(await reads()).toBe(1)
  expect(await reads()).toBe(1)
  nowMs += 200
  expect(await reads()).toBe(1)
  expect(await reads()).toBe(0)
  save('a.yaml', peerText('a', 65002, ' # changed'))
  nowMs = touchedMs('a.yaml') + 60_000
  expect(await reads()).toBe(1)
  expect(await reads()).toBe(0)
  expect(asNumbersOf(folder)).toEqual([65002])
})

test('each change has to come to rest, however long ago the last one took', async () => {
  save('a.yaml', peerText('a'))
  let nowMs = touchedMs('a.yaml') - 90
  const folder = new UserFolder(path, () => nowMs, 100)
  expect(await folder.scan(true)).toEqual({ again: true })
  nowMs += 210
  expect(await folder.scan(true)).toEqual({ again: false })
  save('a.yaml', peerText('a', 65002, ' # changed'))
  nowMs = touchedMs('a.yaml') + 90
  expect(await folder.scan(true)).toEqual({ again: true })
  expect(asNumbersOf(folder)).toEqual([65001])
  nowMs += 20
  expect(await folder.scan(true)).toEqual({ again: false })
  expect(asNumbersOf(folder)).toEqual([65002])
})

test('a file that goes just before it is read is gone, and no problem', async () => {
  save('a.yaml', peerText('a'))
  const nowMs = touchedMs('a.yaml') + 60_000
  const folder = new UserFolder(path, () => {
    rmSync(join(path, 'a.yaml'), { force: true }) // asked whether the file has come to rest
    return nowMs
  })
  expect(await folder.scan(true)).toEqual({ again: false })
  expect([...folder.names]).toEqual([])
  expect(folder.problems).toEqual([])
})

test('a file that cannot be read is a problem until it can be, and no reason to look again at once', async () => {
  save('a.yaml', peerText('a'))
  const nowMs = touchedMs('a.yaml') + 60_000
  const folder = new UserFolder(path, () => nowMs)
  await folder.scan(true)
  writeFileSync(join(path, 'a.yaml'), Buffer.from([0xff]))
  for (let look = 0; look < 2; look++) {
    expect(await folder.scan(true)).toEqual({ again: false })
    expect(folder.problems).toMatchObject([{ file: 'a.yaml', message: expect.stringContaining('cannot be read') }])
    expect([asNumbersOf(folder), folder.textOf('a.yaml')]).toEqual([[65001], null])
  }
  save('a.yaml', peerText('a', 65002))
  await folder.scan(true)
  expect([folder.problems, asNumbersOf(folder), folder.textOf('a.yaml')]).toEqual([[], [65002], peerText('a', 65002)])
})
