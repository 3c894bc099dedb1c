// `fibula bgp peers [--peer P]`: one line a peer, or everything about one. Exit status 1 while a peer that should be up is not.
import type { Family, PeerStatus } from '../bgp/index.ts'
import { askAgents, itemsOf } from './agents.ts'
import { agentOptions, type Cli, type Environment } from './options.ts'
import { type Cell, CliError, type Column, formatAge, formatFields, formatTable, paint, print, type Screen, withNodes } from './output.ts'

export function addPeers(cli: Cli, environment: Environment): void {
  cli.command(
    'peers',
    'Peers with state, uptime, last error and prefix counts; exit status 1 while one is down',
    (to) =>
      to
        .options(agentOptions(environment))
        .option('peer', { type: 'string', requiresArg: true, describe: 'Show everything about this peer (its name or address)' })
        .example('$0 bgp peers', 'one line a peer')
        .example('$0 bgp peers --peer tor-rack-a', 'capabilities offered, received and negotiated, messages, errors'),
    async (args) => {
      const all = itemsOf(await askAgents(args, environment, (client) => client.get<readonly PeerStatus[]>('/v1/bgp/peers')))
      const shown = args.peer === undefined ? all : selectPeer(all, args.peer)
      await print(args.output, shown, (peers, screen) =>
        args.peer === undefined ? formatPeers(peers, screen) : peers.map((peer) => formatPeer(peer, screen)).join('\n'),
      )
      if (shown.some(isDown)) process.exitCode = 1
    },
  )
}

/** A peer that should be up and is not. */
export function isDown({ state, adminShutdown }: PeerStatus): boolean {
  return state !== 'Established' && !adminShutdown
}

/** A session, and whose it is where several nodes were asked. */
type Session = PeerStatus & { readonly node?: string }

function selectPeer(peers: readonly Session[], wanted: string): readonly Session[] {
  const named = peers.filter(({ name }) => name === wanted)
  const chosen = named.length > 0 ? named : peers.filter(({ address }) => address === wanted)
  if (chosen.length > 0) return chosen
  const known = [...new Set(peers.map(({ name }) => name))].join(', ')
  throw new CliError(`no peer ${JSON.stringify(wanted)}: ${known === '' ? 'no peer is configured' : `there are ${known}`}`)
}

function formatPeers(peers: readonly Session[], screen: Screen): string {
  if (peers.length === 0) return 'no peers: create a BGPPeer that selects this node, or turn the node-to-node mesh on\n'
  return formatTable(withNodes(peers, COLUMNS), peers, screen)
}

const COLUMNS: readonly Column<Session>[] = [
  { title: 'peer', cell: ({ name }) => name },
  { title: 'address', cell: addressOf },
  { title: 'as', cell: ({ asn }) => String(asn), align: 'right' },
  { title: 'type', cell: ({ type }) => type },
  { title: 'state', cell: stateCell },
  { title: 'since', cell: sinceOf, align: 'right' },
  { title: 'flaps', cell: ({ flaps }) => ({ text: String(flaps), tone: flaps > 0 ? 'warning' : 'quiet' }), align: 'right' },
  { title: 'v4 in/used/out', cell: (peer) => countsOf(peer, 'IPv4Unicast'), align: 'right' },
  { title: 'v6 in/used/out', cell: (peer) => countsOf(peer, 'IPv6Unicast'), align: 'right' },
  { title: 'last error', cell: lastErrorCell, shrinks: true },
]

function addressOf({ address, interface: name, port }: PeerStatus): string {
  const host = name === null ? address : `${address}%${name}`
  if (port === 179) return host
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function stateCell({ state, adminShutdown, gracefulRestart }: PeerStatus): Cell {
  if (adminShutdown) return { text: 'Shutdown', tone: 'warning' }
  if (gracefulRestart !== 'none') return { text: `${state}, ${gracefulRestart}`, tone: 'warning' }
  return { text: state, tone: state === 'Established' ? 'good' : 'bad' }
}

function sinceOf({ uptimeSeconds, since }: PeerStatus): string {
  if (uptimeSeconds !== null) return formatAge(uptimeSeconds)
  const sinceMs = Date.parse(since)
  return Number.isNaN(sinceMs) ? '' : formatAge((Date.now() - sinceMs) / 1000)
}

function countsOf({ prefixes }: PeerStatus, family: Family): string {
  const counts = prefixes[family]
  return counts === undefined ? '-' : `${counts.received}/${counts.accepted}/${counts.advertised}`
}

/** An error that a session has since recovered from is history; one from before it first came up is not worth a column. */
function lastErrorCell(peer: PeerStatus): Cell {
  if (peer.lastError === null || (!isDown(peer) && peer.flaps === 0)) return ''
  return { text: peer.lastError, tone: isDown(peer) ? 'bad' : 'quiet' }
}

export function formatPeer(peer: Session, screen: Screen): string {
  const state: Cell = stateCell(peer)
  const families = Object.entries(peer.prefixes)
  const fields: (readonly [string, Cell])[] = [
    ...(peer.node === undefined ? [] : [['Node', peer.node] as const]),
    ['Peer', peer.description === '' ? peer.name : `${peer.name}: ${peer.description}`],
    ['Address', `${addressOf(peer)}${peer.localAddress === null ? '' : ` from ${peer.localAddress}`}`],
    ['Session', `${peer.type}, AS ${peer.asn} to our AS ${peer.localAsn}`],
    ['State', state],
    [peer.uptimeSeconds === null ? 'Down for' : 'Up for', `${sinceOf(peer)}, since ${peer.since}`],
    ['Established', `${peer.established} times, ${peer.flaps} flaps`],
    [
      'Last error',
      peer.lastError === null ? 'none' : { text: atTime(peer.lastError, peer.lastErrorAt), tone: isDown(peer) ? 'bad' : 'quiet' },
    ],
    ['Router ID', peer.remoteRouterId ?? 'not known yet'],
    ['Hold time', holdTimeOf(peer)],
    ['End-of-RIB', `received ${listOf(peer.endOfRib.received)}; sent ${listOf(peer.endOfRib.sent)}`],
    ['Malformed', `${peer.malformedUpdates} UPDATE messages (RFC 7606)`],
  ]
  if (peer.ownAsRejected !== null) {
    const { count, example } = peer.ownAsRejected
    fields.push([
      'Own AS',
      { text: `${count} ${count === 1 ? 'route' : 'routes'} dropped for our own AS number: ${example}`, tone: 'warning' },
    ])
  }
  for (const [family, counts] of families) {
    const stale = counts.stale > 0 ? `, ${counts.stale} stale` : ''
    fields.push([family, `${counts.received} received, ${counts.accepted} accepted, ${counts.advertised} advertised${stale}`])
  }
  return `${formatFields(fields, screen)}\n${formatCapabilities(peer, screen)}\n${formatMessages(peer, screen)}`
}

function atTime(text: string, at: string | null): string {
  return at === null ? text : `${text} (at ${at})`
}

function holdTimeOf({ holdTimeSeconds, keepaliveTimeSeconds, state }: PeerStatus): string {
  if (state !== 'Established') return 'not negotiated'
  return holdTimeSeconds === null ? 'off' : `${holdTimeSeconds} s, KEEPALIVE every ${keepaliveTimeSeconds ?? 0} s`
}

function listOf(values: readonly string[]): string {
  return values.length === 0 ? 'none' : values.join(', ')
}

type CapabilityRow = { readonly offered: string; readonly received: string; readonly negotiated: string }

const CAPABILITY_COLUMNS: readonly Column<CapabilityRow>[] = [
  { title: 'offered', cell: ({ offered }) => offered },
  { title: 'received', cell: ({ received }) => received },
  { title: 'negotiated', cell: ({ negotiated }) => ({ text: negotiated, tone: 'good' }) },
]

/** Three lists side by side; what both sides say in the same words stands on one line. */
function formatCapabilities({ capabilities }: PeerStatus, screen: Screen): string {
  const { offered, received, negotiated } = capabilities
  if (offered.length + received.length === 0) return `${paint({ text: 'no capabilities exchanged yet', tone: 'quiet' }, screen)}\n`
  const common = offered.filter((each) => received.includes(each))
  const ours = [...common, ...offered.filter((each) => !common.includes(each))]
  const theirs = [...common, ...received.filter((each) => !common.includes(each))]
  const height = Math.max(ours.length, theirs.length, negotiated.length)
  const rows = Array.from({ length: height }, (_, at): CapabilityRow => {
    return { offered: ours[at] ?? '', received: theirs[at] ?? '', negotiated: negotiated[at] ?? '' }
  })
  return formatTable(CAPABILITY_COLUMNS, rows, screen)
}

type MessageRow = { readonly kind: string; readonly sent: number; readonly received: number }

function formatMessages({ messages }: PeerStatus, screen: Screen): string {
  const kinds = ['open', 'update', 'notification', 'keepalive', 'routeRefresh'] as const
  const columns: readonly Column<MessageRow>[] = [
    { title: 'messages', cell: ({ kind }) => kind },
    { title: 'sent', cell: ({ sent }) => String(sent), align: 'right' },
    { title: 'received', cell: ({ received }) => String(received), align: 'right' },
  ]
  const rows = kinds.map((kind) => ({ kind, sent: messages.sent[kind], received: messages.received[kind] }))
  return formatTable(columns, rows, screen)
}
