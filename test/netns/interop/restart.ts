// Graceful restart under traffic: a pod behind a node, a host behind the ToR, 100 numbered probes a second each way and in each IP
// family, while one of the two BGP processes is killed and started again. The kernels forward; BGP has to keep them from being told
// otherwise (RFC 4724). Each family has a session of its own, over that family: FRR 8.4 takes an IPv6 route out of the kernel for 50 ms
// when it restarts and learns it over IPv4, because then it does not know the next hop yet.
import { expect, test } from '@jest/globals'
import { addressIn, Capture, gracefulRestartOf, type OpenSeen } from '../../support/capture.ts'
import { type Daemon, type DaemonConfig, type DaemonDriver, daemonConfig, peerConfig } from '../../support/daemons/index.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { until } from '../../support/poll.ts'
import { type ProbeResult, Prober } from '../../support/prober.ts'
import { describeWith } from '../../support/tier.ts'

const NODE = { addresses: ['10.0.0.1', 'fd00::1'], prefixes: ['10.1.0.0/24', 'fd01::/64'] } as const
const TOR = { addresses: ['10.0.0.2', 'fd00::2'], prefixes: ['10.2.0.0/24', 'fd02::/64'] } as const
type End = typeof NODE | typeof TOR

/** pod - node - tor - host */
async function buildRack(): Promise<Netns> {
  const end = (node: string, name: string, net: number, last: number) => ({
    node,
    name,
    addresses: [`10.${net}.0.${last}/24`, `fd0${net}::${last}/64`],
  })
  const net = await buildNetns('rack', {
    nodes: ['pod', 'node', 'tor', 'host'],
    links: [
      [end('pod', 'eth0', 1, 2), end('node', 'pods', 1, 1)],
      [end('node', 'eth0', 0, 1), end('tor', 'eth0', 0, 2)],
      [end('tor', 'hosts', 2, 1), end('host', 'eth0', 2, 2)],
    ],
  })
  for (const router of ['node', 'tor']) await net.exec(router, 'sysctl', ['-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'])
  await net.ipBatch('pod', ['route add default via 10.1.0.1', 'route add default via fd01::1'])
  await net.ipBatch('host', ['route add default via 10.2.0.1', 'route add default via fd02::1'])
  return net
}

function configOf(own: End, other: End, isGraceful: boolean): DaemonConfig {
  const [ipv4, ipv6] = own.addresses
  const asnOf = (end: End): number => (end === NODE ? 65_001 : 65_002)
  return daemonConfig({
    asn: asnOf(own),
    routerId: ipv4,
    addresses: { ipv4, ipv6 },
    kernelRoutes: true,
    passOn: own === TOR,
    announce: own.prefixes.map((prefix) => ({ prefix, med: 1 })),
    peers: [0, 1].map((at) =>
      peerConfig({
        address: other.addresses[at] ?? '',
        localAddress: own.addresses[at] ?? '',
        asn: asnOf(other),
        families: [at === 0 ? 'IPv4Unicast' : 'IPv6Unicast'],
        gracefulRestart: isGraceful ? { restartTimeSeconds: 60 } : null,
      }),
    ),
  })
}

type TimedOpen = OpenSeen & { readonly atMs: number }

export type Restarted = {
  /** Pod to host and back, IPv4 and IPv6. */
  readonly probes: readonly ProbeResult[]
  /** What the one that was killed sent, on the session over IPv4 and on that over IPv6. */
  readonly sessions: readonly {
    /** Its OPENs before it was killed, and since. */
    readonly before: readonly TimedOpen[]
    readonly after: readonly TimedOpen[]
    /** When its end of the connection was closed (FIN or RST), or null if it never was. */
    readonly closedAtMs: number | null
  }[]
}

/** Kills the BGP process of `victim` under traffic, starts it again and waits until both kernels and tables are whole. */
export async function killUnderTraffic(
  nodeDriver: DaemonDriver,
  torDriver: DaemonDriver,
  victim: 'node' | 'tor',
  isGraceful: boolean,
): Promise<Restarted> {
  await using net = await buildRack()
  await using capture = await Capture.start(net, 'tor', 'eth0')
  await using tor = await torDriver.start(net, 'tor', configOf(TOR, NODE, isGraceful))
  await using node = await nodeDriver.start(net, 'node', configOf(NODE, TOR, isGraceful))
  const [killed, survivor, killedEnd] = victim === 'node' ? [node, tor, NODE] : [tor, node, TOR]
  const explain = (): string => `--- ${tor.name}\n${tor.log()}\n--- ${node.name}\n${node.log()}`
  await settled(net, node, tor, explain)

  await using ipv4 = await Prober.start(net, { node: 'pod', address: '10.1.0.2' }, { node: 'host', address: '10.2.0.2' })
  await using ipv6 = await Prober.start(net, { node: 'pod', address: 'fd01::2' }, { node: 'host', address: 'fd02::2' })
  const killedAtMs = Date.now()
  const closings = (): readonly (number | null)[] => {
    const packets = capture.packets().filter((packet) => packet.atMs > killedAtMs && (packet.fin || packet.rst))
    return killedEnd.addresses.map((address) => packets.find((packet) => addressIn(packet.from) === longForm(address))?.atMs ?? null)
  }
  await killed.kill()
  await until('both connections are closed', () => closings().every((each) => each !== null), { explain })
  for (const peer of killedEnd.addresses)
    await until('the survivor has noticed', async () => !(await survivor.established(peer)), { explain })
  await killed.restart()
  const opens = () => killedEnd.addresses.map((address) => capture.opensFrom(longForm(address)))
  const since = (all: readonly TimedOpen[]) => all.filter((each) => each.atMs > killedAtMs)
  await until('a new OPEN on both sessions', () => opens().every((each) => since(each).length > 0), { explain, deadlineMs: 20_000 })
  await settled(net, node, tor, explain)
  const probes = [...(await ipv4.finish()), ...(await ipv6.finish())]
  return {
    probes,
    sessions: opens().map((each, at) => ({
      before: each.filter((open) => open.atMs <= killedAtMs),
      after: since(each),
      closedAtMs: closings()[at] ?? null,
    })),
  }
}

/** An address as the capture writes it. */
function longForm(address: string): string {
  return address.replace('::', ':0:0:0:0:0:0:')
}

/** Both Established, each with the other's routes, and both kernels with them. */
async function settled(net: Netns, node: Daemon, tor: Daemon, explain: () => string): Promise<void> {
  const holds = async (daemon: Daemon, { addresses, prefixes }: End): Promise<boolean> => {
    for (const [at, peer] of addresses.entries()) {
      if (!(await daemon.established(peer))) return false
      if (!(await daemon.received(peer)).some((each) => each.prefix === prefixes[at])) return false
    }
    return true
  }
  const installed = async (where: string, prefixes: readonly string[]): Promise<boolean> => {
    const text = (await net.ip(where, 'route show')) + (await net.ip(where, '-6 route show'))
    return prefixes.every((prefix) => text.includes(`${prefix} `))
  }
  await until(
    'both tables and both kernels are whole',
    async () =>
      (await holds(node, TOR)) &&
      (await holds(tor, NODE)) &&
      (await installed('node', TOR.prefixes)) &&
      (await installed('tor', NODE.prefixes)),
    { deadlineMs: 30_000, explain },
  )
}

/** Tests of a node with a ToR: each of them restarts, gracefully without a loss, and not so with losses. */
export function restartTests(
  nodeDriver: DaemonDriver,
  torDriver: DaemonDriver,
  victims: readonly ('node' | 'tor')[] = ['node', 'tor'],
): void {
  const programs = [...nodeDriver.programs, ...torDriver.programs, 'tcpdump']
  describeWith(programs, `graceful restart: ${nodeDriver.name} behind a ToR of ${torDriver.name}`, () => {
    for (const victim of victims) {
      const who = victim === 'node' ? `${nodeDriver.name} killed` : `${torDriver.name} killed, ${nodeDriver.name} helps`

      test(`${who}: the session closed and came back with R and F bits, and not one probe of 100 a second was lost (RFC 4724 §4) [rules 141, 145, 149, 151]`, async () => {
        const { probes, sessions } = await killUnderTraffic(nodeDriver, torDriver, victim, true)
        for (const [at, { before, after, closedAtMs }] of sessions.entries()) {
          // FRR 8.4 says for two minutes after every start that it restarts: only the others can be held to a cold start
          const isFrr = victim === 'tor' && torDriver.name === 'frr'
          expect(new Set(before.map((open) => gracefulRestartOf(open)?.restarting))).toEqual(new Set([isFrr]))
          const again = after.at(-1)
          expect(again?.atMs).toBeGreaterThan(closedAtMs ?? Number.POSITIVE_INFINITY)
          expect(again === undefined ? null : gracefulRestartOf(again)).toMatchObject({
            restarting: true,
            families: expect.arrayContaining([{ afi: at + 1, safi: 1, forwardingPreserved: true }]),
          })
          assertProbedThroughout(probes, closedAtMs, again?.atMs)
        }
        for (const probe of probes) expect(probe).toMatchObject({ lost: 0, gaps: [], sendErrors: {} })
      }, 60_000)

      test(`${who}, without graceful restart: probes are lost, so the test above can fail`, async () => {
        const { probes, sessions } = await killUnderTraffic(nodeDriver, torDriver, victim, false)
        for (const { before, after } of sessions)
          expect([...before, ...after].map(gracefulRestartOf).filter((each) => each !== null && each.families.length > 0)).toEqual([])
        for (const family of [probes.slice(0, 2), probes.slice(2)])
          expect(family.reduce((sum, each) => sum + each.lost, 0)).toBeGreaterThan(0)
      }, 60_000)
    }
  })
}

/** Probes went out at 100 a second, without a pause in which a loss could hide, from before the fault until after it. */
function assertProbedThroughout(probes: readonly ProbeResult[], closedAtMs: number | null, backAtMs: number | undefined): void {
  expect(closedAtMs).not.toBe(null)
  const faultMs = (backAtMs ?? 0) - (closedAtMs ?? 0)
  for (const probe of probes) expect(probe.sent).toBeGreaterThan(Math.floor(faultMs / 10))
}
