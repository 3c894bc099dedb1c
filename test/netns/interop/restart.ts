// Graceful restart under traffic: a pod behind a node, a host behind the ToR, 100 numbered probes a second each way and in each IP
// family, while one of the two BGP processes is killed and started again. The kernels forward; BGP has to keep them from being told
// otherwise (RFC 4724). Each family has a session of its own, over that family.
import { expect, test } from '@jest/globals'
import { addressIn, Capture, gracefulRestartOf, type MessageSeen, type OpenSeen } from '../../support/capture.ts'
import { type Daemon, type DaemonConfig, type DaemonDriver, daemonConfig, peerConfig } from '../../support/daemons/index.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { holds, until } from '../../support/poll.ts'
import { type ProbeResult, Prober } from '../../support/prober.ts'
import { describeWith } from '../../support/tier.ts'

const NODE = { addresses: ['10.0.0.1', 'fd00::1'], prefixes: ['10.1.0.0/24', 'fd01::/64'] } as const
const TOR = { addresses: ['10.0.0.2', 'fd00::2'], prefixes: ['10.2.0.0/24', 'fd02::/64'] } as const
type End = typeof NODE | typeof TOR
type FamilyIndex = 0 | 1
const [IPV4, IPV6] = [0, 1] as const
/** Pod and host, in each family. */
const ENDS = [
  ['10.1.0.2', '10.2.0.2'],
  ['fd01::2', 'fd02::2'],
] as const

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

function configOf(own: End, other: End, isGraceful: boolean, families: readonly FamilyIndex[], passive: boolean): DaemonConfig {
  const [ipv4, ipv6] = own.addresses
  const asnOf = (end: End): number => (end === NODE ? 65_001 : 65_002)
  return daemonConfig({
    asn: asnOf(own),
    routerId: ipv4,
    addresses: { ipv4, ipv6 },
    kernelRoutes: true,
    passOn: own === TOR,
    announce: families.map((family) => ({ prefix: own.prefixes[family], med: 1 })),
    peers: families.map((family) =>
      peerConfig({
        address: other.addresses[family],
        localAddress: own.addresses[family],
        asn: asnOf(other),
        families: [family === IPV4 ? 'IPv4Unicast' : 'IPv6Unicast'],
        gracefulRestart: isGraceful ? { restartTimeSeconds: 240 } : null, // a busy machine takes its time to start a daemon
        passive,
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

/** Which of the two ends, and whether it is killed or may say goodbye. */
export type Fault = { readonly victim: 'node' | 'tor'; readonly how: 'kill' | 'stop' }

/** Ends a BGP process under traffic, starts it again and waits until both kernels and tables are whole. */
export async function restartUnderTraffic(
  nodeDriver: DaemonDriver,
  torDriver: DaemonDriver,
  { victim, how }: Fault,
  isGraceful: boolean,
  families: readonly FamilyIndex[] = [IPV4, IPV6],
): Promise<Restarted> {
  await using net = await buildRack()
  // who dials a bgpd that has only just started is answered before it can resolve next hops, and then FRR 8.4 takes its own routes out
  // of its own kernel for 50 ms at the End-of-RIB: so here it is FRR that dials, when it is ready
  const frrRestarts = victim === 'tor' && torDriver.name === 'frr'
  await using capture = await Capture.start(net, 'tor', 'eth0')
  await using tor = await torDriver.start(net, 'tor', configOf(TOR, NODE, isGraceful, families, false))
  await using node = await nodeDriver.start(net, 'node', configOf(NODE, TOR, isGraceful, families, frrRestarts))
  const [killed, survivor, killedEnd] = victim === 'node' ? [node, tor, NODE] : [tor, node, TOR]
  const explain = (): string => `--- ${tor.name}\n${tor.log()}\n--- ${node.name}\n${node.log()}`
  await settled(net, node, tor, families, explain)

  await using probers = new AsyncDisposableStack()
  const running: Prober[] = []
  for (const family of families) {
    const [pod, host] = ENDS[family]
    running.push(probers.use(await Prober.start(net, { node: 'pod', address: pod }, { node: 'host', address: host })))
  }
  const killedAtMs = Date.now()
  const closings = (): readonly (number | null)[] => {
    const packets = capture.packets().filter((packet) => packet.atMs > killedAtMs && (packet.fin || packet.rst))
    const of = (family: FamilyIndex): string => longForm(killedEnd.addresses[family])
    return families.map((family) => packets.find((packet) => addressIn(packet.from) === of(family))?.atMs ?? null)
  }
  await killed[how]()
  await until('the connections are closed', () => closings().every((each) => each !== null), { explain })
  for (const family of families)
    await until('the survivor has noticed', async () => !(await survivor.established(killedEnd.addresses[family])), { explain })
  if (!isGraceful) {
    // by the clock alone a quick daemon could be back, or a slow prober could send nothing, before there was anything to lose
    const where = victim === 'node' ? 'tor' : 'node'
    await until('the survivor has taken the routes out', async () => (await routesTo(net, where, killedEnd, families)).length === 0, {
      explain,
    })
    for (const prober of running) await prober.sendMore(20)
  }
  await killed.restart()
  const opens = () => families.map((family) => capture.opensFrom(longForm(killedEnd.addresses[family])))
  const since = (all: readonly TimedOpen[]) => all.filter((each) => each.atMs > killedAtMs)
  await until('new OPENs', () => opens().every((each) => since(each).length > 0), { explain })
  await settled(net, node, tor, families, explain)
  if (isGraceful)
    await until('End-of-RIB both ways', () => endsOfRib(capture.messages(), killedAtMs) >= 2 * families.length, {
      explain,
    })
  await holds('what comes after End-of-RIB is watched too', 1_000, () => true)
  const probes: ProbeResult[] = []
  for (const prober of running) probes.push(...(await prober.finish()))
  return {
    probes,
    sessions: opens().map((each, at) => ({
      before: each.filter((open) => open.atMs <= killedAtMs),
      after: since(each),
      closedAtMs: closings()[at] ?? null,
    })),
  }
}

/** Ends of RIB since then: an empty UPDATE, or one with nothing but an empty MP_UNREACH_NLRI (RFC 4724 §2). */
function endsOfRib(messages: readonly MessageSeen[], sinceMs: number): number {
  const isEndOfRib = ({ type, body }: MessageSeen): boolean =>
    type === 2 && (body.equals(Buffer.alloc(4)) || (body.length === 10 && body[5] === 15) || (body.length === 11 && body[5] === 15))
  return messages.filter((each) => each.atMs > sinceMs && isEndOfRib(each)).length
}

/** An address as the capture writes it. */
function longForm(address: string): string {
  return address.replace('::', ':0:0:0:0:0:0:')
}

/** Both Established, each with the other's routes, and both kernels with them. */
async function settled(net: Netns, node: Daemon, tor: Daemon, families: readonly FamilyIndex[], explain: () => string): Promise<void> {
  const holds = async (daemon: Daemon, { addresses, prefixes }: End): Promise<boolean> => {
    for (const family of families) {
      if (!(await daemon.established(addresses[family]))) return false
      if (!(await daemon.received(addresses[family])).some((each) => each.prefix === prefixes[family])) return false
    }
    return true
  }
  const installed = async (where: string, end: End): Promise<boolean> =>
    (await routesTo(net, where, end, families)).length === families.length
  await until(
    'both tables and both kernels are whole',
    async () => (await holds(node, TOR)) && (await holds(tor, NODE)) && (await installed('node', TOR)) && (await installed('tor', NODE)),
    { explain },
  )
}

/** Those of an end's prefixes that a kernel has a route to. */
async function routesTo(net: Netns, where: string, { prefixes }: End, families: readonly FamilyIndex[]): Promise<readonly string[]> {
  const text = (await net.ip(where, 'route show')) + (await net.ip(where, '-6 route show'))
  return families.map((family) => prefixes[family]).filter((prefix) => text.includes(`${prefix} `))
}

type Case = { readonly name: string; readonly fault: Fault; readonly families: readonly FamilyIndex[] }

/** Who restarts, and how. */
function casesOf(nodeDriver: DaemonDriver, torDriver: DaemonDriver, victims: readonly ('node' | 'tor')[]): readonly Case[] {
  const node: readonly Case[] = [
    { name: `${nodeDriver.name} killed`, fault: { victim: 'node', how: 'kill' }, families: [IPV4, IPV6] },
    // a service manager, or the kubelet that upgrades the agent
    { name: `${nodeDriver.name} told to end`, fault: { victim: 'node', how: 'stop' }, families: [IPV4, IPV6] },
  ]
  const tor = (families: readonly FamilyIndex[], of: string): Case => ({
    name: `${torDriver.name} killed${of}, ${nodeDriver.name} helps`,
    fault: { victim: 'tor', how: 'kill' },
    families,
  })
  // FRR 8.4 confuses the families when it comes back: each gets a run of its own
  const tors = torDriver.name === 'frr' ? [tor([IPV4], ' (IPv4)'), tor([IPV6], ' (IPv6)')] : [tor([IPV4, IPV6], '')]
  // BIRD says goodbye when it is told to end
  const nodes = node.filter(({ fault }) => fault.how === 'kill' || nodeDriver.name === 'fibula')
  return [...(victims.includes('node') ? nodes : []), ...(victims.includes('tor') ? tors : [])]
}

/** Tests of a node with a ToR: each of them restarts, gracefully without a loss, and not so with losses. */
export function restartTests(
  nodeDriver: DaemonDriver,
  torDriver: DaemonDriver,
  victims: readonly ('node' | 'tor')[] = ['node', 'tor'],
): void {
  const programs = [...nodeDriver.programs, ...torDriver.programs, 'tcpdump']
  describeWith(programs, `graceful restart: ${nodeDriver.name} behind a ToR of ${torDriver.name}`, () => {
    for (const { name, fault, families } of casesOf(nodeDriver, torDriver, victims)) {
      test(`${name}: the session closed and came back with R and F bits, and not one probe of 100 a second was lost (RFC 4724 §4) [rules 141, 145, 149, 151]`, async () => {
        const { probes, sessions } = await restartUnderTraffic(nodeDriver, torDriver, fault, true, families)
        const isFrr = fault.victim === 'tor' && torDriver.name === 'frr'
        for (const [at, { before, after, closedAtMs }] of sessions.entries()) {
          // FRR 8.4 says for two minutes after every start that it restarts: only the others can be held to a cold start
          expect(new Set(before.map((open) => gracefulRestartOf(open)?.restarting))).toEqual(new Set([isFrr]))
          const again = after.at(-1)
          expect(again?.atMs).toBeGreaterThan(closedAtMs ?? Number.POSITIVE_INFINITY)
          expect(again === undefined ? null : gracefulRestartOf(again)).toMatchObject({
            restarting: true,
            families: expect.arrayContaining([{ afi: families[at] === IPV4 ? 1 : 2, safi: 1, forwardingPreserved: true }]),
          })
          assertProbedThroughout(probes, closedAtMs, again?.atMs)
        }
        // FRR 8.4 itself takes its IPv6 routes out of its kernel for 50 ms at the End-of-RIB, whoever helps: what it forwards with
        // them, from host to pod, says nothing about us
        const judged = isFrr && families.includes(IPV6) ? probes.slice(0, 1) : probes
        for (const probe of judged) expect(probe).toMatchObject({ lost: 0, gaps: [], sendErrors: {} })
      })

      if (fault.how === 'kill')
        test(`${name}, without graceful restart: probes are lost, so the test above can fail`, async () => {
          const { probes, sessions } = await restartUnderTraffic(nodeDriver, torDriver, fault, false, families)
          for (const { before, after } of sessions)
            expect([...before, ...after].map(gracefulRestartOf).filter((each) => each !== null && each.families.length > 0)).toEqual([])
          for (const family of families.keys()) {
            const ofFamily = probes.slice(2 * family, 2 * family + 2)
            expect(ofFamily.reduce((sum, each) => sum + each.lost, 0)).toBeGreaterThan(0)
          }
        })
    }
  })
}

/** Probes went out at 100 a second, without a pause in which a loss could hide, from before the fault until after it. */
function assertProbedThroughout(probes: readonly ProbeResult[], closedAtMs: number | null, backAtMs: number | undefined): void {
  expect(closedAtMs).not.toBe(null)
  const faultMs = (backAtMs ?? 0) - (closedAtMs ?? 0)
  for (const probe of probes) expect(probe.sent).toBeGreaterThan(Math.floor(faultMs / 10))
}
