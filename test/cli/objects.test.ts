// `fibula get | apply | delete` as a person runs them, on a folder.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { parse } from 'yaml'
import { formatObjects } from '../../src/cli/get.ts'
import { namesOf } from '../../src/cli/store-option.ts'
import { parseResource, type Resource } from '../../src/store/index.ts'
import { CliProgram, type Outcome } from '../support/cli-program.ts'

let program: CliProgram
beforeAll(async () => {
  program = await CliProgram.build()
})
afterAll(() => program[Symbol.dispose]())

let path: string
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'fib-cli-'))
})
afterEach(() => rmSync(path, { recursive: true, force: true }))

function fibula(args: readonly string[], input = ''): Promise<Outcome> {
  return program.run([...args, '--store', `dir:${path}`], { input })
}

const PEER = `# the left ToR
apiVersion: fibula.network/v1alpha1
kind: BGPPeer
metadata: { name: tor-a }
spec: { peerIP: 10.0.0.1, asNumber: 65001 } # AS of rack a
`
const POOL = 'apiVersion: fibula.network/v1alpha1\nkind: IPPool\nmetadata: { name: pods }\nspec: { cidr: 10.244.0.0/16 }\n'

test('from nothing to nothing: apply, apply again, get, change, delete', async () => {
  expect(await fibula(['apply', '-f', '-'], `${PEER}---\n${POOL}`)).toEqual({
    status: 0,
    stdout: 'bgppeer/tor-a created\nippool/pods created\n',
    stderr: '',
  })
  expect(readdirSync(path).filter((name) => name !== 'state')).toEqual(['bgppeer.tor-a.yaml', 'ippool.pods.yaml'])
  expect(readFileSync(join(path, 'bgppeer.tor-a.yaml'), 'utf8')).toBe(PEER)

  const changed = join(path, 'changed.txt')
  writeFileSync(changed, `${PEER.replace('65001', '65002')}---\n${POOL}`)
  expect((await fibula(['apply', '-f', changed, '--dry-run'])).stdout).toBe(
    'bgppeer/tor-a configured (dry run)\nippool/pods unchanged (dry run)\n',
  )
  expect((await fibula(['apply', '-f', changed])).stdout).toBe('bgppeer/tor-a configured\nippool/pods unchanged\n')

  const table = await fibula(['get', 'bgpp'])
  expect(table).toEqual({ status: 0, stdout: expect.stringMatching(/^NAME +PEER +AS .*\ntor-a +10\.0\.0\.1 +65002 /), stderr: '' })
  const one = parse((await fibula(['get', 'bgppeers', 'tor-a', '-o', 'yaml'])).stdout)
  expect(one).toMatchObject({ kind: 'BGPPeer', spec: { asNumber: 65002, nextHopMode: 'Auto' } })

  expect(await fibula(['delete', 'bgppeer/tor-a', 'ippool'])).toMatchObject({ status: 2 })
  expect((await fibula(['delete', '-f', changed])).stdout).toBe('bgppeer/tor-a deleted\nippool/pods deleted\n')
  expect(await fibula(['delete', 'bgppeer', 'tor-a'])).toEqual({
    status: 1,
    stdout: '',
    stderr: 'fibula: there is no BGPPeer/tor-a; nothing to delete\n',
  })
  expect((await fibula(['get', 'bgppeers', '-o', 'json'])).stdout).toBe('{\n  "apiVersion": "v1",\n  "kind": "List",\n  "items": []\n}\n')
})

test('what get prints, apply takes back', async () => {
  await fibula(['apply', '-f', '-'], `${PEER}---\n${PEER.replace('tor-a', 'tor-b')}`)
  const { stdout } = await fibula(['get', 'bgppeers', '-o', 'yaml'])
  expect((await fibula(['apply', '-f', '-'], stdout)).stdout).toBe('bgppeer/tor-a unchanged\nbgppeer/tor-b unchanged\n')
})

test('a document that is not valid is told and keeps no other from being applied', async () => {
  const outcome = await fibula(['apply', '-f', '-'], `${PEER.replace('asNumber', 'asnumber')}---\n${POOL}---\nkind: "x\n`)
  expect(outcome).toEqual({
    status: 1,
    stdout: 'ippool/pods created\n',
    stderr: expect.stringMatching(
      /^fibula: standard input, document 1, line 5: BGPPeer\/tor-a: unknown field spec\.asnumber; did you mean asNumber\?\nfibula: standard input, document 3, line \d+: not valid YAML: [^\n]+\n$/,
    ),
  })
})

test('invalid manifests in the folder: the rest is shown, the fault is told, exit status 1 if it is about what was asked', async () => {
  writeFileSync(join(path, 'a.yaml'), `${PEER}---\n${PEER.replace('tor-a', 'tor-b').replace('65001', 'x')}---\n${POOL}`)
  const peers = await fibula(['get', 'bgppeers', '-o', 'json'])
  expect(peers).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/^fibula: a\.yaml, document 2, line 11: BGPPeer\/tor-b: spec\.asNumber: [^\n]+\n$/),
  })
  expect(JSON.parse(peers.stdout).items).toHaveLength(1)
  expect((await fibula(['get', 'ippools'])).status).toBe(0)
})

describe('mistakes of the user: one line with a remedy', () => {
  test.each<readonly [string[], number, RegExp]>([
    [['get', 'bgppeer', 'nobody'], 1, /there is no BGPPeer "nobody"; see them all with: fibula get bgppeers/],
    [['get', 'bgppers'], 2, /there is no kind "bgppers"; the kinds are/],
    [['apply', '-f', '/nonexistent.yaml'], 1, /cannot read \/nonexistent\.yaml/],
    [['apply', '-f', '-'], 1, /no manifests in there/],
    [['delete'], 2, /say what to delete/],
    [['delete', 'ippool'], 2, /say which IPPool to delete: fibula delete ippool NAME/],
    [['delete', 'ippool', '-f', '-'], 2, /either KIND NAME or -f FILE/],
    [['get', 'ippool', '-l', 'rack'], 2, /--selector takes KEY=VALUE/],
  ])('%j', async (args, status, message) => {
    const outcome = await fibula(args)
    expect(outcome).toMatchObject({ status, stdout: '' })
    expect(outcome.stderr).toMatch(/^fibula: [^\n]+\n$/)
    expect(outcome.stderr).toMatch(message)
  })
})

describe('tables', () => {
  const screen = { colour: false, width: null, write: () => {} }
  const object = (value: unknown): Resource => {
    const parsed = parseResource(value)
    if (!parsed.ok) throw new Error('invalid')
    return parsed.value
  }

  test('a namespaced kind shows its namespace, age and joined values', () => {
    const pod = object({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', namespace: 'web', creationTimestamp: '2030-01-01T00:00:00Z' },
      spec: { nodeName: 'n1' },
      status: { podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }] },
    })
    const text = formatObjects('Pod', [pod], screen, Date.parse('2030-01-01T02:05:00Z'))
    expect(text.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['NAMESPACE', 'NAME', 'PHASE', 'IP', 'NODE', 'AGE'],
      ['web', 'p', 'Pending', '10.0.0.1,fd00::1', 'n1', '2h5m'],
      [''],
    ])
  })

  test('nothing is said, not shown as an empty table', () => {
    expect(formatObjects('IPPool', [], screen)).toBe('no ippools\n')
  })
})

test.each([
  ['bgppeers', ['a', 'b'], 'BGPPeer', ['a', 'b']],
  ['bgpp/a', [], 'BGPPeer', ['a']],
  ['IPPool', [], 'IPPool', []],
])('%s %j means', (text, names, kind, expected) => {
  expect(namesOf(text, names)).toEqual({ kind, names: expected })
})
