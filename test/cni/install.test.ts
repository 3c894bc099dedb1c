// The plugin's program in the runtime's folder: whole at every moment, never written over while somebody runs it, and left alone when
// it is right.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { installPlugin, removeConflist, removePlugin } from '../../src/cni/index.ts'

let folder: string
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fibula-install-'))
})
afterEach(() => fs.rmSync(folder, { recursive: true }))

const at = (...names: readonly string[]): string => path.join(folder, ...names)
const program = (text: string): string => {
  fs.writeFileSync(at('source'), text)
  return at('source')
}

test('makes the folder, and a program that everybody may execute whatever the umask', async () => {
  const former = process.umask(0o077)
  try {
    expect(await installPlugin(program('one'), at('opt', 'bin'))).toBe(true)
  } finally {
    process.umask(former)
  }
  expect(fs.readFileSync(at('opt', 'bin', 'fibula'), 'utf8')).toBe('one')
  expect(fs.statSync(at('opt', 'bin', 'fibula')).mode & 0o7777).toBe(0o755)
})

test('the second time there is nothing to do, unless content or mode differ', async () => {
  const source = program('one')
  await installPlugin(source, at('bin'))
  const { ino } = fs.statSync(at('bin', 'fibula'))
  expect(await installPlugin(source, at('bin'))).toBe(false)
  expect(fs.statSync(at('bin', 'fibula')).ino).toBe(ino)
  fs.chmodSync(at('bin', 'fibula'), 0o644)
  expect(await installPlugin(source, at('bin'))).toBe(true)
  expect(fs.statSync(at('bin', 'fibula')).mode & 0o7777).toBe(0o755)
  expect(await installPlugin(program('two'), at('bin'))).toBe(true)
  expect(fs.readFileSync(at('bin', 'fibula'), 'utf8')).toBe('two')
})

test('a program that is running goes on as it was, and is not in the way (ETXTBSY)', async () => {
  const sleep = fs.realpathSync('/bin/sleep')
  await installPlugin(sleep, at('bin'))
  const running = spawn(at('bin', 'fibula'), ['60'])
  try {
    await once(running, 'spawn')
    const before = fs.readlinkSync(`/proc/${running.pid}/exe`)
    expect(before).toBe(at('bin', 'fibula'))
    expect(() => fs.openSync(at('bin', 'fibula'), 'r+')).toThrow(/ETXTBSY/)
    expect(await installPlugin(program('two'), at('bin'))).toBe(true)
    expect(fs.readFileSync(at('bin', 'fibula'), 'utf8')).toBe('two')
    expect(running.exitCode).toBeNull()
  } finally {
    running.kill('SIGKILL')
    await once(running, 'exit')
  }
})

test('what killed installations left is removed, and other plugins are not', async () => {
  fs.mkdirSync(at('bin'))
  for (const name of ['bridge', '.fibula.0b1c-22.new', '.fibula.rc']) fs.writeFileSync(at('bin', name), '')
  await installPlugin(program('one'), at('bin'))
  expect(fs.readdirSync(at('bin')).sort()).toEqual(['.fibula.rc', 'bridge', 'fibula'])
})

test('a symbolic link of that name is replaced, not followed', async () => {
  fs.mkdirSync(at('bin'))
  fs.writeFileSync(at('theirs'), 'one')
  fs.chmodSync(at('theirs'), 0o755)
  fs.symlinkSync(at('theirs'), at('bin', 'fibula'))
  expect(await installPlugin(program('one'), at('bin'))).toBe(true)
  expect(fs.lstatSync(at('bin', 'fibula')).isSymbolicLink()).toBe(false)
})

test('a program that cannot take its place leaves nothing behind', async () => {
  fs.mkdirSync(at('bin', 'fibula', 'in-the-way'), { recursive: true })
  await expect(installPlugin(program('one'), at('bin'))).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST/)
  expect(fs.readdirSync(at('bin'))).toEqual(['fibula'])
})

test('removing takes our files alone, and nothing the second time', async () => {
  await installPlugin(program('one'), at('bin'))
  fs.writeFileSync(at('bin', 'portmap'), '')
  fs.mkdirSync(at('net.d'))
  for (const name of ['10-fibula.conflist', '.10-fibula.conflist.12.new', '10-other.conflist']) fs.writeFileSync(at('net.d', name), '{}')
  expect([await removePlugin(at('bin')), await removeConflist(at('net.d'))]).toEqual([true, true])
  expect([fs.readdirSync(at('bin')), fs.readdirSync(at('net.d'))]).toEqual([['portmap'], ['10-other.conflist']])
  expect([await removePlugin(at('bin')), await removeConflist(at('net.d')), await removePlugin(at('nowhere'))]).toEqual([
    false,
    false,
    false,
  ])
})
