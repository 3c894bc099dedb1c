// The file of the reserve: what comes back after a kill, a power cut, damage, or on another node.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { openReserveFile } from '../../src/cni/index.ts'
import type { RememberedBlock } from '../../src/ipam/index.ts'
import { silentLog } from '../../src/lib/log.ts'
import { cidr, ip } from '../../src/net/index.ts'

let folder = ''
let path = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fib-reserve-'))
  path = join(folder, 'attachments', 'reserve')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const claims = (count: number): RememberedBlock => ({
  range: cidr('10.244.0.0/26'),
  node: 'n1',
  reserves: Array.from({ length: count }, (_, at) => ({ address: ip(`10.244.0.${at}`), sequence: 4_000_000_000 + at })),
})
const borrowed: RememberedBlock = { range: cidr('fd00:10::40/122'), node: null, reserves: [{ address: ip('fd00:10::41'), sequence: 7 }] }
const open = (node = 'n1'): ReturnType<typeof openReserveFile> => openReserveFile(path, node, silentLog)

test('what was written comes back, a shorter text too; for root alone', async () => {
  expect(open().read()).toEqual([])
  open().write([claims(60), borrowed])
  expect(open().read()).toEqual([claims(60), borrowed])
  open().write([borrowed])
  await open().sync()
  expect(open().read()).toEqual([borrowed])
  open().write([])
  expect(open().read()).toEqual([])
  expect(statSync(path).mode & 0o777).toBe(0o600)
})

test('a part of one text over another, as a kill or a power cut leaves it, is as good as nothing', () => {
  open().write([claims(3)])
  const before = readFileSync(path)
  open().write([claims(5)])
  const after = readFileSync(path)
  for (const at of [1, 30, 64, 65, 66, 100, before.length - 1, before.length]) {
    writeFileSync(path, Buffer.concat([after.subarray(0, at), before.subarray(at)]))
    expect([at, open().read()]).toEqual([at, []])
    writeFileSync(path, Buffer.concat([before.subarray(0, at), after.subarray(at)]))
    expect([at, open().read()]).toEqual([at, []])
  }
  writeFileSync(path, '')
  expect(open().read()).toEqual([])
})

test('of another node: nothing', () => {
  open().write([claims(2)])
  expect(open('n2').read()).toEqual([])
  expect(open().read()).toEqual([claims(2)])
})
