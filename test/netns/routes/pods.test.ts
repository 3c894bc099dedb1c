// Routes to pods, the MTU for them, and tunnels on a kernel that lacks the module: with the real kernel, read back by `ip`.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { systemClock } from '../../../src/lib/clock.ts'
import { exec } from '../../../src/lib/exec.ts'
import { type Log, silentLog } from '../../../src/lib/log.ts'
import { formatIp, type HostNetwork, ip } from '../../../src/net/index.ts'
import { KernelRoutes, NO_LOCAL_ROUTES, type PodRoute } from '../../../src/routes/index.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { holds, until } from '../../support/poll.ts'

const SOURCES = { ...NO_LOCAL_ROUTES, preferredSource: { ipv4: ip('10.0.0.1'), ipv6: ip('fd00::1') } }
const NONE = { ipv4: null, ipv6: null }

let net: Netns
let routes: KernelRoutes
let told: HostNetwork[] = []
let mtus: number[] = []
let complaints: string[] = []

const log: Log = {
  ...silentLog,
  warn: (event) => void complaints.push(event),
  error: (event) => void complaints.push(event),
}

function open(): KernelRoutes {
  return net.run(
    'host',
    () =>
      new KernelRoutes({
        log,
        clock: systemClock,
        onHostNetwork: (network) => told.push(network),
        onPodMtu: (mtu) => mtus.push(mtu),
      }),
  )
}

beforeEach(async () => {
  told = []
  mtus = []
  complaints = []
  net = await buildNetns('pods', {
    nodes: ['host', 'pod'],
    stubs: [{ node: 'host', name: 'eth0', addresses: ['10.0.0.1/24', 'fd00::1/64'] }],
  })
  routes = open()
  routes.syncer.setLocal(SOURCES)
})

afterEach(async () => {
  await routes[Symbol.asyncDispose]()
  await net[Symbol.asyncDispose]()
})

/** Addresses are large integers, which JSON does not have. */
const plain = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value)

const podOf = (n: number): string => `fib${n.toString(16).padStart(11, '0')}`
const routesOf = (n: number): readonly PodRoute[] => [
  { address: ip(`10.244.${n >> 8}.${n & 255}`), interface: podOf(n) },
  { address: ip(`fd44::${n.toString(16)}`), interface: podOf(n) },
]

async function plug(...numbers: readonly number[]): Promise<void> {
  await net.ipBatch(
    'host',
    numbers.flatMap((n) => [`link add ${podOf(n)} type veth peer name p${n} netns ${net.nameOf('pod')}`, `link set ${podOf(n)} up`]),
  )
  await net.ipBatch(
    'pod',
    numbers.map((n) => `link set p${n} up`),
  )
}

/** Ours, one line each. */
async function shown(): Promise<readonly string[]> {
  const lists = await Promise.all([4, 6].map((family) => net.exec('host', 'ip', [`-${family}`, '-o', 'route', 'show', 'proto', '179'])))
  return lists
    .flatMap(({ stdout }) => stdout.split('\n').map((line) => line.replaceAll(/\s+/g, ' ').replace(' pref medium', '').trim()))
    .filter((line) => line !== '')
}

const line = (n: number): readonly string[] =>
  routesOf(n).map(
    ({ address }, at) => `${formatIp(address)} dev ${podOf(n)} ${at === 0 ? 'scope link src 10.0.0.1 ' : 'src fd00::1 '}metric 179`,
  )

describe('routes to pods', () => {
  test('are there when ensurePods returns, right after the link was made and though nothing was said before', async () => {
    await plug(1)
    expect(routes.syncer.ensurePods(routesOf(1))).toEqual({ ok: true, value: undefined })
    expect(await shown()).toEqual(line(1))
  })

  test('go with their interface: nothing is left, nothing is complained of, nobody hears of it', async () => {
    await plug(1, 2, 3)
    for (const n of [1, 2, 3]) routes.syncer.ensurePods(routesOf(n))
    routes.syncer.allowSweep()
    await until(
      'the host is told of as it is',
      () => JSON.stringify(told.at(-1), plain) === JSON.stringify(routes.syncer.hostNetwork(), plain),
    )
    const before = told.length
    await net.ip('host', `link del ${podOf(2)}`)
    await net.ip('pod', 'link del p3')
    routes.syncer.setPods(routesOf(1))
    expect(await shown()).toEqual(line(1))
    await holds('it stays so', 700, async () => (await shown()).length === 2)
    expect(complaints).toEqual([])
    expect(told).toHaveLength(before)
    expect(routes.problems()).toEqual([])
  })

  test('whose interface is lost are blackholes until the pod is made again or dropped', async () => {
    await plug(1)
    routes.syncer.ensurePods(routesOf(1))
    await net.ip('host', `link del ${podOf(1)}`)
    await until('both are blackholes', async () => (await shown()).filter((each) => each.startsWith('blackhole')).length === 2)
    await plug(1)
    await until('both lead to the new link', async () => JSON.stringify(await shown()) === JSON.stringify(line(1)))
    routes.syncer.dropPods(routesOf(1))
    expect(await shown()).toEqual([])
    expect(complaints).toEqual([])
  })

  test('survive a restart untouched, until every pod has been named', async () => {
    await plug(1, 2)
    for (const n of [1, 2]) routes.syncer.ensurePods(routesOf(n))
    const before = await shown()
    await routes[Symbol.asyncDispose]()
    routes = open()
    routes.syncer.setLocal(SOURCES)
    routes.syncer.allowSweep()
    expect(await shown()).toEqual(before)
    routes.syncer.setPods(routesOf(2))
    expect(await shown()).toEqual(line(2))
  })

  test('of five hundred pods do not make the next one slower', async () => {
    const many = Array.from({ length: 500 }, (_, n) => n + 10)
    await plug(1, ...many)
    const timeOf = (n: number): number => {
      const from = performance.now()
      expect(routes.syncer.ensurePods(routesOf(n)).ok).toBe(true)
      return performance.now() - from
    }
    const first = [timeOf(1)]
    for (const n of many) first.push(timeOf(n))
    const median = (times: readonly number[]): number => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0
    process.stderr.write(
      `ensurePods: median of the first 50 ${median(first.slice(0, 50)).toFixed(2)} ms, of the last 50 ${median(first.slice(-50)).toFixed(2)} ms\n`,
    )
    expect(await shown()).toHaveLength(1002)
  }, 600_000)
})

describe('the MTU for pods', () => {
  test('is known when the constructor returns, and no news before', async () => {
    await routes[Symbol.asyncDispose]()
    await net.ipBatch('host', ['link set eth0 mtu 4000', 'route add default via 10.0.0.254'])
    mtus = []
    routes = open()
    expect(routes.podMtu()).toBe(4000)
    expect(mtus).toEqual([])
  })

  test('is that of the interface with the default route or the node address, whatever it is called, and follows it', async () => {
    await net.ipBatch('host', [
      'link set eth0 mtu 8950',
      'link add docker0 type bridge',
      'link set docker0 up mtu 1400',
      'address add 172.17.0.1/16 dev docker0',
    ])
    await until('8950', () => routes.podMtu() === 8950)
    await net.ipBatch('host', [
      'link add link eth0 name zap7 type macvlan mode bridge',
      'link set zap7 mtu 8000 up',
      'address add 10.9.0.1/24 dev zap7',
    ])
    await holds('an interface that leads nowhere does not count', 200, () => routes.podMtu() === 8950)
    await net.ip('host', 'route add default via 10.9.0.254 dev zap7')
    await until('8000', () => routes.podMtu() === 8000)
    routes.setPeers([{ address: ip('172.17.0.9'), interface: null }])
    expect(routes.podMtu()).toBe(1400)
    await net.ip('host', 'link set docker0 down')
    await until('a link that is down does not count', () => routes.podMtu() === 8000)
    expect(mtus).toEqual([8950, 8000, 1400, 8000])
  })

  test('is less where packets may be encapsulated, though the tunnel cannot be made', async () => {
    expect(routes.podMtu()).toBe(1500)
    routes.setTunnels({ ...NONE, ipv4: { local: ip('10.0.0.1') } })
    expect(routes.podMtu()).toBe(1480)
    routes.setTunnels({ ipv4: { local: ip('10.0.0.1') }, ipv6: { local: ip('fd00::1') } })
    expect(routes.podMtu()).toBe(1460)
    routes.setTunnels(NONE)
    expect(mtus).toEqual([1480, 1460, 1500])
  })
})

/** What `ip` says of making such a device here; null: it can be made. */
async function lacks(kind: string): Promise<string | null> {
  return await exec('ip', ['-n', net.nameOf('pod'), 'link', 'add', 'probe', 'type', kind]).then(
    () => null,
    (cause: Error) => cause.message,
  )
}

test('a kernel that lacks the module: one problem that says what to do, one line in the log, and routes as ever', async () => {
  if ((await lacks('ipip')) === null) {
    console.warn('SKIPPED: this kernel has the module ipip; the unit tier tests its absence, the uml tier its presence')
    return
  }
  routes.setTunnels({ ...NONE, ipv4: { local: ip('10.0.0.1') } })
  for (let round = 0; round < 3; round++) {
    await net.ip('host', `address add 10.7.${round}.1/24 dev eth0`)
    await until('the address is seen', () =>
      routes.syncer.hostNetwork().localAddresses.some(({ address }) => address === ip(`10.7.${round}.1`)),
    )
  }
  expect(complaints).toEqual(['routes.tunnel.failed'])
  expect(routes.problems()).toEqual([
    {
      severity: 'error',
      subject: 'tunnel/fibipip',
      message: expect.stringContaining('kernel module ipip is missing; run "modprobe ipip" on the host'),
    },
  ])
  await plug(1)
  expect(routes.syncer.ensurePods(routesOf(1)).ok).toBe(true)
  routes.setTunnels(NONE)
  expect(routes.problems()).toEqual([])
})
