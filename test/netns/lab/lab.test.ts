// The lab on the real kernel: built, used, crashed, rebuilt, and gone without a trace.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { identityOf, processesIn } from '../../../src/lab/identity.ts'
import { labPaths, type PingCell } from '../../../src/lab/index.ts'
import { readProcesses, readState } from '../../../src/lab/state.ts'
import { until, untilEqual } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { LabFolder, type Outcome } from './program.ts'

const TIMEOUT_MS = 600_000

function namespacesOf(lab: LabFolder): readonly string[] {
  return readState(labPaths(lab.dir))?.namespaces ?? []
}

function present(namespaces: readonly string[]): readonly string[] {
  return namespaces.filter((name) => existsSync(`/run/netns/${name}`))
}

describeWith(['ip', 'nsenter', 'unshare', 'ping'], 'fibula lab', () => {
  test(
    'a person builds it, looks around, breaks and mends a cable, and takes it down',
    async () => {
      await using lab = new LabFolder()
      const up = await lab.fibula(['lab', 'up', '-o', 'json'])
      expect(up).toMatchObject({ status: 0 })
      const sessions: readonly { readonly isEstablished: boolean }[] = JSON.parse(up.stdout)
      expect(sessions).toHaveLength(24)
      expect(sessions.every(({ isEstablished }) => isEstablished)).toBe(true)
      const namespaces = namespacesOf(lab)
      expect(present(namespaces)).toHaveLength(12)

      expect(await lab.fibula(['lab', 'status'])).toMatchObject({ status: 0 })
      const peers = await lab.fibula(['lab', 'exec', 'node-2', '--', ...fibulaInside(), 'bgp', 'peers', '-o', 'json'])
      expect(JSON.parse(peers.stdout)).toMatchObject([
        { name: 'node-2-tor-a-v4', state: 'Established' },
        { name: 'node-2-tor-a-v6', state: 'Established' },
        { name: 'node-2-tor-b-v4', state: 'Established' },
        { name: 'node-2-tor-b-v6', state: 'Established' },
      ])
      expect(await lab.fibula(['bgp', 'peers', '--node', 'tor-a'])).toMatchObject({ status: 0 })
      expect(await lab.fibula(['routes', '--node', 'node-1'])).toMatchObject({ status: 0 })
      for (const family of ['-4', '-6']) {
        expect(
          await lab.fibula(['lab', 'exec', 'pod-1a', '--', 'ping', family, '-c', '3', '-i', '0.2', '-w', '10', 'pod-3b']),
        ).toMatchObject({ status: 0 })
      }
      expect((await lab.fibula(['lab', 'exec', 'pod-1a', '--', 'sh', '-c', 'exit 7'])).status).toBe(7)
      expect((await lab.fibula(['lab', 'exec', 'nobody', '--', 'true'])).status).toBe(2)

      expect(await lab.fibula(['lab', 'link', 'rack-2a', 'down'])).toMatchObject({ status: 0 })
      expect((await lab.fibula(['lab', 'exec', 'node-2', '--', 'cat', '/sys/class/net/eth0/carrier'])).stdout).toBe('0\n')
      await until('the status says so', async () => (await lab.fibula(['lab', 'status', '-o', 'json'])).status === 1)
      expect((await lab.fibula(['lab', 'link', 'rack-2a', 'up'])).status).toBe(0)

      const probe = await lab.fibula(['lab', 'probe', 'pod-1a', 'pod-3a', '--seconds', '2', '-o', 'json'])
      expect(probe.status).toBe(0)
      expect(JSON.parse(probe.stdout)).toHaveLength(4)

      expect(await lab.fibula(['lab', 'down'])).toMatchObject({ status: 0 })
      expect(present(namespaces)).toEqual([])
      expect(existsSync(lab.dir)).toBe(false)
      expect((await lab.fibula(['lab', 'status'])).stderr).toMatch(/^fibula: no lab is up in [^\n]+\n$/)
    },
    TIMEOUT_MS,
  )

  test(
    'what a crash left behind is cleaned up by the next run, even when the folder of the lab is gone',
    async () => {
      await using lab = new LabFolder()
      await lab.up()
      const namespaces = namespacesOf(lab)
      const paths = namespaces.map((name) => `/run/netns/${name}`)
      const before = processesIn(paths).map(({ pid }) => pid)
      expect(before.length).toBeGreaterThanOrEqual(5)
      const supervisor = readProcesses(labPaths(lab.dir))?.supervisor
      process.kill(supervisor?.pid ?? 0, 'SIGKILL')
      expect((await lab.fibula(['lab', 'status'])).stdout).toContain('the supervisor has ended')
      rmSync(lab.dir, { recursive: true, maxRetries: 20, retryDelay: 100 }) // what the supervisor left running still writes there

      await lab.up()
      expect(before.filter((pid) => identityOf(pid) !== null)).toEqual([])
      expect(present(namespaces)).toHaveLength(namespaces.length)
      expect((await lab.fibula(['lab', 'down'])).status).toBe(0)
      expect(present(namespaces)).toEqual([])
    },
    TIMEOUT_MS,
  )

  test(
    'a manifest that a person edits takes effect: a peer that is shut down goes down, and says why on the other side',
    async () => {
      await using lab = new LabFolder()
      await lab.up()
      const file = join(lab.dir, 'store', 'cluster', 'peers.yaml')
      const text = readFileSync(file, 'utf8')
      writeFileSync(file, text.replace(/(name: node-1-tor-a-v4\nspec:\n)/, '$1  shutdown: { message: maintenance }\n'))
      const stateOf = async (
        node: string,
        peer: string,
      ): Promise<{ readonly state: string; readonly lastError: string | null } | undefined> => {
        const peers: readonly { readonly name: string; readonly state: string; readonly lastError: string | null }[] = JSON.parse(
          (await lab.fibula(['bgp', 'peers', '--node', node, '-o', 'json'])).stdout,
        )
        return peers.find(({ name }) => name === peer)
      }
      await until('the session is down, and the other side knows why', async () => {
        const seen = await stateOf('tor-a', 'node-1-v4')
        return seen !== undefined && seen.state !== 'Established' && seen.lastError?.includes('maintenance')
      })
      expect((await stateOf('tor-a', 'node-1-v6'))?.state).toBe('Established')
    },
    TIMEOUT_MS,
  )

  test(
    'the policy of docs/lab.md: the matrix of pings changes, explain says why, show counts; without it all is as before',
    async () => {
      await using lab = new LabFolder()
      await lab.up()
      const file = join(lab.dir, 'store', 'cluster', 'policy.yaml')
      const page = readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', 'lab.md'), 'utf8')
      const [, manifest = ''] = /policy\.yaml <<EOF\n(.*?)\nEOF\n/s.exec(page) ?? []
      const reach = async (): Promise<readonly string[]> => {
        const { stdout } = await lab.fibula(['lab', 'pings', '-o', 'json'])
        const pings: readonly PingCell[] = JSON.parse(stdout)
        return pings.filter(({ lost }) => lost === 0).map(({ from, to, family }) => `${from} ${to} ${family}`)
      }
      const all = await until('everybody reaches everybody', async () => {
        const now = await reach()
        return now.length === 60 ? now : null
      })

      writeFileSync(file, manifest)
      const allowed = all.filter((flow) => !flow.includes(' pod-2a ') || flow.startsWith('pod-1a '))
      expect(allowed).toHaveLength(52)
      await untilEqual('only pod-1a reaches pod-2a', allowed, reach)
      expect((await lab.fibula(['lab', 'pings'])).status).toBe(1)
      const explain = (from: string): Promise<Outcome> =>
        lab.fibula(['policy', 'explain', '--node', 'node-2', '--from', from, '--to', 'pod-2a', '--port', 'ICMP'])
      expect((await explain('pod-3a')).stdout).toMatch(/denied: isolated by NetworkPolicy\/default\/only-pod-1a, and no ingress rule/)
      expect((await explain('pod-1a')).stdout).toMatch(/allowed[^\n]*NetworkPolicy\/default\/only-pod-1a/)
      expect((await lab.fibula(['policy', 'show', 'pod-2a', '--node', 'node-2'])).stdout).toMatch(/Ingress, packets dropped +[1-9]/)

      rmSync(file)
      await untilEqual('all as before', all, reach)
    },
    TIMEOUT_MS,
  )

  test('a topology that cannot work changes nothing and is wrong usage', async () => {
    await using lab = new LabFolder()
    const file = join(lab.dir, 'mine.yaml')
    writeFileSync(file, 'name: mine\n')
    const outcome = await lab.fibula(['lab', 'up', '--topology', file])
    expect(outcome).toMatchObject({ status: 2, stderr: expect.stringMatching(/^fibula: [^\n]*mine\.yaml: cluster: [^\n]+\n$/) })
    expect(readdirSync(lab.dir)).toEqual(['mine.yaml'])
  })

  test('without root: one line that says so', async () => {
    await using lab = new LabFolder()
    const outcome = await lab.fibula(['lab', 'demo', '--dir', '/run/nobody-may-write-here'], { uid: 65_534 })
    expect(outcome).toEqual({ status: 1, stdout: '', stderr: expect.stringMatching(/^fibula: [^\n]*needs root[^\n]*\n$/) })
  })
})

/** `fibula` in the PATH of the lab is the built program; the tests run the sources. */
function fibulaInside(): readonly string[] {
  return [process.execPath, '--disable-warning=ExperimentalWarning', join(import.meta.dirname, '..', '..', '..', 'src', 'cli', 'main.ts')]
}
