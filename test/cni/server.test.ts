import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { type CniHandler, type CniInvocation, type CniReply, decodeResponse, encodeRequest, serveCni } from '../../src/cni/index.ts'
import { FakeClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { settle } from './world.ts'

let directory = ''
let path = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fibula-server-'))
  path = join(directory, 'run', 'cni.sock')
})
afterEach(() => rm(directory, { recursive: true }))

class Recorder implements CniHandler {
  readonly invocations: CniInvocation[] = []
  signal: AbortSignal | null = null
  reply: Promise<CniReply> = Promise.resolve({ exitStatus: 0, stdout: 'answer\n' })
  handle(invocation: CniInvocation, signal: AbortSignal): Promise<CniReply> {
    this.invocations.push(invocation)
    this.signal = signal
    return this.reply
  }
}

/** What a client receives until the end; null if the connection broke. */
function exchange(...chunks: readonly Uint8Array[]): Promise<Uint8Array | null> {
  return new Promise((resolve) => {
    const received: Buffer[] = []
    const socket = connect(path, () => {
      for (const chunk of chunks) socket.write(chunk)
    })
    socket.on('data', (chunk) => received.push(chunk))
    socket.on('error', () => resolve(null))
    socket.on('close', () => resolve(Buffer.concat(received)))
  })
}

function opened(): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect(path, () => resolve(socket))
    socket.on('error', () => {})
  })
}

const REQUEST = encodeRequest({ variables: new Map([['CNI_COMMAND', 'DEL']]), stdin: new TextEncoder().encode('{"a":1}') })

test('the request reaches the service whole, in however many pieces it comes; the answer comes back', async () => {
  const service = new Recorder()
  await using _server = await serveCni({ path, service, log: silentLog })
  for (const at of [1, 4, 5, 20, REQUEST.length]) {
    const answer = await exchange(REQUEST.subarray(0, at), REQUEST.subarray(at))
    expect(decodeResponse(answer ?? new Uint8Array())).toEqual({ exitStatus: 0, stdout: 'answer\n' })
  }
  expect(service.invocations).toHaveLength(5)
  expect([...(service.invocations[3]?.variables ?? [])]).toEqual([['CNI_COMMAND', 'DEL']])
  expect(Buffer.from(service.invocations[3]?.stdin ?? []).toString()).toBe('{"a":1}')
})

test('the socket is for root alone, and its directory is made', async () => {
  await using _server = await serveCni({ path, service: new Recorder(), log: silentLog })
  expect((await stat(path)).mode & 0o777).toBe(0o600)
})

test('a socket that a killed agent left behind is replaced; a living one is not', async () => {
  await using first = await serveCni({ path, service: new Recorder(), log: silentLog })
  await expect(serveCni({ path, service: new Recorder(), log: silentLog })).rejects.toThrow('another agent already answers')
  await first[Symbol.asyncDispose]()
  await writeFile(path, '')
  await using _second = await serveCni({ path, service: new Recorder(), log: silentLog })
  expect(await exchange(REQUEST)).not.toBeNull()
})

test.each([
  ['too long', Uint8Array.of(0xff, 0xff, 0xff, 0xff)],
  ['empty', Uint8Array.of(0, 0, 0, 0)],
  ['more than its length', Buffer.concat([REQUEST, Buffer.from('x')])],
  ['no variables', Uint8Array.of(0, 0, 0, 2, 0x41, 0x41)],
])('a request that is %s is dropped without an answer, and the next is served', async (_name, octets) => {
  const service = new Recorder()
  await using _server = await serveCni({ path, service, log: silentLog })
  expect((await exchange(octets)) ?? new Uint8Array()).toHaveLength(0)
  expect(service.invocations).toHaveLength(0)
  expect((await exchange(REQUEST))?.length).toBeGreaterThan(0)
})

test('a client that is too slow to ask is dropped', async () => {
  const clock = new FakeClock()
  await using _server = await serveCni({ path, service: new Recorder(), log: silentLog, clock })
  const socket = await opened()
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.write(REQUEST.subarray(0, 3))
  await settle(() => clock.armed === 1)
  clock.advance(10_000)
  await closed
  expect(clock.armed).toBe(0)
})

test('the end of the plugin aborts its request', async () => {
  const service = new Recorder()
  service.reply = new Promise(() => {})
  const server = await serveCni({ path, service, log: silentLog })
  const socket = await opened()
  socket.write(REQUEST)
  await settle(() => service.signal !== null)
  expect(service.signal?.aborted).toBe(false)
  socket.destroy()
  await settle(() => service.signal?.aborted === true)
  void server[Symbol.asyncDispose]()
})

test('disposing waits for answers under way, and drops who has not asked', async () => {
  const service = new Recorder()
  let answer: (reply: CniReply) => void = () => {}
  service.reply = new Promise((resolve) => {
    answer = resolve
  })
  const server = await serveCni({ path, service, log: silentLog })
  const idle = await opened()
  const idleClosed = new Promise((resolve) => idle.once('close', resolve))
  const asked = exchange(REQUEST)
  await settle(() => service.signal !== null)
  const disposed = server[Symbol.asyncDispose]()
  await idleClosed
  answer({ exitStatus: 1, stdout: 'late\n' })
  expect(decodeResponse((await asked) ?? new Uint8Array())).toEqual({ exitStatus: 1, stdout: 'late\n' })
  await disposed
})

test('a service that throws answers with the error 999', async () => {
  const service = new Recorder()
  service.reply = Promise.reject(new Error('bug'))
  await using _server = await serveCni({ path, service, log: silentLog })
  expect(decodeResponse((await exchange(REQUEST)) ?? new Uint8Array())?.stdout).toContain('"code":999')
})

test('beyond the limit of connections the newest is closed', async () => {
  await using _server = await serveCni({ path, service: new Recorder(), log: silentLog, maxConnections: 1 })
  const first = await opened()
  expect((await exchange(REQUEST)) ?? new Uint8Array()).toHaveLength(0)
  first.destroy()
  await new Promise((resolve) => first.once('close', resolve))
})

test('a path that cannot be listened on is an error', async () => {
  const other = createServer().listen(join(directory, 'x'))
  await expect(serveCni({ path: join(directory, 'x'.repeat(200)), service: new Recorder(), log: silentLog })).rejects.toThrow()
  other.close()
})
