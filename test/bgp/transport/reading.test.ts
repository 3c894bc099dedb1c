import net from 'node:net'
import { describe, expect, test } from '@jest/globals'
import { TcpConnection } from '../../../src/bgp/tcp-connection.ts'
import { FakeClock } from '../../../src/lib/clock.ts'
import { ip } from '../../../src/net/index.ts'

const CHUNK = Buffer.alloc(64 * 1024)

function open() {
  const socket = new net.Socket()
  const clock = new FakeClock()
  const end = { address: ip('192.0.2.1'), interface: null, port: 179 }
  const connection = new TcpConnection(socket, clock, { local: end, remote: end, direction: 'incoming' })
  let bytes = 0
  connection.attach({
    received: (chunk) => {
      bytes += chunk.length
    },
    drained: () => {},
    progressed: () => {},
    closed: () => {},
  })
  return { socket, clock, connection, received: () => bytes }
}

describe('reading from a peer that sends without pause', () => {
  test('rests after 128 KiB until the event loop has been round, so that keepalives of others are not late', () => {
    const { socket, clock, received } = open()
    socket.emit('data', CHUNK)
    expect(socket.isPaused()).toBe(false)
    socket.emit('data', CHUNK)
    expect([socket.isPaused(), received()]).toEqual([true, 128 * 1024])
    clock.advance(0)
    expect(socket.isPaused()).toBe(false)
    socket.emit('data', CHUNK)
    expect(socket.isPaused()).toBe(false)
  })

  test('a chunk that comes while it rests is not lost', () => {
    const { socket, clock, received } = open()
    for (let chunk = 0; chunk < 5; chunk++) socket.emit('data', CHUNK)
    expect(received()).toBe(5 * CHUNK.length)
    clock.advance(0)
    expect([socket.isPaused(), clock.armed]).toEqual([false, 0])
  })

  test('the end of the rest does not undo a pause, and a resume does not cut the rest short', () => {
    const { socket, clock, connection } = open()
    for (let chunk = 0; chunk < 2; chunk++) socket.emit('data', CHUNK)
    connection.pause()
    clock.advance(0)
    expect(socket.isPaused()).toBe(true)
    connection.resume()
    expect(socket.isPaused()).toBe(false)

    for (let chunk = 0; chunk < 2; chunk++) socket.emit('data', CHUNK)
    connection.pause()
    connection.resume()
    expect(socket.isPaused()).toBe(true)
    clock.advance(0)
    expect(socket.isPaused()).toBe(false)
  })

  test('a connection that is closed meanwhile leaves no timer behind', () => {
    const { socket, clock, connection } = open()
    for (let chunk = 0; chunk < 2; chunk++) socket.emit('data', CHUNK)
    connection.destroy()
    socket.emit('close')
    expect(clock.armed).toBe(0)
  })
})
