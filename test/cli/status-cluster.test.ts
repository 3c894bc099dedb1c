// `fibula status --store ...`: the whole cluster on one screen, from what its agents report.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { DirectoryStore, GROUP_VERSION, type ManifestOf } from '../../src/store/index.ts'
import { block, configuration, node, pool } from '../store/objects.ts'
import { CliProgram, type Outcome } from '../support/cli-program.ts'

let program: CliProgram
beforeAll(async () => {
  program = await CliProgram.build()
})
afterAll(() => program[Symbol.dispose]())

let path: string
beforeEach(async () => {
  path = mkdtempSync(join(tmpdir(), 'fib-cli-status-'))
  await using store = new DirectoryStore(path)
  await store.create(configuration('default', { asNumber: 64512 }))
  await store.create(pool('pods', '10.244.0.0/16'))
  await store.create(block('10.244.7.0/26', 'node-1'))
  for (const name of ['node-1', 'node-2']) await store.create(node(name, ['10.0.0.1']))
})
afterEach(() => rmSync(path, { recursive: true, force: true }))

type Status = NonNullable<ManifestOf<'NodeNetwork'>['status']>

async function report(name: string, routerID: string, over: Partial<Status>): Promise<void> {
  await using store = new DirectoryStore(path)
  const made = await store.create({ apiVersion: GROUP_VERSION, kind: 'NodeNetwork', metadata: { name } })
  const ready = { type: 'Ready', status: 'True', reason: 'Ready', message: '', lastTransitionTime: '2030-01-01T00:00:00Z' } as const
  const status: Status = {
    version: '0.1.0',
    asNumber: 64512,
    routerID,
    addresses: [{ address: `${routerID}/24`, family: 'IPv4' }],
    sessions: { configured: 1, established: 1 },
    pods: { attached: 3 },
    conditions: [ready],
    ...over,
  }
  await store.updateStatus({ ...made, status })
}

function status(...args: readonly string[]): Promise<Outcome> {
  return program.run(['status', '--store', `dir:${path}`, ...args])
}

test('all is well: exit status 0', async () => {
  await report('node-1', '10.0.0.11', {})
  await report('node-2', '10.0.0.12', {})
  const { status: exit, stdout } = await status()
  expect({ exit, stdout }).toEqual({
    exit: 0,
    stdout: [
      'Health    healthy',
      'Nodes     2 of 2 ready',
      'Sessions  2 of 2 established',
      'Pods      6',
      '',
      'NODE    AGENT            AS  ADDRESSES     SESSIONS  PODS',
      'node-1  0.1.0, ready  64512  10.0.0.11/24       1/1     3',
      'node-2  0.1.0, ready  64512  10.0.0.12/24       1/1     3',
      '',
      'POOL  CIDR           BLOCK SIZE  BLOCKS  IN USE  CLAIMED AHEAD  ADDRESSES   USED',
      'pods  10.244.0.0/16         /26       1       0              0      65536  0.0 %',
      '',
    ].join('\n'),
  })
})

test('two nodes with one router ID: an error that says what to do, exit status 1', async () => {
  await report('node-1', '10.0.0.11', {})
  await report('node-2', '10.0.0.11', { sessions: { configured: 1, established: 0 } })
  const { status: exit, stdout } = await status('-o', 'json')
  expect(exit).toBe(1)
  const { healthy, nodes, findings } = JSON.parse(stdout)
  expect(healthy).toBe(false)
  expect(nodes[1]).toEqual({
    node: 'node-2',
    version: '0.1.0',
    ready: true,
    notReadyBecause: null,
    asn: 64512,
    addresses: ['10.0.0.11/24'],
    sessions: { configured: 1, established: 0 },
    pods: 3,
  })
  expect(findings).toContainEqual(expect.objectContaining({ severity: 'error', reason: 'DuplicateRouterID' }))
})

test('a node without an agent is shown as one', async () => {
  await report('node-1', '10.0.0.11', {})
  const { stdout } = await status()
  expect(stdout).toMatch(/^node-2 +does not report/m)
  expect(stdout).toMatch(/^warning +Node\/node-2 +this node has no agent that reports/m)
})
