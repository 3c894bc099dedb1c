// The controller as a process: what it answers on its port, how it ends, and what it says to wrong options.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { CliProgram } from '../support/cli-program.ts'
import { until } from '../support/poll.ts'
import { kubeNode } from './world.ts'

const LONG_MS = 90_000
const ROOT = join(import.meta.dirname, '..', '..')

let program: CliProgram
let folder: string
beforeAll(async () => {
  program = await CliProgram.build()
  folder = mkdtempSync(join(tmpdir(), 'fibula-controller-'))
}, LONG_MS)
afterAll(() => {
  program[Symbol.dispose]()
  rmSync(folder, { recursive: true, force: true })
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  return address.port
}

test(
  'ready once it leads and knows the cluster; metrics; ends in peace',
  async () => {
    writeFileSync(join(folder, 'node.yaml'), JSON.stringify(kubeNode('n1')))
    writeFileSync(
      join(folder, 'peer.yaml'),
      'apiVersion: fibula.network/v1alpha1\nkind: BGPPeer\nmetadata: { name: tor }\nspec: { peerIP: 10.0.0.1, asNumber: 65001, node: n9 }\n',
    )
    const port = await freePort()
    const args = ['controller', '--store', `dir:${folder}`, '--metrics-port', String(port), '--identity', 'me', '--status-interval', '1s']
    const child = spawn(process.execPath, [join(ROOT, 'src', 'cli', 'main.ts'), ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
    let log = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text
    })
    const ended = new Promise<number | null>((resolve) => child.once('exit', (status) => resolve(status)))
    try {
      const ask = async (path: string): Promise<{ readonly status: number; readonly text: string }> => {
        const response = await fetch(`http://127.0.0.1:${port}${path}`)
        return { status: response.status, text: await response.text() }
      }
      const options = { deadlineMs: 60_000, explain: () => log }
      await until('it is ready', async () => (await ask('/readyz')).status === 200, options)
      await until(
        'it has looked',
        async () => (await ask('/metrics')).text.includes('fibula_controller_findings{severity="warning"'),
        options,
      )
      const { text } = await ask('/metrics')
      expect(text).toMatch(/^fibula_controller_leader 1$/m)
      expect(text).toMatch(/^fibula_controller_synced 1$/m)
      expect(text).toMatch(/^fibula_controller_findings\{severity="warning",reason="SelectsNoNode"\} 1$/m)
      await until(
        'a status is written',
        async () => /^fibula_controller_status_writes_total\{outcome="written"\} 1$/m.test((await ask('/metrics')).text),
        options,
      )
      expect(await ask('/healthz')).toEqual({ status: 200, text: 'ok\n' })
      child.kill('SIGTERM')
      expect(await ended).toBe(0)
      expect(log).toContain('"controller.lease.released"')
      expect(log).toContain('"controller.process.ended"')
    } finally {
      child.kill('SIGKILL')
    }
  },
  LONG_MS,
)

test.each([
  [['--leak-grace', 'soon'], '--leak-grace is a duration of at least 1s, like 90s or 5m, not "soon"'],
  [['--status-interval', '10ms'], '--status-interval is a duration of at least 1s'],
  [['--metrics-port', '99999'], '--metrics-port is 1 to 65535, or 0 for none'],
])(
  'wrong usage: %p',
  async (args, words) => {
    const outcome = await program.run(['controller', '--store', 'dir:/nowhere', ...args])
    expect(outcome).toMatchObject({ status: 2, stdout: '' })
    expect(outcome.stderr).toContain(words)
  },
  LONG_MS,
)

test(
  'a store that is none is refused in one line',
  async () => {
    const outcome = await program.run(['controller', '--store', 'nothing'])
    expect(outcome.status).toBe(1)
    expect(outcome.stderr).toContain('--store "nothing" is not a store')
  },
  LONG_MS,
)
