import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { Beats, STUCK_AFTER_MS } from '../../src/agent/beat.ts'
import { Channel, ChannelError } from '../../src/agent/channel.ts'
import { RequestError, serveControl } from '../../src/agent/control.ts'
import { CONTROL_SOCKET } from '../../src/agent/control-api.ts'
import { Readiness } from '../../src/agent/readiness.ts'
import { readRestartState, writeRestartState } from '../../src/agent/restart-state.ts'
import { FakeClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fibula-agent-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('restart state', () => {
  test('what was written is read back in the same boot', () => {
    writeRestartState(folder, ['tor-a', 'tor-b'])
    expect(readRestartState(folder)).toEqual({ peersUpBefore: ['tor-a', 'tor-b'] })
  })

  test.each([
    ['no file', null],
    ['a damaged file', '{"bootId": '],
    ['another shape', '{"bootId": 5}'],
    ['another boot [rule 141]', JSON.stringify({ bootId: '00000000-0000-0000-0000-000000000000', established: ['tor-a'] })],
  ])('%s is a cold start', (_what, text) => {
    if (text !== null) writeFileSync(join(folder, 'restart-state.json'), text)
    expect(readRestartState(folder)).toBeNull()
  })
})

describe('readiness', () => {
  test('waits for the inputs, the dataplane and the sessions of before, by name', () => {
    const readiness = new Readiness(new FakeClock(), ['tor-a', 'gone'])
    expect(readiness.reasons()).toHaveLength(4)
    readiness.storeListed()
    readiness.dataplaneSynced()
    expect(readiness.reasons().join()).toContain('tor-a')
    readiness.sessions([], ['tor-a'])
    expect(readiness.reasons()).toEqual(['the session with tor-a was up before the restart and is not back yet'])
    readiness.sessions(['tor-a'], ['tor-a'])
    expect(readiness.reasons()).toEqual([])
    readiness.sessions([], ['tor-a'])
    expect(readiness.reasons()).toEqual([]) // a later loss is not a matter of readiness
  })

  test('where CNI is served it waits once until a pod can have a network', () => {
    const readiness = new Readiness(new FakeClock(), [], true)
    readiness.storeListed()
    readiness.dataplaneSynced()
    expect(readiness.reasons()).toEqual(['no pod can be given a network yet (CNI)'])
    readiness.podsReady()
    expect(readiness.reasons()).toEqual([])
  })

  test('a session that never comes back holds readiness up for its restart time only', () => {
    const clock = new FakeClock()
    const readiness = new Readiness(clock, ['tor-a'])
    readiness.storeListed()
    readiness.dataplaneSynced()
    clock.advance(119_000)
    expect(readiness.reasons()).toHaveLength(1)
    clock.advance(2_000)
    expect(readiness.reasons()).toEqual([])
  })
})

test('a loop that has not beaten for long is stuck, and no other', () => {
  const clock = new FakeClock()
  const beats = new Beats(['main', 'bgp'], () => clock.nowMs())
  clock.advance(STUCK_AFTER_MS)
  beats.record('main', { kind: 'beat', maxLagMs: 3, heapUsedBytes: 1 })
  clock.advance(1)
  expect(beats.stuck()).toEqual(['bgp'])
  expect(beats.entries().find(({ loop }) => loop === 'main')).toMatchObject({ maxLagMs: 3, ageMs: 1 })
})

describe('channel between threads', () => {
  type Asked = { readonly double: { readonly request: number; readonly answer: number } }

  test('notices arrive, requests are answered, failures reach the asker with their text', async () => {
    const { port1, port2 } = new MessageChannel()
    const heard: string[] = []
    const here = new Channel<never, string, Record<never, never>, Asked>(port1, { notice: () => {} })
    new Channel<string, never, Asked>(port2, {
      notice: (text) => heard.push(text),
      answers: {
        double(value) {
          if (value < 0) throw new Error('only what is positive')
          return value * 2
        },
      },
    })
    here.send('hello')
    await expect(here.ask('double', 21)).resolves.toBe(42)
    await expect(here.ask('double', -1)).rejects.toThrow('only what is positive')
    expect(heard).toEqual(['hello'])
    const unanswered = here.ask('double', 1)
    port2.close()
    port1.close()
    await expect(unanswered).rejects.toBeInstanceOf(ChannelError)
  })
})

describe('control socket', () => {
  function ask(method: string, path: string, body = ''): Promise<{ readonly status: number; readonly body: unknown }> {
    return new Promise((resolve, reject) => {
      const sent = request({ socketPath: join(folder, CONTROL_SOCKET), method, path }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }))
      })
      sent.on('error', reject)
      sent.end(body)
    })
  }

  const routes = {
    'GET /v1/echo': ({ query }: { readonly query: URLSearchParams }) => ({ said: query.get('say') }),
    'POST /v1/body': ({ body }: { readonly body: unknown }) => body,
    'GET /v1/refused': () => {
      throw new RequestError(404, 'no such thing; try another')
    },
    'GET /v1/broken': () => Promise.reject(new Error('thread ended')),
  }

  test('answers, and says in words what it cannot answer', async () => {
    await using _server = await serveControl(folder, routes, silentLog)
    expect(await ask('GET', '/v1/echo?say=hi')).toEqual({ status: 200, body: { said: 'hi' } })
    expect(await ask('POST', '/v1/body', '{"a":1}')).toEqual({ status: 200, body: { a: 1 } })
    expect(await ask('POST', '/v1/body', '{')).toEqual({ status: 400, body: { error: 'request body is not JSON' } })
    expect(await ask('GET', '/v1/refused')).toEqual({ status: 404, body: { error: 'no such thing; try another' } })
    expect(await ask('GET', '/v1/broken')).toEqual({ status: 503, body: { error: 'thread ended' } })
    expect((await ask('DELETE', '/v1/echo')).status).toBe(404)
  })

  test('a second agent on the same run directory is refused; a socket a dead one left behind is not in the way', async () => {
    writeFileSync(join(folder, CONTROL_SOCKET), '')
    await using _server = await serveControl(folder, routes, silentLog)
    await expect(serveControl(folder, routes, silentLog)).rejects.toThrow(/another agent/)
    expect((await ask('GET', '/v1/echo')).status).toBe(200)
  })
})
