// What a person is shown of one node: `fibula status` and `fibula ipam show`, all that can be out of order among it.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { AgentStatus, IpamStatus, PodStatus } from '../../src/agent/index.ts'
import type { Screen } from '../../src/cli/output.ts'
import { formatStatus } from '../../src/cli/status.ts'
import { CliProgram, type Outcome } from '../support/cli-program.ts'
import { agentStatus, fakeAgent, peerStatus } from './fixtures.ts'

let program: CliProgram
beforeAll(async () => {
  program = await CliProgram.build()
})
afterAll(() => program[Symbol.dispose]())

async function ask(answers: Readonly<Record<string, unknown>>, ...args: readonly string[]): Promise<Outcome> {
  await using agent = await fakeAgent(Object.fromEntries(Object.entries(answers).map(([path, body]) => [path, { body }])))
  return await program.run([...args, '--run-dir', agent.runDir]) // while the agent is there
}

describe('status', () => {
  const SCREEN: Screen = { colour: false, width: null, write: () => {} }
  const services = { services: 3, endpoints: 9, advertised: 4, yielding: 0, standing: 'in', isListed: true } as const
  const pods = { attached: 7, ready: true, notReadyBecause: null } as NonNullable<AgentStatus['pods']>

  test.each<[Partial<AgentStatus>, RegExp]>([
    [{}, /^Agent +fibula 0\.1\.0, pid 1, up .*, ready$/m],
    [{ ready: false }, /^Agent .*, not ready$/m],
    [{}, /^BGP +Host, AS 64512, router ID 10\.0\.0\.11$/m],
    [{ addresses: [] }, /^Addresses +none$/m],
    [{}, /^Sessions +1 of 1 established$/m],
    [{}, /^Routes +3 of 3 in the kernel$/m],
    [{ routes: { desired: 3, inKernel: 1, failed: 2, installRoutes: true } }, /^Routes +1 of 3 in the kernel, 2 failed$/m],
    [{ routes: { desired: 0, inKernel: 0, failed: 0, installRoutes: false } }, /^Routes +kept in the RIB only/m],
    [{ originated: Array.from({ length: 12 }, (_, at) => `p${at}`) }, /^Originates +p0, .*, p11$/m],
    [{ originated: Array.from({ length: 14 }, (_, at) => `p${at}`) }, /^Originates +p0, .*, p11 and 2 more$/m],
    [{ services }, /^Services +4 prefixes advertised for 3 services$/m],
    [{ services: { ...services, yielding: 2 } }, /^Services +4 prefixes advertised for 3 services, 2 until others can take over$/m],
    [{ services: { ...services, standing: 'cordoned' } }, /^Services .* for 3 services; the node is cordoned$/m],
    [{ services: { ...services, standing: 'excluded' } }, /^Services +none advertised: the node has the label/m],
    [{ services: { ...services, isListed: false } }, /^Services +4 prefixes of before the restart; services are not listed yet$/m],
    [{ pods }, /^Pods +7 attached$/m],
    [{ pods: { ...pods, ready: false, notReadyBecause: 'no pool' } }, /^Pods +7 attached, no room for more: no pool$/m],
    [{ draining: true }, /^Draining +peers are asked to find other ways$/m],
  ])('%j', (over, wanted) => {
    expect(formatStatus(agentStatus(over), [], SCREEN)).toMatch(wanted)
  })

  test('everything that makes a node unhealthy is named, with exit status 1', async () => {
    const status = agentStatus({
      live: false,
      notReadyBecause: ['no peer has answered', 'routes are not in'],
      routes: { desired: 3, inKernel: 1, failed: 2, installRoutes: true },
      problems: [{ severity: 'error', subject: 'BGPPeer/a', message: 'no Secret' }],
    })
    const peers = [peerStatus(), peerStatus({ name: 'tor-b', state: 'Connect', lastError: null })]
    const shown = await ask({ '/v1/status': status, '/v1/bgp/peers': peers }, 'status')
    expect(shown.status).toBe(1)
    expect(shown.stdout).toMatch(/^Health +not healthy$/m)
    const lines = shown.stdout.split('\n').filter((line) => line.startsWith('error'))
    expect(lines).toEqual([
      expect.stringMatching(/^error +agent +a loop of the agent is stuck/),
      expect.stringMatching(/^error +not ready +no peer has answered$/),
      expect.stringMatching(/^error +not ready +routes are not in$/),
      expect.stringMatching(/^error +peer\/tor-b +session is Connect: no answer from the peer yet$/),
      expect.stringMatching(/^error +routes +the kernel refused 2: see `fibula routes`$/),
      expect.stringMatching(/^error +BGPPeer\/a +no Secret$/),
    ])
  })
})

describe('ipam show', () => {
  const pool = (name: string, cidr: string, over: Partial<IpamStatus['pools'][number]> = {}): IpamStatus['pools'][number] => {
    return {
      name,
      cidr,
      blockSize: 26,
      selectsNode: true,
      disabled: false,
      assignmentMode: 'Automatic',
      forWorkloads: true,
      reserve: 4,
      ...over,
    }
  }
  const IPAM: IpamStatus = {
    ready: true,
    notReadyBecause: null,
    hasSynced: true,
    pools: [
      pool('pods', '10.244.0.0/16'),
      pool('off', '10.1.0.0/16', { disabled: true }),
      pool('elsewhere', '10.2.0.0/16', { selectsNode: false }),
      pool('services', '10.3.0.0/16', { forWorkloads: false }),
      pool('named', '10.4.0.0/16', { assignmentMode: 'Manual' }),
    ],
    blocks: [
      { cidr: '10.244.0.0/26', pool: 'pods', state: 'Confirmed', size: 64, allocated: 2, reserved: 4, lent: 1, cooling: 3, free: 54 },
    ],
    borrowed: [],
    allocations: 2,
    unwritten: 0,
  }
  const podOf = (name: string | null, address: string, over: Partial<PodStatus> = {}): PodStatus => ({
    namespace: name === null ? null : 'web',
    name,
    uid: null,
    network: 'fibula',
    containerId: 'c0ffee',
    interface: 'eth0',
    hostInterface: 'fib0123456789a',
    netns: '/run/netns/x',
    addresses: [{ address, pool: 'pods', block: '10.244.0.0/26', borrowed: false }],
    state: 'attached',
    since: null,
    ...over,
  })
  const borrowing = podOf('shop-2', '10.244.0.2')
  const PODS = [
    podOf('shop-1', '10.244.0.1'),
    { ...borrowing, addresses: borrowing.addresses.map((each) => ({ ...each, pool: 'other', borrowed: true })) },
    podOf(null, '10.244.0.3', { state: 'released' }),
  ]
  const show = (ipam: Partial<IpamStatus>, pods: readonly PodStatus[], ...args: readonly string[]): Promise<Outcome> =>
    ask({ '/v1/ipam': { ...IPAM, ...ipam }, '/v1/pods': pods }, 'ipam', 'show', ...args)

  test('pools and whether pods here get addresses of them, blocks, pods', async () => {
    const { status, stdout } = await show({}, PODS)
    expect(status).toBe(0)
    expect(stdout).toMatch(/^pods +10\.244\.0\.0\/16 +\/26 +yes +4$/m)
    expect(stdout).toMatch(/^off .* no: disabled +4$/m)
    expect(stdout).toMatch(/^elsewhere .* no: nodeSelector +4$/m)
    expect(stdout).toMatch(/^services .* no: allowedUses +4$/m)
    expect(stdout).toMatch(/^named .* by name only +4$/m)
    expect(stdout).toMatch(/^10\.244\.0\.0\/26 +pods +Confirmed +2 +4 +1 +3 +54$/m)
    expect(stdout).toMatch(/^web\/shop-1 +10\.244\.0\.1 +fib0123456789a +attached$/m)
    expect(stdout).toMatch(/^web\/shop-2 +10\.244\.0\.2 \(borrowed\) /m)
    expect(stdout).toMatch(/^c0ffee +10\.244\.0\.3 .* released$/m)
    expect(stdout).not.toContain('not in the store')
  })

  test('a node that can give no address: why, and exit status 1; what is not written yet is counted', async () => {
    const { status, stdout } = await show({ ready: false, notReadyBecause: 'no pool selects this node', blocks: [], unwritten: 2 }, [])
    expect(status).toBe(1)
    expect(stdout).toContain('no address for a new pod: no pool selects this node\n')
    expect(stdout).toContain('no blocks claimed\n')
    expect(stdout).toContain('no pods\n')
    expect(stdout).toContain('2 changes are not in the store yet\n')
  })

  test.each([
    ['10.244.0.1', ['shop-1']],
    ['10.244.0.2/31', ['shop-2', null]],
    ['shop-2', ['shop-2']],
    ['web/shop-1', ['shop-1']],
    ['other', ['shop-2']],
  ])('only what is about %s', async (what, names) => {
    const { status, stdout } = await show({}, PODS, what, '-o', 'json')
    expect(status).toBe(0)
    expect((JSON.parse(stdout) as { pods: readonly PodStatus[] }).pods.map(({ name }) => name)).toEqual(names)
  })

  test('the table of one shows the pod alone; nobody has what is asked for: exit status 1', async () => {
    const one = await show({}, PODS, 'shop-1')
    expect(one.stdout.trimEnd().split('\n')).toHaveLength(2)
    const none = await show({}, PODS, '10.9.9.9')
    expect({ status: none.status, stderr: none.stderr }).toEqual({
      status: 1,
      stderr: 'fibula: no pod of this node has 10.9.9.9; ask the whole cluster with --store\n',
    })
  })
})
