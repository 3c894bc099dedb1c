// Add-path both ways (RFC 7911): two feeders announce the same prefixes to us and to the daemon; each of the two sends the other both
// paths, and a path that goes away is withdrawn by its identifier while the other one stays.
import { expect, test } from '@jest/globals'
import { fibula } from '../../support/agent.ts'
import {
  type Announcement,
  bird,
  comparePaths,
  DAEMONS,
  type Daemon,
  type DaemonConfig,
  type DaemonDriver,
  daemonConfig,
  peerConfig,
  type ReceivedPath,
} from '../../support/daemons/index.ts'
import { buildNetns } from '../../support/netns.ts'
import { until, untilEqual } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'

const LAST = { own: 1, daemon: 2, one: 11, two: 12 } as const
type Node = keyof typeof LAST
const addressOf = (node: Node): string => `10.0.0.${LAST[node]}`
const asnOf = (node: Node): number => 65_000 + LAST[node]
const PREFIXES = ['198.51.100.0/24', '198.51.101.0/24']

type Session = { readonly with: Node; readonly addPath?: { readonly send: boolean; readonly receive: boolean } }

function configOf(node: Node, sessions: readonly Session[], announce: readonly Announcement[] = [], passOn = false): DaemonConfig {
  return daemonConfig({
    asn: asnOf(node),
    routerId: addressOf(node),
    addresses: { ipv4: addressOf(node), ipv6: `fd00::${LAST[node]}` },
    announce,
    passOn,
    peers: sessions.map((session) =>
      peerConfig({
        address: addressOf(session.with),
        localAddress: addressOf(node),
        asn: asnOf(session.with),
        families: ['IPv4Unicast'],
        addPath: session.addPath ?? { send: false, receive: false },
      }),
    ),
  })
}

const fed = (node: 'one' | 'two', prefixes: readonly string[] = PREFIXES): readonly Announcement[] =>
  prefixes.map((prefix) => ({ prefix, communities: [`${asnOf(node)}:1`], largeCommunities: [`${asnOf(node)}:2:3`] }))

/** Next hops are left out: the one who passes a path on may name itself or, on a shared subnet, the feeder (RFC 4271 §5.1.3). */
type Seen = Pick<ReceivedPath, 'prefix' | 'asPath' | 'communities' | 'largeCommunities'>
const seen = ({ prefix, asPath, communities, largeCommunities }: ReceivedPath): Seen => ({ prefix, asPath, communities, largeCommunities })
const byText = (a: Seen, b: Seen): number => JSON.stringify(a).localeCompare(JSON.stringify(b))

function passedOn(by: Node, announced: readonly (readonly Announcement[])[]): readonly Seen[] {
  return announced
    .flatMap((announcements, at) =>
      announcements.map(({ prefix, communities = [], largeCommunities = [] }) => ({
        prefix,
        asPath: `${asnOf(by)} ${asnOf(at === 0 ? 'one' : 'two')}`,
        communities,
        largeCommunities,
      })),
    )
    .sort(byText)
}

async function twoPathsBothWays(driver: DaemonDriver): Promise<void> {
  const end = (node: Node) => ({ node, name: 'eth0', addresses: [`${addressOf(node)}/24`, `fd00::${LAST[node]}/64`] })
  await using net = await buildNetns('addpath', {
    nodes: Object.keys(LAST),
    switches: [{ name: 'lan', ends: [end('own'), end('daemon'), end('one'), end('two')] }],
  })
  const isFed = driver.supports.has('passOn')
  const both = { send: true, receive: true }
  const feederSessions: readonly Session[] = [{ with: 'own' }, ...(isFed ? [{ with: 'daemon' as const }] : [])]
  const feeders: readonly Session[] = [{ with: 'one' }, { with: 'two' }]
  // who passes nothing on announces two paths of its own
  const twice: readonly Announcement[] = [
    { prefix: '203.0.113.0/24', med: 1, communities: ['65002:1'] },
    { prefix: '203.0.113.0/24', med: 2, communities: ['65002:2'], nextHop: '10.0.0.77' },
  ]
  await using one = await bird.start(net, 'one', configOf('one', feederSessions, fed('one')))
  await using two = await bird.start(net, 'two', configOf('two', feederSessions, fed('two')))
  const daemonConfiguration = configOf('daemon', [{ with: 'own', addPath: both }, ...(isFed ? feeders : [])], isFed ? [] : twice, isFed)
  await using daemon = await driver.start(net, 'daemon', daemonConfiguration)
  await using own = await fibula.start(net, 'own', configOf('own', [{ with: 'daemon', addPath: both }, ...feeders], [], true))
  const explain = (): string => [own, daemon].map((each) => each.log()).join('\n---\n')
  await until(
    'the session is up',
    async () => (await own.established(addressOf('daemon'))) && (await daemon.established(addressOf('own'))),
    {
      explain,
    },
  )
  // a path that came back to where it has been is not usable, and not what this is about
  const held = async (at: Daemon, from: Node, by: Node): Promise<readonly Seen[]> =>
    (await at.received(addressOf(from)))
      .filter((each) => !each.asPath.split(' ').includes(String(asnOf(by))))
      .map(seen)
      .sort(byText)
  const options = { explain }

  await untilEqual(
    'the daemon has both paths from us',
    passedOn('own', [fed('one'), fed('two')]),
    () => held(daemon, 'own', 'daemon'),
    options,
  )
  if (isFed)
    await untilEqual('we have both from it', passedOn('daemon', [fed('one'), fed('two')]), () => held(own, 'daemon', 'own'), options)
  else
    await until(
      'we have both from it',
      async () => {
        const paths = (await own.received(addressOf('daemon'))).toSorted(comparePaths)
        return (
          JSON.stringify(paths.map((each) => [each.med, each.nextHop])) ===
          JSON.stringify([
            [1, '10.0.0.2'],
            [2, '10.0.0.77'],
          ])
        )
      },
      options,
    )

  await two.setAnnounced(fed('two', PREFIXES.slice(1)))
  const fewer = [fed('one'), fed('two', PREFIXES.slice(1))]
  await untilEqual('one path is withdrawn', passedOn('own', fewer), () => held(daemon, 'own', 'daemon'), options)
  if (isFed) await untilEqual('and here too', passedOn('daemon', fewer), () => held(own, 'daemon', 'own'), options)
  expect(await one.established(addressOf('own'))).toBe(true)
  expect(await own.established(addressOf('daemon'))).toBe(true)
}

for (const daemon of DAEMONS)
  describeWith([...fibula.programs, ...bird.programs, ...daemon.programs], `add-path with ${daemon.name}`, () => {
    test('both paths of a prefix travel both ways, and one of them can go [rules 122, 123, 125, 126]', () => twoPathsBothWays(daemon))
  })
