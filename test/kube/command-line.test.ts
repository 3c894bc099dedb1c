// The commands over objects against a cluster, by way of a kubeconfig as kubectl reads it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { stringify } from 'yaml'
import { CliProgram } from '../support/cli-program.ts'
import { ADMIN, KubeApi } from '../support/kube/api-server.ts'
import { installCrds } from '../support/kube/apply.ts'

const START_MS = 400_000
const LONG_MS = 400_000

let kube: KubeApi
let program: CliProgram
let folder: string
let env: NodeJS.ProcessEnv
beforeAll(async () => {
  kube = await KubeApi.start()
  await installCrds(kube.connection())
  program = await CliProgram.build()
  folder = mkdtempSync(join(tmpdir(), 'fibula-kubeconfig-'))
  env = { KUBECONFIG: join(folder, 'config') }
  const cluster = { server: kube.url.href, 'insecure-skip-tls-verify': true }
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster }],
    users: [{ name: 'admin', user: { token: ADMIN } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
    'current-context': 'test',
  }
  writeFileSync(join(folder, 'config'), stringify(config))
}, START_MS)
afterAll(async () => {
  program[Symbol.dispose]()
  rmSync(folder, { recursive: true, force: true })
  await kube[Symbol.asyncDispose]()
})

const STORE = ['--store', 'kubernetes']

test(
  'apply, get, change, ipam show, delete',
  async () => {
    const pool = (nat: boolean): string =>
      `apiVersion: fibula.network/v1alpha1\nkind: IPPool\nmetadata: { name: pods }\nspec: { cidr: 10.244.0.0/16, natOutgoing: ${nat} }\n`
    const apply = (input: string) => program.run(['apply', '-f', '-', ...STORE], { env, input })
    expect(await apply(pool(false))).toMatchObject({ status: 0, stdout: 'ippool/pods created\n', stderr: '' })
    expect(await apply(pool(false))).toMatchObject({ status: 0, stdout: 'ippool/pods unchanged\n' })
    expect(await apply(pool(true))).toMatchObject({ status: 0, stdout: 'ippool/pods configured\n' })
    expect((await program.run(['get', 'ippools', ...STORE], { env })).stdout).toMatch(/pods +10\.244\.0\.0\/16 +Never +true/)
    expect((await program.run(['ipam', 'show', ...STORE], { env })).stdout).toContain('10.244.0.0/16')
    expect(await program.run(['delete', 'ippool', 'pods', ...STORE], { env })).toMatchObject({ status: 0, stdout: 'ippool/pods deleted\n' })
  },
  LONG_MS,
)

test(
  'no kubeconfig, and a server that is not there: one line that says so',
  async () => {
    expect(await program.run(['get', 'ippools', ...STORE], { env: { HOME: folder } })).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^fibula: [^\n]*there is no kubeconfig: set KUBECONFIG[^\n]*\n$/),
    })
    const broken = join(folder, 'broken')
    writeFileSync(
      broken,
      stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 't', cluster: { server: 'https://127.0.0.1:1' } }],
        users: [{ name: 'a', user: {} }],
        contexts: [{ name: 't', context: { cluster: 't', user: 'a' } }],
        'current-context': 't',
      }),
    )
    expect(await program.run(['get', 'ippools', ...STORE], { env: { KUBECONFIG: broken } })).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^fibula: the API server cannot be reached: [^\n]*ECONNREFUSED[^\n]*\n$/),
    })
  },
  LONG_MS,
)
