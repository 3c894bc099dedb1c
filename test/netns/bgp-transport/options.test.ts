// What the kernel does for a BGP connection: TCP MD5 keys, hop limits, traffic class, source address, timeouts. Two hosts and a
// router between two others, each in a namespace; both ends of every connection are in this process.
import { execFileSync } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { TcpTransport } from '../../../src/bgp/tcp-transport.ts'
import type { AcceptedPeer, Connection, DialOptions } from '../../../src/bgp/transport.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { formatIp, type IpAddress, ip } from '../../../src/net/index.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { End } from '../../support/transport-contract.ts'

const PORT = 179
const ANY = { send: 64, receiveAtLeast: null }
const GTSM = { send: 255, receiveAtLeast: 255 }

/** One family of the topology a - r - c, with a and r on one link. */
const FAMILIES = [
  { family: 'IPv4', a: ip('10.0.1.1'), aOther: ip('10.0.1.9'), r: ip('10.0.1.2'), c: ip('10.0.2.1') },
  { family: 'IPv6', a: ip('fd00:1::1'), aOther: ip('fd00:1::9'), r: ip('fd00:1::2'), c: ip('fd00:2::1') },
] as const

const transport = new TcpTransport({ clock: systemClock, log: silentLog })
let net: Netns
let cleanup = new AsyncDisposableStack()

beforeEach(async () => {
  cleanup = new AsyncDisposableStack()
  net = cleanup.use(
    await buildNetns('tcp', {
      nodes: ['a', 'r', 'c'],
      links: [
        [
          { node: 'a', name: 'eth0', addresses: ['10.0.1.1/24', '10.0.1.9/24', 'fd00:1::1/64', 'fd00:1::9/64'] },
          { node: 'r', name: 'eth0', addresses: ['10.0.1.2/24', 'fd00:1::2/64'] },
        ],
        [
          { node: 'r', name: 'eth1', addresses: ['10.0.2.2/24', 'fd00:2::2/64'] },
          { node: 'c', name: 'eth0', addresses: ['10.0.2.1/24', 'fd00:2::1/64'] },
        ],
      ],
    }),
  )
  await net.exec('r', 'sh', ['-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'])
  await net.ipBatch('a', ['route add 10.0.2.0/24 via 10.0.1.2', 'route add fd00:2::/64 via fd00:1::2'])
  await net.ipBatch('c', ['route add 10.0.1.0/24 via 10.0.2.2', 'route add fd00:1::/64 via fd00:2::2'])
})
afterEach(() => cleanup.disposeAsync())

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadlineMs = Date.now() + 60_000
  while (!condition()) {
    if (Date.now() > deadlineMs) throw new Error(`never came: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

function opened(connection: Connection): End {
  cleanup.defer(() => connection.destroy())
  return new End(connection)
}

function peer(address: IpAddress, changes: Partial<AcceptedPeer> = {}): AcceptedPeer {
  return { address, interface: null, password: null, hopLimit: ANY, userTimeoutMs: 2_000, ...changes }
}

function listen(
  node: string,
  peers: readonly AcceptedPeer[],
): { readonly ends: End[]; readonly listener: ReturnType<TcpTransport['listen']> } {
  const ends: End[] = []
  const listener = net.run(node, () => transport.listen([], PORT, (connection) => ends.push(opened(connection)), peers))
  cleanup.use(listener)
  return { ends, listener }
}

type Dialled = { end: End | null; failure: string | null }

function dial(node: string, to: IpAddress, changes: Partial<DialOptions> = {}): Dialled {
  const result: Dialled = { end: null, failure: null }
  const options: DialOptions = {
    remote: { address: to, interface: null, port: PORT },
    sourceAddress: null,
    password: null,
    hopLimit: ANY,
    userTimeoutMs: 1_500,
    ...changes,
  }
  const connected = (connection: Connection): void => {
    result.end = opened(connection)
  }
  const failed = ({ code }: { code: string }): void => {
    result.failure = code
  }
  const pending = net.run(node, () => transport.dial(options, connected, failed))
  cleanup.defer(() => pending[Symbol.dispose]())
  return result
}

/** Says something from the dialling end; true if it arrives. */
async function passes({ end }: Dialled, ends: readonly End[]): Promise<boolean> {
  end?.connection.write(Buffer.from('hello'))
  await until(() => ends.some(({ text }) => text === 'hello') || (end?.closed.length ?? 1) > 0, 'an answer').catch(() => {})
  return ends.some(({ text }) => text === 'hello')
}

describe.each(FAMILIES)('$family', ({ family, a, aOther, r, c }) => {
  test('[rule 177] TCP MD5: the same key on both sides connects, on a listener that had it before the first SYN', async () => {
    const { ends } = listen('r', [peer(a, { password: 'k3y' })])
    const dialled = dial('a', r, { sourceAddress: a, password: 'k3y' })
    await until(() => dialled.end !== null, 'the connection')
    expect(await passes(dialled, ends)).toBe(true)
  })

  test('[rule 178] a wrong key, a missing one, one too many: silence, then ETIMEDOUT', async () => {
    const { ends } = listen('r', [peer(a, { password: 'k3y' })])
    const attempts = [
      dial('a', r, { sourceAddress: a, password: 'other' }),
      dial('a', r, { sourceAddress: a }),
      dial('a', r, { sourceAddress: aOther, password: 'k3y' }),
    ]
    await until(() => attempts.every(({ failure }) => failure !== null), 'the timeouts')
    expect(attempts.map(({ failure }) => failure)).toEqual(['ETIMEDOUT', 'ETIMEDOUT', 'ETIMEDOUT'])
    expect(ends).toEqual([])
  })

  test('keys are added to and taken from a live listener; connections that are up stay', async () => {
    const { ends, listener } = listen('r', [])
    const plain = dial('a', r, { sourceAddress: a })
    await until(() => plain.end !== null && ends.length === 1, 'the first')
    net.run('r', () => listener.setPeers([peer(a, { password: 'k3y' })]))
    expect(await passes(plain, ends)).toBe(true)
    const [unsigned, signed] = [dial('a', r, { sourceAddress: a }), dial('a', r, { sourceAddress: a, password: 'k3y' })]
    await until(() => signed.end !== null && unsigned.failure !== null, 'the second')
    expect(unsigned.failure).toBe('ETIMEDOUT')
    net.run('r', () => listener.setPeers([peer(a, { password: 'n3w' })]))
    const [old, changed] = [dial('a', r, { sourceAddress: a, password: 'k3y' }), dial('a', r, { sourceAddress: a, password: 'n3w' })]
    await until(() => changed.end !== null && old.failure !== null, 'the third')
    net.run('r', () => listener.setPeers([]))
    const again = dial('a', r, { sourceAddress: a })
    await until(() => again.end !== null, 'the last')
    expect(signed.end?.closed).toEqual([])
  })

  test('an unsigned connection that was made before its key came is dead once it is accepted', async () => {
    const ends: End[] = []
    const listener = net.run('r', () => transport.listen([], PORT, (connection) => ends.push(opened(connection))))
    cleanup.use(listener)
    const script = `require('node:net').connect({ host: '${formatIp(r)}', port: ${PORT}, localAddress: '${formatIp(a)}' })`
    net.spawn('a', process.execPath, ['-e', script])
    // The kernel completes the handshake; this event loop, blocked, has not accepted yet when the key comes.
    execFileSync('sh', ['-c', `until ip netns exec ${net.nameOf('r')} ss -Htn state established | grep -q :${PORT}; do :; done`])
    net.run('r', () => listener.setPeers([peer(a, { password: 'k3y' })]))
    await until(() => ends.length > 0, 'the acceptance')
    ends[0]?.connection.write(Buffer.from('x'))
    await until(() => (ends[0]?.closed.length ?? 0) > 0, 'the end')
    expect(ends[0]?.closed[0]).toMatchObject({ kind: 'error', code: 'ETIMEDOUT' })
  })

  test('one peer has a key, another none: each gets what it should', async () => {
    const { ends } = listen('r', [peer(a, { password: 'k3y' }), peer(aOther)])
    const unsigned = dial('a', r, { sourceAddress: aOther })
    const signed = dial('a', r, { sourceAddress: a, password: 'k3y' })
    await until(() => unsigned.end !== null && signed.end !== null && ends.length === 2, 'both')
    expect(ends.map(({ connection }) => connection.remote.address).sort()).toEqual([a, aOther].sort())
  })

  test('[rule 175] TTL security on both sides: what is sent with 255 passes, over a router it does not', async () => {
    const near = listen('r', [peer(a, { hopLimit: GTSM })])
    const good = dial('a', r, { sourceAddress: a, hopLimit: GTSM })
    await until(() => good.end !== null, 'the neighbour')
    expect(await passes(good, near.ends)).toBe(true)
    near.ends[0]?.connection.write(Buffer.from('back'))
    await until(() => good.end?.text === 'back', 'the way back')

    const far = listen('c', [peer(a, { hopLimit: GTSM })])
    const spoofed = dial('a', c, { sourceAddress: a, hopLimit: { send: 255, receiveAtLeast: null } })
    await until(() => spoofed.failure !== null, 'the far one') // its SYN arrives with 254
    expect([spoofed.failure, far.ends.length]).toEqual(['ETIMEDOUT', 0])
  })

  test('[rule 175] beside a peer without TTL security the listener lets the SYN in, and nothing after it', async () => {
    const { ends } = listen('c', [peer(a, { hopLimit: GTSM }), peer(aOther)])
    const low = dial('a', c, { sourceAddress: a, hopLimit: ANY })
    await until(() => low.end !== null && ends.length === 1, 'the handshake')
    low.end?.connection.write(Buffer.from('hello'))
    await until(() => (low.end?.closed.length ?? 0) > 0, 'the end')
    expect(ends[0]?.text).toBe('')
  })

  test('[rule 176] TTL 1 reaches a neighbour and nobody behind it', async () => {
    const one = { send: 1, receiveAtLeast: null }
    const near = listen('r', [peer(a, { hopLimit: one })])
    const far = listen('c', [peer(a)])
    const [toNear, toFar] = [dial('a', r, { sourceAddress: a, hopLimit: one }), dial('a', c, { sourceAddress: a, hopLimit: one })]
    await until(() => toNear.end !== null && toFar.failure !== null, 'both answers')
    expect(await passes(toNear, near.ends)).toBe(true)
    expect(far.ends).toEqual([])
    const multihop = dial('a', c, { sourceAddress: a, hopLimit: ANY })
    await until(() => multihop.end !== null, 'the multihop one')
  })

  test('[rule 176] an accepted connection sends with the TTL of its peer, not with that of the listener', async () => {
    const { ends } = listen('c', [peer(a, { hopLimit: { send: 1, receiveAtLeast: null } })])
    const dialled = dial('a', c, { sourceAddress: a, hopLimit: ANY })
    await until(() => dialled.end !== null && ends.length === 1, 'the handshake') // its SYN-ACK came with 255
    ends[0]?.connection.write(Buffer.from('too short'))
    dialled.end?.connection.write(Buffer.from('unacknowledged'))
    await until(() => (dialled.end?.closed.length ?? 0) > 0, 'the timeout')
    expect(dialled.end?.text).toBe('')
  })

  test('the source address is the one asked for', async () => {
    const { ends } = listen('r', [])
    dial('a', r, { sourceAddress: aOther })
    await until(() => ends.length === 1, 'the connection')
    expect(ends[0]?.connection.remote.address).toBe(aOther)
  })

  test('both ends send as network control (class selector 6)', async () => {
    const { ends } = listen('r', [peer(a)])
    const dialled = dial('a', r, { sourceAddress: a })
    await until(() => dialled.end !== null && ends.length === 1, 'the connection')
    for (const node of ['a', 'r']) {
      const { stdout } = await net.exec(node, 'ss', ['-Htn', '--tos', 'state', 'established'])
      expect(stdout).toMatch(/(tos|tclass):0xc0/)
    }
  })

  test('a peer that vanishes under unacknowledged data is noticed by either end', async () => {
    const { ends } = listen('r', [peer(a, { userTimeoutMs: 600 })])
    const dialled = dial('a', r, { sourceAddress: a, userTimeoutMs: 600 })
    await until(() => dialled.end !== null && ends.length === 1, 'the connection')
    for (const node of ['a', 'r']) await net.exec(node, family === 'IPv4' ? 'iptables' : 'ip6tables', ['-w', '-I', 'INPUT', '-j', 'DROP'])
    const near = dialled.end
    near?.connection.write(Buffer.from('lost'))
    ends[0]?.connection.write(Buffer.from('lost'))
    await until(() => (near?.closed.length ?? 0) > 0 && (ends[0]?.closed.length ?? 0) > 0, 'the timeouts')
    for (const end of [near, ends[0]]) expect(end?.closed[0]).toMatchObject({ kind: 'error', code: 'ETIMEDOUT' })
  })

  test('[rule 46] a peer that closes its window over little data is given up by the kernel, though it keeps talking', async () => {
    await net.exec('r', 'sysctl', ['-qw', 'net.ipv4.tcp_rmem=4096 4096 4096'])
    await net.exec('a', 'sysctl', ['-qw', 'net.ipv4.tcp_wmem=4096 1048576 1048576'])
    const { ends } = listen('r', [])
    const dialled = dial('a', r, { sourceAddress: a, userTimeoutMs: 4_000 }) // a busy peer says a few words within that time
    await until(() => dialled.end !== null && ends.length === 1, 'the connection')
    ends[0]?.connection.pause()
    const near = dialled.end
    near?.connection.write(Buffer.alloc(200_000)) // more than Node itself reads ahead
    const talking = setInterval(() => ends[0]?.connection.write(Buffer.from('alive')), 100)
    cleanup.defer(() => clearInterval(talking))
    await until(() => near?.connection.bufferedBytes === 0, 'the kernel to take it all')
    await until(() => (near?.closed.length ?? 0) > 0, 'the timeout')
    expect(near?.closed[0]).toMatchObject({ kind: 'error', code: 'ETIMEDOUT' })
    expect(near?.text.length).toBeGreaterThan(10)
  })
})
