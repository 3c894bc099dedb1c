import { describe, expect, test } from '@jest/globals'
import { FakeClock } from '../../../src/lib/clock.ts'
import { ip } from '../../../src/net/index.ts'
import { MemoryNetwork } from '../../support/memory-transport.ts'
import { End, transportContract } from '../../support/transport-contract.ts'

transportContract('memory', () => {
  const clock = new FakeClock()
  const network = new MemoryNetwork({ clock })
  return {
    near: { transport: network.host('10.0.0.1'), address: ip('10.0.0.1') },
    far: { transport: network.host('10.0.0.2'), address: ip('10.0.0.2'), port: 179 },
    foreign: ip('10.9.9.9'),
    until: async (condition, what) => {
      for (let i = 0; i < 100_000 && !condition(); i++) clock.advance(1)
      if (!condition()) throw new Error(`never came: ${what}`)
    },
    settle: async () => clock.advance(5_000),
    [Symbol.asyncDispose]: async () => {},
  }
})

describe('what only the memory transport can do', () => {
  function joined(prepare: (network: MemoryNetwork) => void = () => {}): {
    clock: FakeClock
    network: MemoryNetwork
    ends: End[]
    failures: string[]
  } {
    const clock = new FakeClock()
    const network = new MemoryNetwork({ clock })
    const ends: End[] = []
    const failures: string[] = []
    const far = network.host('10.0.0.2')
    far.listen([], 179, (connection) => ends.push(new End(connection)))
    prepare(network)
    network.host('10.0.0.1').dial(
      {
        remote: { address: ip('10.0.0.2'), interface: null, port: 179 },
        sourceAddress: null,
        password: null,
        hopLimit: { send: 1, receiveAtLeast: null },
        userTimeoutMs: 9_000,
      },
      (connection) => ends.push(new End(connection)),
      ({ code }) => failures.push(code),
    )
    clock.advance(10)
    return { clock, network, ends, failures }
  }

  test('splits at any octet, and scrambles a view once its call is over', () => {
    const { clock, network, ends } = joined()
    network.segment = (bytes) => Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
    ends[1]?.connection.write(Buffer.from('abc'))
    ends[1]?.connection.write(Buffer.from('def'))
    clock.advance(10)
    expect(ends[0]?.chunks.map(String)).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
  })

  test('merges what was written in one turn', () => {
    const { clock, ends } = joined()
    for (const text of ['abc', 'def']) ends[1]?.connection.write(Buffer.from(text))
    clock.advance(10)
    expect(ends[0]?.chunks.map(String)).toEqual(['abcdef'])
  })

  test('a cut cable tells nobody; a reset tells both', () => {
    const { clock, network, ends } = joined()
    network.cutAll()
    ends[1]?.connection.write(Buffer.from('lost'))
    clock.advance(1_000_000)
    expect(ends.map((end) => [end.text, end.closed])).toEqual([
      ['', []],
      ['', []],
    ])
    network.resetAll()
    clock.advance(10)
    expect(ends.map((end) => end.closed.map(({ kind }) => kind))).toEqual([['error'], ['error']])
  })

  test('silence ends in a timeout', () => {
    const { clock, ends, failures } = joined((network) => network.answerDials('10.0.0.2', 'silent'))
    clock.advance(8_000)
    expect(failures).toEqual([])
    clock.advance(2_000)
    expect([ends, failures]).toEqual([[], ['ETIMEDOUT']])
  })
})
