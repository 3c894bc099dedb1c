// Octets of five real daemons and of the RFCs, both ways, and cut off at every octet.
import { describe, expect, test } from '@jest/globals'
import {
  decodeMessage,
  formatAsPath,
  formatCommunity,
  formatExtendedCommunity,
  formatLargeCommunity,
  type Message,
  MessageFramer,
  NlriReader,
  type UpdateMessage,
} from '../../../src/bgp/wire/index.ts'
import { announcedBy, hexOf } from './build.ts'
import { contextOf, encodedAgain, type GoldenAnnouncement, type GoldenSession, goldenFiles, octets, textOf } from './golden.ts'

const SESSIONS = goldenFiles().flatMap(([file, { sessions }]) =>
  sessions.map((session) => [`${file}: ${session.name}`, session, file] as const),
)
function decodeAs(bytes: Uint8Array, session: GoldenSession): Message {
  const result = decodeMessage(bytes, contextOf(session.context))
  if (!result.ok) throw new Error(result.error.reason)
  return result.value
}

function updatesOf(session: GoldenSession): readonly UpdateMessage[] {
  return session.messages.map(({ hex }) => decodeAs(octets(hex), session)).filter((message) => message.kind === 'update')
}

test('all five daemons are there, and the RFCs', () => {
  expect(goldenFiles().map(([file]) => file)).toEqual(['bird', 'exabgp', 'frr', 'gobgp', 'openbgpd', 'rfc'])
  expect(SESSIONS.length).toBeGreaterThan(30)
})

test.each(['bird', 'openbgpd'])('we encode IPv4 UPDATEs octet for octet as %s does', (daemon) => {
  const sessions = SESSIONS.filter(([, { context }, file]) => file === daemon && !context.extendedNextHop)
  const updates = sessions.flatMap(([, { messages }]) => messages).filter(({ text }) => /^announces \d+\./.test(text[1] ?? ''))
  expect(updates.length).toBe(12)
  expect(updates.filter(({ exact }) => !exact)).toEqual([])
})

describe.each(SESSIONS)('%s', (_name, session, file) => {
  test('decodes to what a reader of the packets wrote down', () => {
    for (const { hex, text } of session.messages) expect(textOf(octets(hex), session.context)).toEqual(text)
  })

  test('[rule 107] holds exactly the routes the daemon was configured to announce, and nothing malformed', () => {
    const updates = updatesOf(session)
    expect(updates.flatMap(({ malformations }) => malformations)).toEqual([])
    if (session.announced === undefined) return
    const seen = updates.flatMap((update) => announcedBy(update)).map((each) => each.split(' ')[0])
    expect([...seen].sort()).toEqual(session.announced.map(({ prefix }) => prefix).sort())
    for (const wanted of session.announced) expectAnnounced(updates, wanted, session, file)
  })

  test('encoded again it means the same, and where we order and size things as its sender did, it is the same', () => {
    for (const { hex, exact } of session.messages) {
      const message = decodeAs(octets(hex), session)
      const again = encodedAgain(message, session.context)
      expect(decodeAs(again, session)).toEqual(message)
      expect(hexOf(again) === hex).toBe(exact)
      if (message.kind === 'notification' || message.kind === 'keepalive' || message.kind === 'routeRefresh') expect(exact).toBe(true)
    }
  })

  test('cut off at every octet it never throws, and the framer waits for the rest', () => {
    const context = contextOf(session.context)
    const wronglyDone: string[] = []
    for (const { hex } of session.messages) {
      const whole = octets(hex)
      for (let length = 0; length < whole.length; length++) {
        const cut = whole.slice(0, length)
        if (decodeMessage(cut, context).ok) wronglyDone.push(`decoded ${hexOf(cut)}`)
        const error = new MessageFramer().push(cut, () => wronglyDone.push(`delivered ${hexOf(cut)}`))
        if (error !== null) wronglyDone.push(`refused ${hexOf(cut)}: ${error.reason}`)
        if (length >= 19) walkAll(decodeMessage(withLength(cut), context))
      }
    }
    expect(wronglyDone).toEqual([])
  })

  test('nothing behind the end of the message is read', () => {
    const context = contextOf(session.context)
    for (const { hex } of session.messages) {
      const whole = octets(hex)
      for (let length = 19; length <= whole.length; length++) {
        const alone = withLength(whole.slice(0, length))
        const roomy = new Uint8Array(length + 64).fill(1)
        roomy.set(alone, 7)
        expect(decodeMessage(roomy.subarray(7, 7 + length), context)).toEqual(decodeMessage(alone, context))
      }
    }
  })
})

/** A message whose header tells its true length. */
function withLength(message: Uint8Array): Uint8Array {
  message[16] = message.length >> 8
  message[17] = message.length & 255
  return message
}

function walkAll(result: ReturnType<typeof decodeMessage>): void {
  if (!result.ok || result.value.kind !== 'update') return
  const reader = new NlriReader()
  for (const run of [...result.value.withdrawn, ...result.value.announced.map(({ run }) => run)]) {
    reader.reset(run)
    let count = 0
    while (reader.next()) count++
    if (count !== run.count) throw new Error(`a run of ${run.count} has ${count}`)
  }
}

/** What the daemon's configuration says about a prefix, against what was decoded. */
function expectAnnounced(updates: readonly UpdateMessage[], wanted: GoldenAnnouncement, session: GoldenSession, file: string): void {
  const found = updates.find((update) => announcedBy(update).some((each) => each.split(' ')[0] === wanted.prefix))
  const attributes = found?.announced[0]?.attributes
  if (attributes === undefined) throw new Error(`${wanted.prefix} was not announced`)
  const own = session.context.peerType === 'eBGP' ? [session.context.peerAsn] : []
  expect(formatAsPath(attributes.asPath)).toBe([...own, ...(wanted.behind ?? [])].join(' '))
  expect(attributes.communities.map(formatCommunity).sort()).toEqual([...(wanted.communities ?? [])].sort())
  expect(attributes.largeCommunities.map(formatLargeCommunity).sort()).toEqual([...(wanted.largeCommunities ?? [])].sort())
  expect(attributes.extendedCommunities.map(formatExtendedCommunity).sort()).toEqual([...(wanted.extendedCommunities ?? [])].sort())
  expect(attributes.med).toBe(wanted.med ?? (file === 'frr' ? 0 : null)) // FRR sends the metric of a network statement: 0
  expect(attributes.localPref).toBe(session.context.peerType === 'iBGP' ? (wanted.localPref ?? 100) : null)
}
