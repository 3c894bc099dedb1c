// When a session that is not up is a problem: not while both ends are still beginning, at once when it was up.
import { expect, test } from '@jest/globals'
import { config, peer, World } from './speaker-world.ts'

const A = '10.0.0.1'
const B = '10.0.0.2'
const toA = `to-${A}`
const toB = `to-${B}`
const RETRY = { connectRetrySeconds: 10 }

test('a peer that is not listening yet is no problem; it comes up within two attempts, and nobody was told of any', () => {
  const world = new World()
  const a = world.start(A, config(65_001, 1, [peer(B, 65_002, RETRY)]))
  world.run(5)
  expect(a.status(toB).lastError).toContain('connection refused')
  expect(a.speaker.problems()).toEqual([])
  const before = a.problemChanges
  world.start(B, config(65_002, 2, [peer(A, 65_001, RETRY)]))
  world.run(14)
  expect(a.states()).toEqual({ [toB]: 'Established' })
  expect(a.speaker.problems()).toEqual([])
  expect(a.problemChanges).toBe(before + 1) // with the session
})

test('after twice the pause between attempts it is one, and the observer is told', () => {
  const world = new World()
  const a = world.start(A, config(65_001, 1, [peer(B, 65_002, RETRY)]))
  world.run(19)
  expect(a.speaker.problems()).toEqual([])
  const before = a.problemChanges
  world.run(2)
  expect(a.problemChanges).toBeGreaterThan(before)
  expect(a.speaker.problems()).toMatchObject([
    { severity: 'error', subject: `BGPPeer/${toB}`, message: expect.stringContaining('connection refused') },
  ])
})

test('another reason for the same problem is told as well', () => {
  const world = new World()
  const a = world.start(A, config(65_001, 1, [peer(B, 65_002, RETRY)]))
  world.run(60)
  const before = a.problemChanges
  world.start(B, config(65_009, 2, [peer(A, 65_001, RETRY)]))
  world.run(120)
  expect(a.problemChanges).toBeGreaterThan(before)
  expect(a.speaker.problems()[0]?.message).toMatch(/65009|bad peer AS/i)
})

test('a session that was up and is lost is a problem at once', () => {
  const world = new World()
  const a = world.start(A, config(65_001, 1, [peer(B, 65_002, RETRY)]))
  const b = world.start(B, config(65_002, 2, [peer(A, 65_001, RETRY)]))
  world.run(8)
  expect(a.states()).toEqual({ [toB]: 'Established' })
  b.speaker.stop('cease')
  world.run(1)
  expect(a.speaker.problems()).toMatchObject([{ severity: 'error', subject: `BGPPeer/${toB}` }])
  expect(b.speaker.problems()).toMatchObject([{ severity: 'error', subject: `BGPPeer/${toA}` }])
})

test('a peer shut down by configuration is none; allowed again it is awaited anew', () => {
  const world = new World()
  const down = { ...RETRY, shutdown: { message: '' } }
  const a = world.start(A, config(65_001, 1, [peer(B, 65_002, down)]))
  world.run(100)
  expect(a.speaker.problems()).toEqual([])
  a.speaker.configure(config(65_001, 1, [peer(B, 65_002, RETRY)]))
  world.run(15)
  expect(a.speaker.problems()).toEqual([])
  world.run(10)
  expect(a.speaker.problems()).toHaveLength(1)
})
