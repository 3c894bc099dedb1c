// The netlink socket against the real kernel, and entering namespaces.
import { execFileSync } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { ip } from '../../../src/net/index.ts'
import { NetlinkEvents } from '../../../src/routes/index.ts'
import {
  removalTemplate,
  routeDumpRequest,
  routeTemplate,
  TEMPLATE_FLAGS,
  TEMPLATE_SEQUENCE,
} from '../../../src/routes/netlink/route-message.ts'
import { BLACKHOLE, unicast } from '../../../src/routes/route.ts'
import { SysError } from '../../../src/sys/libc.ts'
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST } from '../../../src/sys/netlink-message.ts'
import { NetlinkError, NetlinkSocket } from '../../../src/sys/netlink-socket.ts'
import { inNetns } from '../../../src/sys/netns.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { until } from '../../support/poll.ts'

let net: Netns
beforeAll(async () => {
  net = await buildNetns('netlink', { nodes: ['a', 'b', 'empty'], stubs: [{ node: 'a', name: 'eth0', addresses: ['10.0.0.1/24'] }] })
})
afterAll(async () => {
  await net[Symbol.asyncDispose]()
})

const KEY = { metric: 179, tos: 0 }
/** An RTM_NEWROUTE, ready to send, for 0.0.0.0/0. */
function request(template: Uint8Array, sequence: number, flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL): Uint8Array {
  const view = new DataView(template.buffer, template.byteOffset)
  view.setUint16(TEMPLATE_FLAGS, flags, true)
  view.setUint32(TEMPLATE_SEQUENCE, sequence, true)
  return template
}
const unreachable = (): Uint8Array => routeTemplate(4, unicast([{ gateway: ip('192.0.2.9'), interfaceIndex: 1, onlink: false }], null), KEY)
const concat = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]))
const openDescriptors = (): number => readdirSync('/proc/self/fd').length

describe('requests', () => {
  test('refusals of many requests in one datagram are told by index, with errno and the words of the kernel', () => {
    using socket = net.run('a', () => new NetlinkSocket())
    const first = socket.reserveSequences(4)
    const refused: unknown[] = []
    const outcome = socket.request(
      concat(
        request(unreachable(), first),
        request(routeTemplate(4, BLACKHOLE, KEY), first + 1),
        request(routeTemplate(4, BLACKHOLE, KEY), first + 2),
        request(removalTemplate(4, KEY), first + 3, NLM_F_REQUEST | NLM_F_ACK),
      ),
      first,
      4,
      (index, { errno, text }) => refused.push([index, errno, text]),
    )
    expect(outcome).toBe('answered')
    expect(refused).toEqual([
      [0, 101, 'Nexthop has invalid gateway'],
      [2, 17, null],
    ])
  })

  test('sequence numbers wrap around', () => {
    using socket = net.run('a', () => new NetlinkSocket())
    socket.reserveSequences(0xffff_fffe)
    const first = socket.reserveSequences(3)
    const refused: number[] = []
    const third = request(unreachable(), 0, NLM_F_REQUEST | NLM_F_ACK)
    new DataView(third.buffer, third.byteOffset).setUint32(TEMPLATE_SEQUENCE, first + 2, true)
    socket.request(concat(request(unreachable(), first), request(unreachable(), first + 1), third), first, 3, (index) =>
      refused.push(index),
    )
    expect([first, ...refused]).toEqual([0xffff_ffff, 0, 1, 2])
  })

  test('answers that found no room are reported as lost, and the next request works', () => {
    using socket = net.run('a', () => new NetlinkSocket({ receiveBufferBytes: 4096 }))
    const count = 500
    const first = socket.reserveSequences(count)
    const requests = Array.from({ length: count }, (_, n) =>
      request(unreachable(), first + n, n === count - 1 ? NLM_F_REQUEST | NLM_F_ACK : NLM_F_REQUEST),
    )
    let refused = 0
    const outcome = socket.request(concat(...requests), first, count, () => refused++)
    expect(outcome).toBe('lost')
    expect(refused).toBeLessThan(count)
    const next = socket.reserveSequences(1)
    const again: number[] = []
    expect(socket.request(request(unreachable(), next, NLM_F_REQUEST | NLM_F_ACK), next, 1, (_, { errno }) => again.push(errno))).toBe(
      'answered',
    )
    expect(again).toEqual([101])
  })

  test('a dump that is refused throws with errno and words, and the next one works', () => {
    using socket = net.run('a', () => new NetlinkSocket())
    const bad = routeDumpRequest(4, socket.reserveSequences(1))
    bad[16 + 1] = 24 // strict checking refuses a prefix length in a dump request
    expect(() => socket.dump('RTM_GETROUTE', bad, 1, () => {})).toThrow(NetlinkError)
    let seen = 0
    const sequence = socket.reserveSequences(1)
    expect(socket.dump('RTM_GETROUTE', routeDumpRequest(4, sequence), sequence, () => seen++)).toBe('consistent')
    expect(seen).toBeGreaterThan(0)
  })

  test('an answer that never comes ends in an error, not in a wait for ever', () => {
    using socket = net.run('a', () => new NetlinkSocket({ timeoutMs: 20 }))
    const first = socket.reserveSequences(1)
    const silent = request(routeTemplate(4, BLACKHOLE, { metric: 1, tos: 0 }), first, NLM_F_REQUEST | NLM_F_CREATE)
    expect(() => socket.request(silent, first, 1, () => {})).toThrow(/EAGAIN/)
  })
})

describe('namespaces', () => {
  test('a socket stays in the namespace it was made in', () => {
    using inA = net.run('a', () => new NetlinkSocket())
    using inEmpty = net.run('empty', () => new NetlinkSocket())
    const count = (socket: NetlinkSocket): number => {
      const sequence = socket.reserveSequences(1)
      let seen = 0
      socket.dump('RTM_GETROUTE', routeDumpRequest(4, sequence), sequence, () => seen++)
      return seen
    }
    expect(count(inA)).toBeGreaterThan(0)
    expect(count(inEmpty)).toBe(0)
  })

  test('the thread is back afterwards, whatever happened inside, and no descriptor is left', () => {
    const home = readlinkSync('/proc/thread-self/ns/net')
    const before = openDescriptors()
    expect(net.run('a', () => readlinkSync('/proc/thread-self/ns/net'))).not.toBe(home)
    expect(() =>
      net.run('a', () => {
        throw new Error('inside')
      }),
    ).toThrow('inside')
    expect(() => inNetns('/proc/self/status', () => 1)).toThrow(SysError)
    expect(() => inNetns('/run/netns/none', () => 1)).toThrow('ENOENT')
    expect(readlinkSync('/proc/thread-self/ns/net')).toBe(home)
    expect(openDescriptors()).toBe(before)
  })

  test('a thousand sockets come and go', () => {
    const before = openDescriptors()
    for (let n = 0; n < 1000; n++) net.run('a', () => new NetlinkSocket())[Symbol.dispose]()
    expect(openDescriptors()).toBe(before)
  })
})

describe('waiting for events', () => {
  const RTMGRP_IPV4_ROUTE = 0x40

  test('the waiting thread tells once for many events, again after they were drained, and ends when told', async () => {
    using socket = net.run('b', () => new NetlinkSocket({ groups: RTMGRP_IPV4_ROUTE }))
    let told = 0
    let drained = 0
    const events = new NetlinkEvents({
      descriptor: socket.fd,
      onReadable: () => {
        told++
        socket.drain(() => drained++)
      },
      onFailed: (cause) => {
        throw cause
      },
    })
    const blackholes = (from: number, count: number): readonly string[] =>
      Array.from({ length: count }, (_, n) => `route add blackhole 10.9.${from}.${n}/32`)
    // This thread is kept waiting meanwhile: all of them are there when it looks.
    execFileSync('ip', ['-n', net.nameOf('b'), '-batch', '-'], {
      input: blackholes(0, 200)
        .map((line) => `${line}\n`)
        .join(''),
    })
    await until('all events', () => drained === 200)
    const toldBefore = told
    expect(toldBefore).toBe(1)
    await net.ipBatch('b', blackholes(1, 1))
    await until('one more event', () => drained === 201)
    expect(told).toBe(toldBefore + 1)
    await events[Symbol.asyncDispose]()
    await net.ipBatch('b', blackholes(2, 1))
    expect(told).toBe(toldBefore + 1)
  })
})
