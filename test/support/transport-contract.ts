// What every Transport promises, run against the one in memory and the one on real sockets.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import {
  type CloseReason,
  type Connection,
  type DialOptions,
  HIGH_WATER_BYTES,
  LOW_WATER_BYTES,
  type Transport,
  TransportError,
} from '../../src/bgp/transport.ts'
import type { IpAddress } from '../../src/net/index.ts'

/** Two hosts and a way to let time pass. */
export interface World extends AsyncDisposable {
  readonly near: { readonly transport: Transport; readonly address: IpAddress }
  readonly far: { readonly transport: Transport; readonly address: IpAddress; readonly port: number }
  /** An address neither host has. */
  readonly foreign: IpAddress
  /** Lets time pass until `condition` holds; rejects, naming `what`, if it never does. */
  until(condition: () => boolean, what: string): Promise<void>
  /** Lets so much time pass that whatever was going to happen has. */
  settle(): Promise<void>
}

/** One end of a connection and all that its handler was told. */
export class End {
  readonly connection: Connection
  readonly chunks: Buffer[] = []
  readonly closed: CloseReason[] = []
  drained = 0
  progressed = 0
  receivedBytes = 0
  onProgressed: () => void = () => {}
  constructor(connection: Connection) {
    this.connection = connection
    connection.attach({
      received: (bytes) => {
        if (this.closed.length > 0) throw new Error('received after closed')
        this.chunks.push(Buffer.from(bytes))
        this.receivedBytes += bytes.length
      },
      drained: () => {
        this.drained++
      },
      progressed: () => {
        this.progressed++
        this.onProgressed()
      },
      closed: (reason) => this.closed.push(reason),
    })
  }
  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }
}

const pattern = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, at) => (at * 7 + (at >> 8)) & 255))

export function transportContract(name: string, createWorld: () => World): void {
  describe(`Transport: ${name}`, () => {
    let world: World
    let cleanup = new DisposableStack()
    beforeEach(() => {
      world = createWorld()
      cleanup = new DisposableStack()
    })
    afterEach(async () => {
      cleanup.dispose()
      await world[Symbol.asyncDispose]()
    })

    function open(connection: Connection): End {
      cleanup.defer(() => connection.destroy())
      return new End(connection)
    }

    const options = (over: Partial<DialOptions> = {}): DialOptions => ({
      remote: { address: world.far.address, interface: null, port: world.far.port },
      sourceAddress: world.near.address,
      password: null,
      hopLimit: { send: 64, receiveAtLeast: null },
      userTimeoutMs: 60_000, // no part of the contract: the kernel would end a connection over a reader that pauses for longer
      ...over,
    })

    async function connect(): Promise<{ near: End; far: End; listener: Disposable }> {
      const ends: { near?: End; far?: End } = {}
      const listener = world.far.transport.listen([world.far.address], world.far.port, (connection) => {
        ends.far = open(connection)
      })
      cleanup.use(listener)
      const connected = (connection: Connection): void => {
        ends.near = open(connection)
      }
      const failed = (reason: { message: string }): void => {
        throw new Error(reason.message)
      }
      world.near.transport.dial(options(), connected, failed)
      await world.until(() => ends.near !== undefined && ends.far !== undefined, 'the connection')
      if (ends.near === undefined || ends.far === undefined) throw new Error('not connected')
      return { near: ends.near, far: ends.far, listener }
    }

    test('both ends know their endpoints and who began', async () => {
      const { near, far } = await connect()
      expect(near.connection.direction).toBe('outgoing')
      expect(far.connection.direction).toBe('incoming')
      expect(near.connection.remote).toEqual({ address: world.far.address, interface: null, port: world.far.port })
      expect(near.connection.local.address).toBe(world.near.address)
      expect(far.connection.remote).toEqual(near.connection.local)
      expect(far.connection.local).toEqual(near.connection.remote)
    })

    test('octets arrive both ways, whole and in order', async () => {
      const { near, far } = await connect()
      const sent = pattern(200_000)
      for (let at = 0; at < sent.length; at += 3_333) near.connection.write(sent.subarray(at, at + 3_333))
      far.connection.write(Buffer.from('answer'))
      await world.until(() => far.receivedBytes === sent.length && near.text === 'answer', 'the octets')
      expect(Buffer.concat(far.chunks).equals(sent)).toBe(true)
      expect(near.connection.bufferedBytes).toBe(0)
    })

    test('a reader that pauses stops the writer, without loss; then progress, then room, then all of it', async () => {
      const { near, far } = await connect()
      far.connection.pause()
      const piece = pattern(512 * 1024)
      const isFull = (): boolean => near.connection.bufferedBytes > HIGH_WATER_BYTES + piece.length
      let sentBytes = 0
      while (!isFull() && sentBytes < 256 * 1024 * 1024) {
        for (let i = 0; i < 8 && !isFull(); i++, sentBytes += piece.length) near.connection.write(piece)
        await world.settle()
      }
      expect(near.connection.write(piece)).toBe(false)
      sentBytes += piece.length
      let stalledAt = -1
      for (; near.progressed !== stalledAt; await world.settle()) stalledAt = near.progressed // until it stands still
      const drainedBefore = near.drained
      const early: boolean[] = [] // between the marks, before drained has been told
      near.onProgressed = () => {
        const isBetween = near.connection.bufferedBytes < HIGH_WATER_BYTES && near.connection.bufferedBytes > LOW_WATER_BYTES
        if (!isBetween || near.drained > drainedBefore) return
        early.push(near.connection.write(Buffer.from('.')))
        sentBytes++
      }
      far.connection.resume()
      await world.until(() => near.drained > drainedBefore, 'room')
      expect(early.length).toBeGreaterThan(0)
      expect(early).not.toContain(true)
      await world.until(() => far.receivedBytes === sentBytes, 'the octets that were held back')
      expect(near.progressed).toBeGreaterThan(stalledAt)
      expect(near.drained).toBe(drainedBefore + 1)
      expect(near.connection.bufferedBytes).toBe(0)
      expect(near.connection.write(Buffer.from('x'))).toBe(true)
    })

    test('small writes are taken and progress is told', async () => {
      const { near, far } = await connect()
      expect(near.connection.write(Buffer.from('hello'))).toBe(true)
      await world.until(() => far.text === 'hello', 'hello')
      expect(near.progressed).toBe(1)
      expect(near.drained).toBe(0)
    })

    test('close sends what is queued, then both ends learn of it, once', async () => {
      const { near, far } = await connect()
      const sent = pattern(400_000)
      near.connection.write(sent)
      near.connection.close()
      expect(near.connection.write(Buffer.from('too late'))).toBe(false)
      await world.until(() => near.closed.length > 0 && far.closed.length > 0, 'the end')
      await world.settle()
      expect(Buffer.concat(far.chunks).equals(sent)).toBe(true)
      expect(near.closed).toEqual([{ kind: 'closedByUs' }])
      expect(far.closed).toEqual([{ kind: 'closedByPeer' }])
    })

    test('[rule 53] last words survive although the other end keeps sending', async () => {
      const { near, far } = await connect()
      for (let i = 0; i < 64; i++) far.connection.write(pattern(4_096))
      near.connection.write(Buffer.from('NOTIFICATION'))
      near.connection.close()
      for (let i = 0; i < 64; i++) far.connection.write(pattern(4_096))
      const before = near.receivedBytes
      await world.until(() => near.closed.length > 0 && far.closed.length > 0, 'the end')
      expect(far.text).toBe('NOTIFICATION')
      expect(far.closed).toEqual([{ kind: 'closedByPeer' }])
      expect(near.receivedBytes).toBe(before) // what still comes is not delivered
    })

    test('close ends even if the other end never reads, never answers', async () => {
      const { near, far } = await connect()
      far.connection.pause()
      near.connection.write(Buffer.from('bye'))
      near.connection.close()
      await world.until(() => near.closed.length > 0, 'the end')
      expect(near.closed).toEqual([{ kind: 'closedByUs' }])
      far.connection.destroy()
    })

    test('destroy ends both at once', async () => {
      const { near, far } = await connect()
      near.connection.destroy()
      near.connection.destroy()
      await world.until(() => near.closed.length > 0 && far.closed.length > 0, 'the end')
      expect(near.closed).toEqual([{ kind: 'closedByUs' }])
      expect(far.closed.map((reason) => reason.kind)).not.toContain('closedByUs')
    })

    test('a dial that nobody answers to fails by name', async () => {
      const failures: string[] = []
      world.near.transport.dial(
        options(),
        () => failures.push('connected'),
        ({ code }) => failures.push(code),
      )
      expect(failures).toEqual([]) // never within the call
      await world.until(() => failures.length > 0, 'the refusal')
      expect(failures).toEqual(['ECONNREFUSED'])
    })

    test('a source address that is not ours fails the dial', async () => {
      const failures: string[] = []
      const onFailure = ({ code }: { code: string }): void => void failures.push(code)
      world.near.transport.dial(options({ sourceAddress: world.foreign }), () => failures.push('connected'), onFailure)
      expect(failures).toEqual([])
      await world.until(() => failures.length > 0, 'the failure')
      expect(failures).toEqual(['EADDRNOTAVAIL'])
    })

    test('a cancelled dial tells nobody anything', async () => {
      const told: string[] = []
      const incoming: End[] = []
      using _listener = world.far.transport.listen([world.far.address], world.far.port, (connection) => incoming.push(open(connection)))
      const pending = world.near.transport.dial(
        options(),
        () => told.push('connected'),
        () => told.push('failed'),
      )
      pending[Symbol.dispose]()
      await world.settle()
      expect(told).toEqual([])
      await world.until(() => incoming.every((end) => end.closed.length > 0), 'the end of what had come')
    })

    test('a dial disposed after it has connected leaves the connection alone', async () => {
      const ends: End[] = []
      using _listener = world.far.transport.listen([world.far.address], world.far.port, (connection) => ends.push(open(connection)))
      const pending = world.near.transport.dial(
        options(),
        (connection) => ends.push(open(connection)),
        () => {},
      )
      await world.until(() => ends.length === 2, 'the connection')
      pending[Symbol.dispose]()
      for (const end of ends) end.connection.write(Buffer.from('alive'))
      await world.until(() => ends.every((end) => end.text === 'alive'), 'life')
    })

    test('a listener that is gone accepts nobody, and its connections stay', async () => {
      const { near, far, listener } = await connect()
      listener[Symbol.dispose]()
      await world.settle()
      const failures: string[] = []
      world.near.transport.dial(
        options(),
        () => failures.push('connected'),
        ({ code }) => failures.push(code),
      )
      await world.until(() => failures.length > 0, 'the refusal')
      expect(failures).toEqual(['ECONNREFUSED'])
      near.connection.write(Buffer.from('alive'))
      await world.until(() => far.text === 'alive', 'life')
    })

    test('an address that is taken cannot be listened on twice', () => {
      using _listener = world.far.transport.listen([world.far.address], world.far.port, () => {})
      const again = (): unknown => world.far.transport.listen([world.far.address], world.far.port, () => {})
      expect(again).toThrow(TransportError)
      expect(again).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }))
    })
  })
}
