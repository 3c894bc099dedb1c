// `fibula policy show` and `explain` as a person runs them, against agents that answer what the contract promises.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Explanation, PodPolicyStatus } from '../../src/agent/index.ts'
import { CliProgram, type Outcome } from '../support/cli-program.ts'
import { type FakePod, fakeCluster } from '../support/kube/fake-exec.ts'
import { type Answer, fakeAgent } from './fixtures.ts'

let program: CliProgram
beforeAll(async () => {
  program = await CliProgram.build()
})
afterAll(() => program[Symbol.dispose]())

const PODS = '/v1/policy/pods'

function podPolicy(over: Partial<PodPolicyStatus> = {}): PodPolicyStatus {
  return {
    namespace: 'web',
    name: 'shop-1',
    hostInterface: 'fib1a2b3c4d5e6',
    addresses: ['10.244.1.5', 'fd00:244::5'],
    state: 'enforced',
    waitsFor: null,
    ingress: { admin: ['strict'], networkPolicies: ['web/only-front', 'web/monitoring'], baseline: ['default'], droppedPackets: 12 },
    egress: { admin: [], networkPolicies: [], baseline: [], droppedPackets: 3 },
    ...over,
  }
}

const OPEN = podPolicy({
  name: 'open-1',
  hostInterface: 'fib0',
  state: 'open',
  ingress: { admin: [], networkPolicies: [], baseline: [], droppedPackets: 0 },
})
const WAITING = podPolicy({ name: 'new-1', state: 'denied', waitsFor: 'Pod web/new-1 is not known yet' })

/** One agent, on this host. */
async function fibula(answer: Answer, ...args: readonly string[]): Promise<Outcome & { readonly asked: readonly string[] }> {
  await using agent = await fakeAgent({ [PODS]: answer })
  return { ...(await program.run(['policy', 'show', ...args, '--run-dir', agent.runDir])), asked: agent.asked }
}

describe('show', () => {
  test('a line for each pod: its state, what has a say by direction, and what was dropped', async () => {
    const { status, stdout } = await fibula({ body: [podPolicy(), OPEN, podPolicy({ namespace: null, name: null })] })
    expect(status).toBe(0)
    expect(stdout.split('\n')).toEqual([
      'POD             INTERFACE       STATE     INGRESS                                          EGRESS  DROPPED IN/OUT',
      'web/shop-1      fib1a2b3c4d5e6  enforced  strict, web/only-front, web/monitoring, default  -                 12/3',
      'web/open-1      fib0            open      -                                                -                  0/3',
      'fib1a2b3c4d5e6  fib1a2b3c4d5e6  enforced  strict, web/only-front, web/monitoring, default  -                 12/3',
      '',
    ])
  })

  test('one pod: policies by tier and direction; those of other pods are not shown', async () => {
    const { status, stdout } = await fibula({ body: [podPolicy(), OPEN] }, 'web/shop-1')
    expect(status).toBe(0)
    for (const line of [
      /^Pod +web\/shop-1$/m,
      /^Addresses +10\.244\.1\.5, fd00:244::5$/m,
      /^Interface +fib1a2b3c4d5e6$/m,
      /^State +enforced$/m,
      /^Ingress, Admin +strict$/m,
      /^Ingress, NetworkPolicies +web\/only-front, web\/monitoring$/m,
      /^Ingress, Baseline +default$/m,
      /^Ingress, packets dropped +12$/m,
      /^Egress, Admin +-$/m,
      /^Egress, NetworkPolicies +-$/m,
      /^Egress, Baseline +-$/m,
      /^Egress, packets dropped +3$/m,
    ])
      expect(stdout).toMatch(line)
    expect(stdout).not.toContain('open-1')
    expect(stdout).not.toMatch(/^Node /m)
  })

  test('JSON is what the agent says; a name without namespace is enough', async () => {
    const all = await fibula({ body: [podPolicy(), OPEN] }, '-o', 'json')
    expect([all.status, JSON.parse(all.stdout)]).toEqual([0, [podPolicy(), OPEN]])
    const one = await fibula({ body: [podPolicy(), OPEN] }, 'open-1', '-o', 'json')
    expect([one.status, JSON.parse(one.stdout)]).toEqual([0, [OPEN]])
  })

  test('a pod that waits for its rules: why, and exit status 1; with no other pod asked for it is 0', async () => {
    const { status, stdout } = await fibula({ body: [podPolicy(), WAITING] }, 'web/new-1')
    expect(status).toBe(1)
    expect(stdout).toMatch(/^State +denied: Pod web\/new-1 is not known yet$/m)
    expect(await fibula({ body: [podPolicy(), WAITING] })).toMatchObject({
      status: 1,
      stdout: expect.stringMatching(/^web\/new-1 .* denied /m),
    })
    expect(await fibula({ body: [podPolicy(), WAITING] }, 'shop-1')).toMatchObject({ status: 0 })
  })

  test('an unknown pod: one line, exit status 1', async () => {
    const { status, stdout, stderr } = await fibula({ body: [podPolicy()] }, 'db/shop-1')
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toBe('fibula: there is no pod "db/shop-1" here: `fibula policy show` lists those there are, --node names another node\n')
  })

  test('a node without pods', async () => {
    expect(await fibula({ body: [] })).toMatchObject({ status: 0, stdout: 'no pods\n' })
    expect(await fibula({ body: [] }, '-o', 'json')).toMatchObject({ status: 0, stdout: '[]\n' })
  })

  test('an agent that enforces none says so in its own words', async () => {
    const error = 'this agent enforces no policy: it serves no pods, or was started with --policy off'
    expect(await fibula({ status: 404, body: { error } })).toMatchObject({ status: 1, stdout: '', stderr: `fibula: ${error}\n` })
  })

  test('no agent: one line with a remedy', async () => {
    const { status, stdout, stderr } = await program.run(['policy', 'show', '--run-dir', '/nonexistent'])
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toMatch(/^fibula: no agent answers at \/nonexistent\/agent\.sock: is `fibula agent` running\?[^\n]*\n$/)
  })
})

describe('show, in a cluster', () => {
  const agentPod = (node: string, pods: readonly PodPolicyStatus[]): FakePod => ({
    name: `fibula-agent-${node}`,
    node,
    execute: ([, , method, path]) => ({
      stdout: JSON.stringify(
        method === 'GET' && path === PODS ? { status: 200, body: pods } : { status: 404, body: { error: `no ${path} here` } },
      ),
    }),
  })
  async function kubectlFibula(args: readonly string[]): Promise<Outcome> {
    await using cluster = await fakeCluster([agentPod('node-1', [OPEN]), agentPod('node-2', [podPolicy()])])
    return await program.run(args, { env: { FIBULA_KUBECTL: '1', KUBECONFIG: cluster.kubeconfig } })
  }

  test('the pods of all nodes, with the node in front', async () => {
    const { status, stdout, stderr } = await kubectlFibula(['policy', 'show'])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout.split('\n').map((line) => line.split(/ +/).slice(0, 2).join(' '))).toEqual([
      'NODE POD',
      'node-1 web/open-1',
      'node-2 web/shop-1',
      '',
    ])
  })

  test('one pod is found wherever it is, and the nodes where it is not have nothing to say', async () => {
    const { status, stdout, stderr } = await kubectlFibula(['policy', 'show', 'web/shop-1'])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).toMatch(/^Node +node-2\nPod +web\/shop-1$/m)
    expect(await kubectlFibula(['policy', 'show', 'web/shop-1', '-o', 'json'])).toMatchObject({
      status: 0,
      stdout: `${JSON.stringify([{ node: 'node-2', ...podPolicy() }], null, 2)}\n`,
    })
  })
})

describe('explain', () => {
  const EXPLANATION: Explanation = {
    from: 'web/front',
    to: 'db/store',
    port: '80/TCP',
    allowed: false,
    flows: [
      {
        source: '10.244.0.1',
        destination: '10.244.0.2',
        protocol: 'TCP',
        port: 80,
        allowed: false,
        stages: [
          {
            direction: 'egress',
            pod: 'web/front',
            node: 'node-1',
            allowed: true,
            decision: { kind: 'default' },
            passed: [],
            reason: 'no policy selects it',
            passedBy: ['ClusterNetworkPolicy/pass (Admin), rule 1: Pass'],
          },
          {
            direction: 'ingress',
            pod: 'db/store',
            node: null,
            allowed: false,
            decision: { kind: 'isolated', by: ['db/deny'] },
            passed: [],
            reason: 'isolated by NetworkPolicy/db/deny, and no ingress rule there admits it',
            passedBy: [],
          },
        ],
      },
      { source: '192.0.2.1', destination: '192.0.2.2', protocol: 'ICMP', port: null, allowed: true, stages: [] },
    ],
  }
  const QUESTION = ['policy', 'explain', '--from', 'web/front', '--to', 'db/store', '--port', '80/TCP']

  test('asks the agent of this host; every stage of every flow, in words', async () => {
    await using agent = await fakeAgent({ '/v1/policy/explain': { body: EXPLANATION } })
    const { status, stdout } = await program.run([...QUESTION, '--run-dir', agent.runDir])
    expect({ status, asked: agent.asked }).toEqual({
      status: 0,
      asked: ['GET /v1/policy/explain?from=web%2Ffront&to=db%2Fstore&port=80%2FTCP'],
    })
    expect(stdout).toMatch(/^Verdict +denied$/m)
    expect(stdout).toContain(`
10.244.0.1 -> 10.244.0.2 port 80 TCP: denied
  egress of web/front: ClusterNetworkPolicy/pass (Admin), rule 1: Pass
  egress of web/front on node-1: allowed: no policy selects it
  ingress of db/store: denied: isolated by NetworkPolicy/db/deny, and no ingress rule there admits it

192.0.2.1 -> 192.0.2.2 ICMP: allowed
  neither end is a pod: no policy has a say
`)
    const json = await program.run([...QUESTION, '-o', 'json', '--run-dir', agent.runDir])
    expect(JSON.parse(json.stdout)).toEqual(EXPLANATION)
  })

  test('no agent: one line with a remedy', async () => {
    const { status, stderr } = await program.run([...QUESTION, '--run-dir', '/nonexistent'])
    expect(status).toBe(1)
    expect(stderr).toMatch(/^fibula: no agent answers at [^\n]*\n$/)
  })

  test('with a folder of manifests no agent is needed; wrong usage is 2, what is not there is 1', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fib-explain-'))
    try {
      writeFileSync(
        join(folder, 'policy.yaml'),
        `apiVersion: v1
kind: Pod
metadata: { namespace: db, name: store }
spec: { containers: [{ name: main }] }
status: { phase: Running, podIPs: [{ ip: 10.244.0.2 }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { namespace: db, name: deny }
spec: { podSelector: {} }
`,
      )
      const explain = (from: string, port: string) =>
        program.run(['policy', 'explain', '--from', from, '--to', 'db/store', '--port', port, '--store', `dir:${folder}`, '-o', 'json'])
      const { status, stdout } = await explain('192.0.2.7', '80')
      expect([status, JSON.parse(stdout)]).toMatchObject([0, { allowed: false, flows: [{ stages: [{ decision: { by: ['db/deny'] } }] }] }])
      expect(await explain('192.0.2.7', '80/GRE')).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('--port 80/GRE is not understood'),
      })
      expect(await explain('db/nobody', '80')).toMatchObject({ status: 1, stderr: expect.stringContaining('there is no pod "db/nobody"') })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

test('policy alone is wrong usage', async () => {
  expect(await program.run(['policy'])).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/^fibula: say what to do: explain or show [^\n]*\n$/),
  })
})
