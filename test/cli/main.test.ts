// The program as a person runs it, against a control server that answers what the contract promises.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { CliProgram, type Outcome } from '../support/cli-program.ts'
import { type Answer, agentStatus, fakeAgent, kernelRoute, pathStatus, peerStatus } from './fixtures.ts'

let program: CliProgram
beforeAll(async () => {
  program = await CliProgram.build()
})
afterAll(() => program[Symbol.dispose]())

function fibula(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return program.run(args, { env })
}

async function ask(
  answers: Readonly<Record<string, Answer>>,
  args: readonly string[],
): Promise<Outcome & { readonly asked: readonly string[] }> {
  await using agent = await fakeAgent(answers)
  return { ...(await fibula([...args, '--run-dir', agent.runDir])), asked: agent.asked }
}

function expectOneLine(stderr: string): void {
  expect(stderr).toMatch(/^fibula: [^\n]+\n$/)
}

describe('wrong usage: one line, exit status 2', () => {
  test.each([
    [[], /say what to do/],
    [['bgp'], /peers, routes, reset or drain/],
    [['nonsense'], /nonsense/],
    [['bgp', 'peers', '--nonsense'], /nonsense/],
    [['bgp', 'routes', '--in', 'a', '--out', 'b'], /mutually exclusive/],
    [['bgp', 'routes', '10.0.0'], /not a prefix/],
    [['bgp', 'peers', '--peer'], /peer/],
    [['bgp', 'peers', '--peer', 'a', '--peer', 'b'], /--peer is given more than once/],
    [['bgp', 'peers', '--', 'x'], /nothing goes behind --/],
    [['agent', '--node', 'a'], /store/],
    [['agent', '--node', 'a', '--store', 'etcd'], /--store is kubernetes, or dir:PATH/],
    [['lab', 'demo', '--router', 'cisco'], /cisco/],
    [['status', '-o', 'xml'], /xml/],
    [['status', '--node', '../x'], /not a node name/],
    [['bgp', 'drain', '--undo', '--stop'], /exclude each other/],
    [['bgp', 'drain', '--stop', '--seconds', '3601'], /--seconds is 0 to 3600/],
    [['routes', '10.0.0'], /not a prefix or address/],
    [['ipam', 'check', '--store', 'dir:/nonexistent', '--seconds', '0'], /--seconds is 1 to 3600/],
    [['ipam', 'release', '10.0.0', '--store', 'dir:/nonexistent'], /not an IP address/],
    [['ipam', 'release', '--store', 'dir:/nonexistent'], /name an address, or a node/],
    [['ipam', 'release', '10.0.0.1', '--gone-node', 'a', '--store', 'dir:/nonexistent'], /name an address, or a node/],
    [['agent', '--node', 'a', '--store', 'dir:/nonexistent', '--metrics-port', '65536'], /--metrics-port is 1 to 65535/],
    [['agent', '--node', 'a', '--store', 'dir:/nonexistent', '--cni-conf-dir', '/nonexistent'], /needs --cni-socket/],
    [['controller', '--store', 'dir:/nonexistent', '--metrics-port', '1.5'], /--metrics-port is 1 to 65535/],
    [['controller', '--store', 'dir:/nonexistent', '--leak-grace', '999ms'], /--leak-grace is a duration of at least 1s/],
    [['controller', '--store', 'dir:/nonexistent', '--status-interval', 'soon'], /--status-interval is a duration/],
    [['lab', 'probe', '--rate', '0'], /--rate is 1 to 1000/],
    [['delete', '--store', 'dir:/nonexistent'], /say what to delete/],
    [['delete', 'bgppeer', '--store', 'dir:/nonexistent'], /say which BGPPeer to delete/],
    [['get', 'bgppeer/a/b', '--store', 'dir:/nonexistent'], /write KIND NAME or KIND\/NAME/],
    [['get', 'nothing', '--store', 'dir:/nonexistent'], /there is no kind "nothing"/],
  ])('%j', async (args, message) => {
    const { status, stdout, stderr } = await fibula(args)
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
    expectOneLine(stderr)
    expect(stderr).toMatch(message)
  })
})

describe('an agent that does not answer: one line with a remedy, exit status 1', () => {
  test('nobody there', async () => {
    const { status, stderr } = await fibula(['bgp', 'peers'], { FIBULA_RUN_DIR: '/nonexistent' })
    expect(status).toBe(1)
    expectOneLine(stderr)
    expect(stderr).toContain('no agent answers at /nonexistent/agent.sock: is `fibula agent` running?')
  })
  test('a refusal is passed on in the words of the agent', async () => {
    const { status, stderr } = await ask({ '/v1/bgp/routes': { status: 404, body: { error: 'no peer x: there is tor-rack-a' } } }, [
      'bgp',
      'routes',
      '--in',
      'x',
    ])
    expect({ status, stderr }).toEqual({ status: 1, stderr: 'fibula: no peer x: there is tor-rack-a\n' })
  })
  test('something else listens there', async () => {
    const { status, stderr } = await ask({ '/v1/bgp/peers': { body: null, raw: '<html>' } }, ['bgp', 'peers'])
    expect(status).toBe(1)
    expectOneLine(stderr)
    expect(stderr).toContain('not a fibula agent')
  })
})

describe('fibula bgp peers', () => {
  test('-o json prints exactly what the agent answered', async () => {
    const peers = [peerStatus()]
    const { status, stdout } = await ask({ '/v1/bgp/peers': { body: peers } }, ['bgp', 'peers', '-o', 'json'])
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toEqual(peers)
  })
  test('a peer that is down: exit status 1, and the table says why', async () => {
    const peers = [
      peerStatus(),
      peerStatus({ name: 'tor-b', state: 'Active', uptimeSeconds: null, lastError: 'peer wants AS 65001, we are configured for 65002' }),
    ]
    const { status, stdout } = await ask({ '/v1/bgp/peers': { body: peers } }, ['bgp', 'peers'])
    expect(status).toBe(1)
    expect(stdout).toMatch(/^tor-b +10\.0\.0\.1 .*Active .*peer wants AS 65001, we are configured for 65002$/m)
    expect(stdout).toMatch(/^tor-rack-a .*Established +1m30s +0 +5\/4\/1 +-$/m)
  })
  test('a peer that was shut down on purpose is not unhealthy', async () => {
    const peers = [peerStatus({ state: 'Idle', adminShutdown: true, uptimeSeconds: null })]
    const { status, stdout } = await ask({ '/v1/bgp/peers': { body: peers } }, ['bgp', 'peers'])
    expect(status).toBe(0)
    expect(stdout).toContain('Shutdown')
  })
  test('--peer shows which capabilities were offered, received and negotiated', async () => {
    const { status, stdout } = await ask({ '/v1/bgp/peers': { body: [peerStatus(), peerStatus({ name: 'other' })] } }, [
      'bgp',
      'peers',
      '--peer',
      'tor-rack-a',
    ])
    expect(status).toBe(0)
    expect(stdout).toMatch(/^OFFERED +RECEIVED +NEGOTIATED$/m)
    expect(stdout).toMatch(/^multiprotocol IPv4Unicast +multiprotocol IPv4Unicast +multiprotocol IPv4Unicast$/m)
    expect(stdout).toMatch(/^graceful restart 120 s +route refresh$/m)
    expect(stdout).not.toContain('other')
  })
  test('an unknown peer: says which there are', async () => {
    const { status, stderr } = await ask({ '/v1/bgp/peers': { body: [peerStatus()] } }, ['bgp', 'peers', '--peer', 'x'])
    expect({ status, stderr }).toEqual({ status: 1, stderr: 'fibula: no peer "x": there are tor-rack-a\n' })
  })
})

describe('fibula bgp routes', () => {
  const routes = [
    {
      prefix: '10.244.2.0/26',
      paths: [
        pathStatus({ reason: 'won: shorter AS path (1 < 2)' }),
        pathStatus({ best: false, multipath: false, peer: 'tor-b', reason: 'lost: longer AS path (2 > 1)' }),
      ],
    },
  ]
  test('shows every path with the reason, the prefix once', async () => {
    const { status, stdout, asked } = await ask({ '/v1/bgp/routes': { body: routes } }, ['bgp', 'routes'])
    expect({ status, asked }).toEqual({ status: 0, asked: ['GET /v1/bgp/routes'] })
    expect(stdout).toMatch(/^> +10\.244\.2\.0\/26 +10\.0\.0\.1 +tor-rack-a +65001 65002 +- +- +won: shorter AS path \(1 < 2\)$/m)
    expect(stdout).toMatch(/^ +10\.0\.0\.1 +tor-b .* lost: longer AS path \(2 > 1\)$/m)
  })
  test('asks the agent for what the options name', async () => {
    const { asked } = await ask({ '/v1/bgp/routes': { body: [] } }, ['bgp', 'routes', '--out', 'tor-b', '--family', '6'])
    expect(asked).toEqual(['GET /v1/bgp/routes?family=IPv6Unicast&out=tor-b'])
  })
  test('a prefix nobody has: exit status 1', async () => {
    const { status, stdout, asked } = await ask({ '/v1/bgp/routes': { body: [] } }, ['bgp', 'routes', '10.9.0.0/16', '--best'])
    expect({ status, stdout, asked }).toEqual({
      status: 1,
      stdout: 'no route to 10.9.0.0/16\n',
      asked: ['GET /v1/bgp/routes?prefix=10.9.0.0%2F16&best=1'],
    })
  })
  test('a prefix shows every attribute of its paths', async () => {
    const path = pathStatus({
      communities: ['65001:100', 'NO_EXPORT'],
      med: 50,
      unknownAttributes: [{ type: 200, flags: 0xc0, valueHex: 'beef' }],
    })
    const { stdout } = await ask({ '/v1/bgp/routes': { body: [{ prefix: '10.0.0.0/8', paths: [path] }] } }, ['bgp', 'routes', '10.0.0.0/8'])
    expect(stdout).toMatch(/^ +Communities +65001:100 NO_EXPORT$/m)
    expect(stdout).toMatch(/^ +MED +50$/m)
    expect(stdout).toMatch(/^ +Unknown +type 200, flags 0xc0: beef$/m)
  })
})

test.each([
  [[], '/v1/drain {"draining":true}', 'asked to find other ways (GRACEFUL_SHUTDOWN)'],
  [['--undo'], '/v1/drain {"draining":false}', 'advertised as before'],
  [['--stop', '--seconds', '3'], '/v1/stop {"how":"cease","drainSeconds":3}', 'ends in 3 s'],
  [['--stop', '--seconds', '0'], '/v1/stop {"how":"cease","drainSeconds":0}', 'ends in 0 s'],
])('fibula bgp drain %j asks the agent for %s', async (args, wanted, words) => {
  const answers = { '/v1/drain': { body: {} }, '/v1/stop': { body: {} } }
  const { status, stdout, asked } = await ask(answers, ['bgp', 'drain', ...args])
  expect({ status, asked }).toEqual({ status: 0, asked: [`POST ${wanted}`] })
  expect(stdout).toContain(words)
})

test.each([
  [['tor-b'], 'hard'],
  [['tor-b', '--soft'], 'soft'],
])('fibula bgp reset %j asks for a %s reset', async (args, kind) => {
  const { status, asked } = await ask({ '/v1/bgp/reset': { body: {} } }, ['bgp', 'reset', ...args])
  expect({ status, asked }).toEqual({ status: 0, asked: [`POST /v1/bgp/reset {"peer":"tor-b","kind":"${kind}"}`] })
})

describe('fibula routes', () => {
  test.each([
    ['inSync', 0],
    ['stale', 0],
    ['missing', 1],
    ['failed', 1],
    ['shadowed', 1],
  ] as const)('a route that is %s: exit status %d', async (state, expected) => {
    const { status, stdout } = await ask(
      { '/v1/routes': { body: [kernelRoute(), kernelRoute({ prefix: 'fd00::/64', state, detail: 'because' })] } },
      ['routes'],
    )
    expect(status).toBe(expected)
    expect(stdout).toMatch(/^fd00::\/64 .* via 10\.0\.0\.1 dev eth0 +because$/m)
  })
})

test('fibula routes: one prefix, an empty answer, a blackhole, and next hops in full', async () => {
  const none = await ask({ '/v1/routes': { body: [] } }, ['routes'])
  expect({ status: none.status, stdout: none.stdout }).toEqual({ status: 0, stdout: 'no routes of ours\n' })
  const missing = await ask({ '/v1/routes': { body: [] } }, ['routes', 'fd00::1'])
  expect({ status: missing.status, stdout: missing.stdout, asked: missing.asked }).toEqual({
    status: 1,
    stdout: 'no route of ours to fd00::1\n',
    asked: ['GET /v1/routes?prefix=fd00%3A%3A1'],
  })
  const body = [
    kernelRoute({ kind: 'blackhole', nextHops: [] }),
    kernelRoute({
      nextHops: [
        { gateway: '10.0.0.1', interface: 'eth0', onlink: true },
        { gateway: null, interface: 'eth1', onlink: false },
      ],
    }),
    kernelRoute({ state: 'stale' }),
  ]
  const { stdout } = await ask({ '/v1/routes': { body } }, ['routes'])
  expect(stdout).toMatch(/ in sync +blackhole$/m)
  expect(stdout).toMatch(/ in sync +via 10\.0\.0\.1 dev eth0 onlink, dev eth1$/m)
  expect(stdout).toMatch(/^3 routes: 2 in sync, 1 stale$/m)
})

describe('fibula status', () => {
  test('a healthy node', async () => {
    const { status, stdout } = await ask({ '/v1/status': { body: agentStatus() }, '/v1/bgp/peers': { body: [peerStatus()] } }, ['status'])
    expect(status).toBe(0)
    expect(stdout).toMatch(/^Health +healthy$/m)
  })
  test('a session that is down makes the node unhealthy, and the screen says which and why', async () => {
    const peers = [peerStatus({ state: 'Connect', uptimeSeconds: null, lastError: 'connection refused' })]
    const { status, stdout } = await ask({ '/v1/status': { body: agentStatus() }, '/v1/bgp/peers': { body: peers } }, ['status'])
    expect(status).toBe(1)
    expect(stdout).toMatch(/^Health +not healthy$/m)
    expect(stdout).toMatch(/^error +peer\/tor-rack-a +session is Connect: connection refused$/m)
  })
  test('a warning is shown and is not ill health; json is the answer itself', async () => {
    const body = agentStatus({ problems: [{ severity: 'warning', subject: 'sysctl/x', message: 'set it' }] })
    const answers = { '/v1/status': { body }, '/v1/bgp/peers': { body: [peerStatus()] } }
    expect(await ask(answers, ['status'])).toMatchObject({ status: 0, stdout: expect.stringMatching(/^warning +sysctl\/x +set it$/m) })
    expect(JSON.parse((await ask(answers, ['status', '-o', 'json'])).stdout)).toEqual(body)
  })
})

test('fibula version names the version of package.json, also as yaml', async () => {
  expect((await fibula(['version', '-o', 'yaml'])).stdout).toMatch(/^version: \d+\.\d+\.\d+\nnode: 24\./)
})
