import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { findChained, renderConflist, writeConflist } from '../../src/cni/index.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fibula-conflist-'))
})
afterEach(() => rm(directory, { recursive: true }))

test('ours first, then portmap and bandwidth with what they can do [cni 57, 58]', () => {
  expect(JSON.parse(renderConflist({ socketPath: '/run/fibula/cni.sock' }))).toEqual({
    cniVersion: '1.1.0',
    cniVersions: ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'],
    name: 'fibula',
    plugins: [
      { type: 'fibula', capabilities: { ips: true, mac: true }, socket: '/run/fibula/cni.sock' },
      { type: 'portmap', capabilities: { portMappings: true } },
      { type: 'bandwidth', capabilities: { bandwidth: true } },
    ],
  })
})

test('no version is offered that a plugin of the list does not speak [cni 57]', () => {
  const list = JSON.parse(renderConflist({ socketPath: '/s', cniVersion: '1.0.0', chained: ['portmap'] }))
  expect(list).toMatchObject({ cniVersion: '1.0.0', cniVersions: ['0.3.0', '0.3.1', '0.4.0', '1.0.0'] })
  expect(list.plugins.map(({ type }: { type: string }) => type)).toEqual(['fibula', 'portmap'])
})

test('is written whole, only when it says something new, into a directory that is made [cni 59]', async () => {
  const folder = join(directory, 'net.d')
  expect(await writeConflist(folder, 'a\n')).toBe(true)
  const before = await stat(join(folder, '10-fibula.conflist'))
  expect(await writeConflist(folder, 'a\n')).toBe(false)
  expect((await stat(join(folder, '10-fibula.conflist'))).ino).toBe(before.ino)
  expect(await writeConflist(folder, 'b\n')).toBe(true)
  expect(await readFile(join(folder, '10-fibula.conflist'), 'utf8')).toBe('b\n')
  expect(await readdir(folder)).toEqual(['10-fibula.conflist'])
})

test('a failure to write leaves nothing behind', async () => {
  await writeFile(join(directory, 'file'), '')
  await expect(writeConflist(join(directory, 'file'), 'a')).rejects.toThrow()
})

async function plugin(name: string, body: string): Promise<void> {
  await writeFile(join(directory, name), `#!/bin/sh\n${body}\n`)
  await chmod(join(directory, name), 0o755)
}

test('plugins that the host has are asked what they speak', async () => {
  await plugin('portmap', `echo '{"cniVersion":"1.0.0","supportedVersions":["0.1.0","0.4.0","1.0.0"]}'`)
  expect(await findChained(['/nonexistent', directory])).toEqual({ cniVersion: '1.0.0', chained: ['portmap'] })
  await plugin('bandwidth', `echo '{"cniVersion":"1.1.0","supportedVersions":["1.0.0","1.1.0"]}'`)
  expect(await findChained([directory])).toEqual({ cniVersion: '1.0.0', chained: ['portmap', 'bandwidth'] })
})

test('one that is missing, or answers nonsense, is left out', async () => {
  expect(await findChained([directory])).toEqual({ cniVersion: '1.1.0', chained: [] })
  await plugin('portmap', 'exit 1')
  await plugin('bandwidth', 'echo nonsense')
  expect(await findChained([directory])).toEqual({ cniVersion: '1.1.0', chained: [] })
})
