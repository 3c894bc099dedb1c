// Records what real daemons put on the wire into test/fixtures/bgp/DAEMON.json. Run as root, when a daemon is to be added or a
// session to be recorded anew: `scripts/node test/bgp/wire/record-golden.ts [DAEMON…]`. The octets come from the daemon, the
// routes from its configuration; only `text` and `exact` are ours, to be read before they are committed.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Family } from '../../../src/bgp/family.ts'
import { exec } from '../../../src/lib/exec.ts'
import { hex, type RawOpen, u16, u32 } from '../../support/bgp-bytes.ts'
import { type Announcement, DAEMONS, type DaemonDriver, daemonConfig, peerConfig } from '../../support/daemons/index.ts'
import { BGP_TYPE, HostilePeer } from '../../support/hostile-peer.ts'
import { buildNetns } from '../../support/netns.ts'
import { type GoldenContext, type GoldenFile, type GoldenSession, isExact, octets, textOf } from './golden.ts'

const DAEMON_ASN = 65001
const FOREIGN = 4_200_000_123

type Scenario = {
  readonly name: string
  readonly isInternal?: boolean
  readonly isTwoOctet?: boolean
  readonly addPath?: boolean
  readonly gracefulRestart?: boolean
  readonly role?: boolean
  readonly extendedNextHop?: boolean
  readonly extendedMessage?: boolean
  readonly foreignAsPath?: boolean
}

const SCENARIOS: readonly Scenario[] = [
  { name: 'eBGP with four-octet AS numbers', gracefulRestart: true, role: true, extendedMessage: true, foreignAsPath: true },
  { name: 'eBGP with two-octet AS numbers', isTwoOctet: true, foreignAsPath: true },
  { name: 'iBGP', isInternal: true, foreignAsPath: true },
  { name: 'eBGP with add-path', addPath: true },
  { name: 'eBGP with extended next hop', extendedNextHop: true },
]

function announcements(scenario: Scenario, canPrepend: boolean): readonly Announcement[] {
  const behind = scenario.foreignAsPath === true && canPrepend ? { behind: [64_999, FOREIGN] } : {}
  const local = scenario.isInternal === true ? { localPref: 250 } : {}
  return [
    { prefix: '198.51.100.0/24' },
    { prefix: '203.0.113.128/25', med: 77, communities: ['65001:7', '65001:8'], ...behind, ...local },
    { prefix: '10.20.0.0/15', largeCommunities: ['65001:2:3'], extendedCommunities: ['rt:65001:9'] },
    { prefix: '2001:db8:1::/48' },
    { prefix: '2001:db8:2:3::/64', med: 78, communities: ['65001:9'], largeCommunities: ['65001:4:5'], ...behind, ...local },
  ]
}

function ourOpen(scenario: Scenario, asn: number): RawOpen {
  const capabilities: (readonly [number, Buffer])[] = [
    [1, hex('00010001')],
    [1, hex('00020001')],
    [2, Buffer.alloc(0)],
    [70, Buffer.alloc(0)],
  ]
  if (scenario.isTwoOctet !== true) capabilities.push([65, u32(asn)])
  if (scenario.addPath === true) capabilities.push([69, hex('00010103 00020103')])
  if (scenario.extendedNextHop === true) capabilities.push([5, hex('0001 0001 0002')])
  if (scenario.extendedMessage === true) capabilities.push([6, Buffer.alloc(0)])
  if (scenario.gracefulRestart === true) capabilities.push([64, Buffer.concat([u16(120), hex('00010180 00020180')])])
  if (scenario.role === true) capabilities.push([9, hex('00')])
  return { asn, holdTimeSeconds: 90, routerId: '10.9.0.2', capabilities }
}

const HOSTNAME = Buffer.from(os.hostname()).toString('hex')

/** The whole message; the name of this machine (some send it as a capability) is blotted out, octet for octet. */
function hexOf(type: number, body: Buffer): string {
  const message = Buffer.concat([Buffer.alloc(16, 255), u16(19 + body.length), Buffer.of(type), body])
  return type === BGP_TYPE.OPEN ? message.toString('hex').replaceAll(HOSTNAME, '72'.repeat(HOSTNAME.length / 2)) : message.toString('hex')
}

async function record(driver: DaemonDriver, scenario: Scenario): Promise<GoldenSession | null> {
  const has = driver.supports.has.bind(driver.supports)
  if (scenario.addPath === true && !has('addPathSend')) return null
  if (scenario.extendedNextHop === true && !has('extendedNextHop')) return null
  const asn = scenario.isInternal === true ? DAEMON_ASN : 65_002
  await using net = await buildNetns('golden', {
    nodes: ['d', 't'],
    links: [
      [
        { node: 'd', name: 'eth0', addresses: ['10.9.0.1/24', 'fd09::1/64'] },
        { node: 't', name: 'eth0', addresses: ['10.9.0.2/24', 'fd09::2/64'] },
      ],
    ],
  })
  // Some daemons offer an IPv6 next hop for IPv4 only on an IPv6 session.
  const [local, remote] = scenario.extendedNextHop === true ? ['fd09::1', 'fd09::2'] : ['10.9.0.1', '10.9.0.2']
  const canPrepend = has('foreignAsPath')
  const announced = announcements(scenario, canPrepend)
  await using daemon = await driver.start(
    net,
    'd',
    daemonConfig({
      asn: DAEMON_ASN,
      routerId: '10.9.0.1',
      addresses: { ipv4: '10.9.0.1', ipv6: 'fd09::1' },
      announce: announced,
      peers: [
        peerConfig({
          address: remote,
          localAddress: local,
          asn,
          passive: true,
          addPath: { send: scenario.addPath === true, receive: scenario.addPath === true && has('addPathReceive') },
          gracefulRestart: scenario.gracefulRestart === true && has('gracefulRestart') ? { restartTimeSeconds: 120 } : null,
          role: scenario.role === true && has('role') ? 'Customer' : null,
          extendedNextHop: scenario.extendedNextHop === true,
          extendedMessage: scenario.extendedMessage === true && has('extendedMessage'),
        }),
      ],
    }),
  )
  await using peer = HostilePeer.start(net, 't')
  const connection = await peer.dial(local, { from: remote })
  await connection.establish(ourOpen(scenario, asn))
  await new Promise((resolve) => setTimeout(resolve, 5_000))
  await daemon.stop()
  await connection.gone()
  const families: readonly Family[] = ['IPv4Unicast', 'IPv6Unicast']
  const context: GoldenContext = {
    peerType: scenario.isInternal === true ? 'iBGP' : 'eBGP',
    localAsn: asn,
    peerAsn: DAEMON_ASN,
    fourOctetAs: scenario.isTwoOctet !== true,
    extendedMessage: scenario.extendedMessage === true && has('extendedMessage'),
    families,
    addPathReceive: scenario.addPath === true ? families : [],
    extendedNextHop: scenario.extendedNextHop === true,
  }
  const seen = new Set<string>()
  const messages = connection.messages
    .map(({ type, body }) => hexOf(type, body))
    .filter((each) => !seen.has(each) && seen.add(each)) // one KEEPALIVE is enough
    .map((each) => ({ hex: each, exact: isExact(octets(each), context), text: textOf(octets(each), context) }))
  if (connection.messages.every(({ type }) => type !== BGP_TYPE.UPDATE)) throw new Error(`${driver.name} sent no UPDATE:\n${daemon.log()}`)
  return { name: scenario.name, context, announced, messages }
}

const PACKAGES: Readonly<Record<string, string>> = { bird: 'bird2', gobgp: 'gobgpd' }

for (const driver of DAEMONS) {
  if (process.argv.length > 2 && !process.argv.includes(driver.name)) continue
  const sessions: GoldenSession[] = []
  for (const scenario of SCENARIOS) {
    const session = await record(driver, scenario).catch((error: unknown) => {
      console.error(`${driver.name}, ${scenario.name}: ${String(error).slice(0, 2000)}`)
      return null
    })
    if (session !== null) sessions.push(session)
    console.log(`${driver.name}, ${scenario.name}: ${session === null ? 'not recorded' : `${session.messages.length} messages`}`)
  }
  const version = (await exec('dpkg-query', ['-W', '-f', '$' + '{Package} $' + '{Version}', PACKAGES[driver.name] ?? driver.name])).stdout
  const file: GoldenFile = { source: `recorded from ${version} (Debian 12)`, sessions }
  const target = path.resolve(import.meta.dirname, `../../fixtures/bgp/${driver.name}.json`)
  fs.writeFileSync(target, `${JSON.stringify(file, null, 2)}\n`)
}
