// Whole agents on two subnets, with the real modules: pods of the CNI plugin, a mesh between the nodes, a router that knows no pod.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type AgentStatus, CONTROL_SOCKET } from '../../src/agent/control-api.ts'
import { requestJson } from '../../src/lib/unix-http.ts'
import { ClusterNode } from '../netns/pods/node.ts'
import type { Manifest } from '../support/agent-manifests.ts'
import { buildNetns, type Netns } from '../support/netns.ts'
import type { NetnsProcess } from '../support/netns-process.ts'
import { until } from '../support/poll.ts'
import { captureOn, echoed, moves, patient, startProgram, startStream } from './programs.ts'

const API = 'fibula.network/v1alpha1'
const NODES = [
  { name: 'n1', ipv4: '10.1.0.11', ipv6: 'fd01::11', router4: '10.1.0.254', router6: 'fd01::fe' },
  { name: 'n2', ipv4: '10.1.0.12', ipv6: 'fd01::12', router4: '10.1.0.254', router6: 'fd01::fe' },
  { name: 'n3', ipv4: '10.2.0.13', ipv6: 'fd02::13', router4: '10.2.0.254', router6: 'fd02::fe' },
] as const
/** The router as a part of a fabric that carries the nodes' blocks: all nodes have one AS number, as far as it goes. */
const BIRD = `
router id 10.9.9.9;
protocol device { }
protocol kernel { ipv4 { export all; }; }
${NODES.filter(({ name }) => name !== 'n2')
  .map(
    ({ name, ipv4, router4 }) => `protocol bgp ${name} {
  local ${router4} as 65001; neighbor ${ipv4} as 64512; direct; connect retry time 1; error wait time 1, 2;
  ipv4 { import all; export all; };
}`,
  )
  .join('\n')}
`
type Mode = 'Never' | 'CrossSubnet' | 'Always'
type Pod = { readonly ipv4: string; readonly ipv6: string }

let net: Netns
let folder = ''
const agents = new Map<string, ClusterNode>()
const pods = new Map<string, Pod>()

beforeAll(async () => {
  const end = ({ name, ipv4, ipv6 }: (typeof NODES)[number]) => ({ node: name, name: 'eth0', addresses: [`${ipv4}/24`, `${ipv6}/64`] })
  net = await buildNetns('cluster', {
    nodes: [...NODES.map(({ name }) => name), 'p1', 'p2', 'p3', 'router'],
    switches: [
      { name: 'one', ends: [end(NODES[0]), end(NODES[1]), { node: 'router', name: 'eth1', addresses: ['10.1.0.254/24', 'fd01::fe/64'] }] },
      { name: 'two', ends: [end(NODES[2]), { node: 'router', name: 'eth2', addresses: ['10.2.0.254/24', 'fd02::fe/64'] }] },
    ],
  })
  await net.exec('router', 'sh', ['-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'])
  for (const { name, router4, router6 } of NODES) {
    await net.ipBatch(name, [
      `route add default via ${router4}`,
      `route add default via ${router6}`,
      // A route to the other subnet of its own, as a fabric that speaks BGP or OSPF to hosts would give.
      `route add ${name === 'n3' ? 'fd01::/64' : 'fd02::/64'} via ${router6}`,
    ])
  }
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fib-cluster-'))
  const store = path.join(folder, 'store')
  fs.mkdirSync(store)
  write('cluster', [
    {
      apiVersion: API,
      kind: 'BGPConfiguration',
      metadata: { name: 'default' },
      spec: { asNumber: 64_512, connectRetryTime: '1s', nodeToNodeMesh: { enabled: true } },
    },
    ...NODES.map(({ name, ipv4, ipv6 }) => ({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name,
        annotations: { 'fibula.network/ipv4-address': `${ipv4}/24`, 'fibula.network/ipv6-address': `${ipv6}/64` },
      },
    })),
  ])
  setMode('CrossSubnet')
  for (const { name } of NODES) {
    const agent = new ClusterNode(net, name, { folder, store, wrap: [] })
    agents.set(name, agent)
    await agent.launch(patient(15_000))
  }
  for (const [at, { name }] of NODES.entries()) {
    const pod = `p${at + 1}`
    const { ips } = await agentOf(name).add({ containerId: pod, netns: net.pathOf(pod) })
    const one = (isIpv6: boolean): string => ips.find(({ address }) => address.includes(':') === isIpv6)?.address.split('/')[0] ?? ''
    pods.set(pod, { ipv4: one(false), ipv6: one(true) })
  }
  for (const to of ['p2', 'p3']) for (const family of ['ipv4', 'ipv6'] as const) await reaches('p1', podOf(to)[family])
}, 900_000)

afterAll(async () => {
  await Promise.all([...agents.values()].map((agent) => agent.kill()))
  await net[Symbol.asyncDispose]()
  fs.rmSync(folder, { recursive: true, force: true })
})

function write(name: string, manifests: readonly Manifest[]): void {
  const file = path.join(folder, 'store', `${name}.yaml`)
  fs.writeFileSync(`${file}.new`, manifests.map((each) => JSON.stringify(each)).join('\n---\n'))
  fs.renameSync(`${file}.new`, file)
}

function setMode(ipipMode: Mode): void {
  write(
    'pools',
    [
      ['pods', '10.244.0.0/16'],
      ['pods6', 'fd00:244::/112'],
    ].map(([name, cidr]) => ({ apiVersion: API, kind: 'IPPool', metadata: { name: name ?? '' }, spec: { cidr, ipipMode } })),
  )
}

/** Sessions of n1 and n3 with their router. */
function writePeers(allowLocalAS: number): void {
  write(
    'peers',
    NODES.filter(({ name }) => name !== 'n2').map(({ name, router4 }) => ({
      apiVersion: API,
      kind: 'BGPPeer',
      metadata: { name: `router-${name}` },
      spec: { node: name, peerIP: router4, asNumber: 65_001, addressFamilies: ['IPv4Unicast'], allowLocalAS },
    })),
  )
}

function agentOf(name: string): ClusterNode {
  const agent = agents.get(name)
  if (agent === undefined) throw new RangeError(`no node ${name}`)
  return agent
}

function podOf(name: string): Pod {
  const pod = pods.get(name)
  if (pod === undefined) throw new RangeError(`no pod ${name}`)
  return pod
}

const logs = (): string => [...agents.values()].map((agent) => agent.log()).join('\n')

async function reaches(from: string, address: string): Promise<void> {
  await until(`${from} reaches ${address}`, () => net.exec(from, 'ping', ['-n', '-q', '-c', '1', '-W', '5', address]), {
    ...patient(6_000),
    explain: logs,
  })
}

async function status(name: string): Promise<AgentStatus> {
  const socketPath = path.join(agentOf(name).runFolder, CONTROL_SOCKET)
  return (await requestJson({ socketPath, method: 'GET', path: '/v1/status', timeoutMs: 20_000 })).body as AgentStatus
}

/** The interface by which a node sends to an address. */
async function deviceTo(node: string, address: string): Promise<string> {
  return /dev (\S+)/.exec(await net.ip(node, `route get ${address}`))?.[1] ?? ''
}

async function waysAre(near: string, far: string): Promise<void> {
  const probe = async (): Promise<boolean> => {
    for (const family of ['ipv4', 'ipv6'] as const) {
      const tunnel = family === 'ipv4' ? 'fibipip' : 'fibip6tnl'
      const ways = [
        await deviceTo('n1', podOf('p2')[family]),
        await deviceTo('n1', podOf('p3')[family]),
        await deviceTo('n3', podOf('p1')[family]),
      ]
      const wanted = [near, far, far].map((each) => (each === 'tunnel' ? tunnel : each))
      if (wanted.join() !== ways.join()) throw new Error(`${family}: ${ways.join()}`)
    }
    return true
  }
  await until(`to the same subnet by ${near}, to the other by ${far}`, probe, { ...patient(3_000), explain: logs })
}

async function mtuIs(mtu: number): Promise<void> {
  const probe = async (): Promise<boolean> => (await net.ip('p1', 'link show eth0')).includes(` mtu ${mtu} `)
  await until(`MTU ${mtu} of a running pod`, probe, { ...patient(3_000), explain: logs })
}

test('CrossSubnet: plain on one subnet, IP-in-IP between the subnets, in the packets; all is well by the agents', async () => {
  await waysAre('eth0', 'tunnel')
  for (const family of ['ipv4', 'ipv6'] as const) {
    const [from, near, far] = [podOf('p1'), podOf('p2'), podOf('p3')].map((pod) => pod[family])
    const capture = await captureOn(net, 'n1', 'eth0', family === 'ipv4' ? 'ip proto 4 or icmp' : 'ip6 proto 41 or icmp6')
    await reaches('p1', near ?? '')
    await reaches('p1', far ?? '')
    await until(
      'both replies are captured',
      () => (capture.log(Number.POSITIVE_INFINITY).match(/echo reply/g) ?? []).length >= 2,
      patient(1_000),
    )
    await capture.end('SIGINT')
    const packets = capture.log(Number.POSITIVE_INFINITY).split(/\n(?=\d\d:\d\d:)/)
    const requestTo = (address = ''): string =>
      packets.find((packet) => new RegExp(`> ${address}: .*ICMP.*echo request`).test(packet)) ?? ''
    expect(requestTo(near)).toContain(`${from} > ${near}`)
    expect(requestTo(near)).not.toContain(NODES[1][family])
    expect(requestTo(far)).toMatch(new RegExp(`${NODES[0][family]} > ${NODES[2][family]}: .*${from} > ${far}`, 's'))
  }
  for (const { name } of NODES)
    await until(
      `all is well by ${name}`,
      async () => {
        const { problems } = await status(name)
        if (problems.length > 0) throw new Error(JSON.stringify(problems))
        return true
      },
      { ...patient(3_000), explain: logs },
    )
  await mtuIs(1460)
}, 900_000)

test('Never, CrossSubnet and Always live: established connections go on, and pods that run get another MTU', async () => {
  const servers: NetnsProcess[] = []
  const clients: NetnsProcess[] = []
  for (const [at, pod] of ['p2', 'p3'].entries()) {
    const family = at === 0 ? 'ipv6' : 'ipv4'
    const server = startStream(net, pod, 'listen', podOf(pod)[family], '5200')
    await until('the server listens', () => server.log().includes('listening'), patient(3_000))
    servers.push(server)
    clients.push(startStream(net, 'p1', 'keep', podOf(pod)[family], '5200'))
  }
  for (const client of clients) await moves(client, 'at first')
  // Never between subnets needs a fabric that carries the routes: from here on the router knows the pods.
  for (const [at, { ipv4, ipv6 }] of NODES.entries()) {
    const pod = podOf(`p${at + 1}`)
    await net.ipBatch('router', [`route add ${pod.ipv4} via ${ipv4}`, `route add ${pod.ipv6} via ${ipv6}`])
  }
  const modes = [
    ['Always', 'tunnel', 'tunnel', 1460],
    ['Never', 'eth0', 'eth0', 1500],
    ['CrossSubnet', 'eth0', 'tunnel', 1460],
    ['Never', 'eth0', 'eth0', 1500],
    ['Always', 'tunnel', 'tunnel', 1460],
    ['CrossSubnet', 'eth0', 'tunnel', 1460],
  ] as const
  for (const [mode, near, far, mtu] of modes) {
    setMode(mode)
    await waysAre(near, far)
    await mtuIs(mtu)
    for (const client of clients) await moves(client, mode)
  }
  for (const client of clients) expect(client.log()).not.toContain('broken')
  expect(clients.every((client) => echoed(client) > 3_000)).toBe(true)
  for (const process of [...clients, ...servers]) await process.end('SIGKILL')
}, 900_000)

test('a fabric that speaks BGP: its plain path wins over the tunnel, which takes over when it goes; our own AS number in its way is told', async () => {
  setMode('CrossSubnet')
  await waysAre('eth0', 'tunnel')
  const server = startStream(net, 'p3', 'listen', podOf('p3').ipv4, '5400')
  await until('the server listens', () => server.log().includes('listening'), patient(3_000))
  const client = startStream(net, 'p1', 'keep', podOf('p3').ipv4, '5400')
  await moves(client, 'through the tunnel')
  fs.writeFileSync(path.join(folder, 'bird.conf'), BIRD)
  const bird = startProgram(net, 'router', 'bird', ['-f', '-c', path.join(folder, 'bird.conf'), '-s', path.join(folder, 'bird.ctl')])
  writePeers(0)
  const isTold = async (): Promise<boolean> => {
    const { problems } = await status('n1')
    if (problems.some(({ message }) => message.includes('allowLocalAS: 1'))) return true
    throw new Error(JSON.stringify(problems))
  }
  await until('routes lost to our own AS number are a condition', isTold, { ...patient(6_000), explain: () => `${bird.log()}\n${logs()}` })
  await moves(client, 'still through the tunnel')
  expect(await deviceTo('n1', podOf('p3').ipv4)).toBe('fibipip')
  writePeers(1)
  const isPlain = async (): Promise<boolean> =>
    (await deviceTo('n1', podOf('p3').ipv4)) === 'eth0' && (await deviceTo('n3', podOf('p1').ipv4)) === 'eth0'
  await until('the plain path wins', isPlain, { ...patient(6_000), explain: () => `${bird.log()}\n${logs()}` })
  await moves(client, 'plain')
  await bird.end('SIGKILL')
  const isTunnelled = async (): Promise<boolean> =>
    (await deviceTo('n1', podOf('p3').ipv4)) === 'fibipip' && (await deviceTo('n3', podOf('p1').ipv4)) === 'fibipip'
  await until('the tunnel takes over', isTunnelled, { ...patient(6_000), explain: logs })
  await moves(client, 'through the tunnel again')
  expect(client.log()).not.toContain('broken')
  for (const process of [client, server]) await process.end('SIGKILL')
}, 900_000)
