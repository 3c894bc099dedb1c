// `kubectl fibula`: the commands against the agents of a cluster, which are asked by executing `fibula ask` in their pods.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { CliProgram, type Outcome } from '../support/cli-program.ts'
import { type FakePod, fakeCluster } from '../support/kube/fake-exec.ts'
import { agentStatus, fakeAgent, kernelRoute, pathStatus, peerStatus } from './fixtures.ts'

let program: CliProgram
beforeAll(async () => {
  program = await CliProgram.build()
})
afterAll(() => program[Symbol.dispose]())

/** An agent's pod that answers as the agent would. */
function agentPod(node: string, answers: Readonly<Record<string, unknown>>, over: Partial<FakePod> = {}): FakePod {
  return {
    name: `fibula-agent-${node}`,
    node,
    execute: ([, , method, path = '']) => {
      const body = answers[`${method} ${path}`]
      const answer = body === undefined ? { status: 404, body: { error: `no ${path} here` } } : { status: 200, body }
      return { stdout: JSON.stringify(answer) }
    },
    ...over,
  }
}

async function kubectlFibula(
  pods: readonly FakePod[],
  args: readonly string[],
): Promise<Outcome & { readonly executed: readonly string[]; readonly asked: readonly string[] }> {
  await using cluster = await fakeCluster(pods)
  const outcome = await program.run(args, { env: { FIBULA_KUBECTL: '1', KUBECONFIG: cluster.kubeconfig } })
  return { ...outcome, executed: cluster.executed, asked: cluster.asked }
}

const PEERS = 'GET /v1/bgp/peers'

describe('all nodes', () => {
  test('peers of every node, with the node in front; exit status 1 while one is down', async () => {
    const { status, stdout, executed } = await kubectlFibula(
      [agentPod('node-2', { [PEERS]: [peerStatus({ state: 'Active' })] }), agentPod('node-1', { [PEERS]: [peerStatus()] })],
      ['bgp', 'peers'],
    )
    expect(status).toBe(1)
    const [head = '', ...rows] = stdout.trim().split('\n')
    expect(head).toMatch(/^NODE +PEER +ADDRESS/)
    expect(rows.map((row) => row.split(/ +/).slice(0, 2))).toEqual([
      ['node-1', 'tor-rack-a'],
      ['node-2', 'tor-rack-a'],
    ])
    expect([...executed].sort()).toEqual([
      'fibula-agent-node-1: fibula ask GET /v1/bgp/peers',
      'fibula-agent-node-2: fibula ask GET /v1/bgp/peers',
    ])
  })

  test('JSON is what an agent says, and whose it is', async () => {
    const { status, stdout } = await kubectlFibula([agentPod('node-1', { [PEERS]: [peerStatus()] })], ['bgp', 'peers', '-o', 'json'])
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toEqual([{ node: 'node-1', ...peerStatus() }])
  })

  test('a looking glass: one prefix on all nodes', async () => {
    const path = 'GET /v1/bgp/routes?prefix=10.244.1.0%2F26'
    const route = { family: 'IPv4Unicast', prefix: '10.244.1.0/26', paths: [pathStatus()] }
    const { stdout } = await kubectlFibula(
      [agentPod('node-1', { [path]: [route] }), agentPod('node-2', { [path]: [route] })],
      ['bgp', 'routes', '10.244.1.0/26'],
    )
    expect(stdout).toMatch(/^node-1: 10\.244\.1\.0\/26 {2}1 path$/m)
    expect(stdout).toMatch(/^node-2: 10\.244\.1\.0\/26 {2}1 path$/m)
  })

  test('an agent that does not answer is named, the others are shown, exit status 1', async () => {
    const ended: FakePod = {
      name: 'b',
      node: 'node-2',
      execute: () => ({ stderr: 'fibula: the agent has ended\n', exitCode: 1 }),
    }
    const pods = [agentPod('node-1', { 'GET /v1/routes': [kernelRoute()] }), ended]
    const { status, stdout, stderr } = await kubectlFibula(pods, ['routes'])
    expect(status).toBe(1)
    expect(stdout).toContain('10.244.2.0/26')
    expect(stderr).toBe('fibula: node node-2: the agent has ended\n')
  })

  test('what changes something asks for a node', async () => {
    const { status, stderr, executed } = await kubectlFibula([agentPod('node-1', {})], ['bgp', 'drain'])
    expect({ status, stderr, executed }).toEqual({ status: 2, stderr: 'fibula: say which node: --node NAME\n', executed: [] })
  })
})

describe('one node', () => {
  test('status as on the host', async () => {
    const answers = { 'GET /v1/status': agentStatus(), [PEERS]: [peerStatus()] }
    const { status, stdout, asked } = await kubectlFibula([agentPod('node-1', answers)], ['status', '--node', 'node-1'])
    expect(status).toBe(0)
    expect(stdout).toMatch(/Node +node-1\n/)
    expect(decodeURIComponent(asked[0] ?? '')).toMatch(
      /^\/api\/v1\/namespaces\/fibula-system\/pods\?.*labelSelector=app.kubernetes.io\/name=fibula,app.kubernetes.io\/component=agent.*/,
    )
  })

  test('a body travels with the command', async () => {
    const { status, executed } = await kubectlFibula([agentPod('node-1', { 'POST /v1/drain': {} })], ['bgp', 'drain', '--node', 'node-1'])
    expect(status).toBe(0)
    expect(executed).toEqual(['fibula-agent-node-1: fibula ask POST /v1/drain {"draining":true}'])
  })

  test('no agent there', async () => {
    const pod = agentPod('node-1', {}, { phase: 'Pending' })
    const { status, stderr } = await kubectlFibula([pod], ['bgp', 'peers', '--node', 'node-1'])
    expect(status).toBe(1)
    expect(stderr).toBe('fibula: no agent runs on node node-1: see `kubectl get pods -n fibula-system -o wide`\n')
  })

  test('an agent that refuses says why', async () => {
    const { status, stderr } = await kubectlFibula([agentPod('node-1', {})], ['bgp', 'peers', '--node', 'node-1'])
    expect({ status, stderr }).toEqual({ status: 1, stderr: 'fibula: no /v1/bgp/peers here\n' })
  })
})

test('a context that the kubeconfig does not have', async () => {
  const { status, stderr } = await kubectlFibula([], ['bgp', 'peers', '--context', 'other'])
  expect(status).toBe(1)
  expect(stderr).toMatch(/^fibula: [^\n]*the kubeconfig has no context "other"\n$/)
})

test('a folder leads to no agents', async () => {
  const { status, stderr } = await program.run(['bgp', 'peers', '--store', 'dir:/tmp'])
  expect(status).toBe(2)
  expect(stderr).toMatch(/^fibula: only --store kubernetes leads to agents/)
})

test('`fibula ask` is one request to the agent of this host', async () => {
  await using agent = await fakeAgent({ '/v1/status': { body: agentStatus() } })
  const { status, stdout } = await program.run(['ask', 'GET', '/v1/status', '--run-dir', agent.runDir])
  expect(status).toBe(0)
  expect(JSON.parse(stdout)).toEqual({ status: 200, body: agentStatus() })
})
