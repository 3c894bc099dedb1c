// `fibula ipam show | check | release` as a person runs them, on a folder with no agent at hand.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { DirectoryStore } from '../../src/store/index.ts'
import { block, node, pool } from '../store/objects.ts'
import { CliProgram, type Outcome } from '../support/cli-program.ts'

let program: CliProgram
beforeAll(async () => {
  program = await CliProgram.build()
})
afterAll(() => program[Symbol.dispose]())

let path: string
beforeEach(async () => {
  path = mkdtempSync(join(tmpdir(), 'fib-cli-ipam-'))
  await using store = new DirectoryStore(path)
  await store.create(pool('pods', '10.244.0.0/16'))
  await store.create(node('node-1'))
  await store.create(pod('alive'))
  await store.create(
    block('10.244.7.0/26', 'node-1', {
      sequence: 9,
      allocations: [
        { address: '10.244.7.1', handle: 'k8s.1.eth0', sequence: 4, pod: 'alive', namespace: 'default', node: 'node-1' },
        { address: '10.244.7.2', handle: 'k8s.2.eth0', sequence: 5, pod: 'gone', namespace: 'default', node: 'node-1' },
      ],
      reserves: [{ address: '10.244.7.3', node: 'node-1', sequence: 6 }],
    }),
  )
})
afterEach(() => rmSync(path, { recursive: true, force: true }))

function pod(name: string) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: { nodeName: 'node-1' },
    status: { phase: 'Running', podIPs: [{ ip: '10.244.7.1' }] },
  } as const
}

function ipam(...args: readonly string[]): Promise<Outcome> {
  return program.run(['ipam', ...args, '--store', `dir:${path}`], { env: { FIBULA_RUN_DIR: path } })
}

test('show: pools and blocks, and who has an address', async () => {
  const all = await ipam('show', '-o', 'json')
  expect(all.status).toBe(0)
  expect(JSON.parse(all.stdout)).toEqual({
    pools: [{ name: 'pods', cidr: '10.244.0.0/16', blockSize: 26, disabled: false, blocks: 1, capacity: 65536, allocated: 2, reserved: 1 }],
    blocks: [{ cidr: '10.244.7.0/26', node: 'node-1', state: 'Confirmed', size: 64, allocated: 2, reserved: 1, resting: 0 }],
    allocations: [],
  })
  expect((await ipam('show', 'node-1')).stdout).toMatch(/10\.244\.7\.2 +default\/gone +node-1/)
  expect(JSON.parse((await ipam('show', '10.244.7.2', '-o', 'json')).stdout)).toMatchObject({
    state: 'allocated',
    pod: 'default/gone',
    pool: 'pods',
    block: '10.244.7.0/26',
  })
  expect((await ipam('show', '10.244.7.3')).stdout).toContain('claimed ahead by node node-1')
  expect((await ipam('show', '10.244.9.9')).stdout).toMatch(/State +free/)
  expect(await ipam('show', 'nobody')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('there is no pool, block or node "nobody"'),
  })
})

test('check finds the address without a living owner, release frees it, and spares the others', async () => {
  const found = await ipam('check', '--seconds', '1', '-o', 'json')
  expect(found.status).toBe(1)
  expect(JSON.parse(found.stdout)).toMatchObject([{ kind: 'noOwner', address: '10.244.7.2', handle: 'k8s.2.eth0' }])

  const refused = await ipam('release', '10.244.7.1')
  expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('belongs to pod default/alive on node node-1') })
  expect(await ipam('release', '10.244.7.9')).toMatchObject({ status: 1, stderr: expect.stringContaining('nobody has 10.244.7.9') })
  expect(await ipam('release', '10.244.7.2')).toMatchObject({ status: 0, stdout: expect.stringContaining('10.244.7.2 is free again') })

  await using store = new DirectoryStore(path)
  const [left] = await store.list({ kind: 'IPAMBlock' })
  expect(left?.spec.allocations.map(({ address }) => address)).toEqual(['10.244.7.1'])
  expect(left?.spec.reserves.map(({ address }) => address)).toEqual(['10.244.7.3'])
  expect(left?.spec.released.map(({ address }) => address)).toEqual(['10.244.7.2'])
  expect(await ipam('check', '--seconds', '1')).toMatchObject({ status: 0, stdout: 'every address has a living owner\n' })
})

test('a folder without Pod objects does not mean that every pod is gone', async () => {
  await using store = new DirectoryStore(path)
  await store.delete('Pod', { name: 'alive', namespace: 'default' })
  expect(await ipam('check', '--seconds', '1')).toMatchObject({ status: 0 })
})

test('release --gone-node frees all that a deleted node had, and refuses while the node is there', async () => {
  expect(await ipam('release', '--gone-node', 'node-1')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('there is a Node node-1'),
  })
  await using store = new DirectoryStore(path)
  await store.create(node('node-2'))
  await store.create(block('10.244.8.0/26', 'node-2'))
  await store.delete('Node', { name: 'node-1' })
  expect(await ipam('release', '--gone-node', 'node-1')).toMatchObject({
    status: 0,
    stdout: 'freed what node node-1 had in 10.244.7.0/26\n',
  })
  expect((await store.list({ kind: 'IPAMBlock' })).map(({ spec }) => spec.cidr)).toEqual(['10.244.8.0/26'])
  expect(await ipam('release')).toMatchObject({ status: 2 })
})
