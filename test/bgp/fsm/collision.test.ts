import { describe, expect, test } from '@jest/globals'
import {
  type Direction,
  type Identity,
  type OtherConnection,
  RESTART_GRACE_MS,
  resolveCollision,
  type Verdict,
} from '../../../src/bgp/fsm/index.ts'

const LOW: Identity = { asn: 65001, routerId: 0x0a00_0001 }
const HIGH: Identity = { asn: 65002, routerId: 0xc0a8_0001 } // negative as a signed number
const OTHER_WAY: { readonly [D in Direction]: Direction } = { outgoing: 'incoming', incoming: 'outgoing' }

/** Which connection survives at `local`, when the OPEN on the `arriving` one comes second. */
function survivor(local: Identity, remote: Identity, arriving: Direction): Direction {
  const verdict = resolveCollision(local, remote, arriving, { kind: 'OpenConfirm' })
  expect(['closeArriving', 'closeOther']).toContain(verdict)
  return verdict === 'closeOther' ? arriving : OTHER_WAY[arriving]
}

describe('collision (RFC 4271 §6.8, RFC 6286 §2.3)', () => {
  test.each(['Connect', 'Active', 'OpenSent'] as const)('[rule 36] while the other is in %s both live', (kind) => {
    for (const arriving of ['outgoing', 'incoming'] as const) expect(resolveCollision(LOW, HIGH, arriving, { kind })).toBe('keepBoth')
  })

  test('[rule 37] the connection begun by the higher identifier survives, compared as unsigned numbers', () => {
    for (const arriving of ['outgoing', 'incoming'] as const) {
      expect(survivor(LOW, HIGH, arriving)).toBe('incoming')
      expect(survivor(HIGH, LOW, arriving)).toBe('outgoing')
    }
  })

  test('[rule 38] with equal identifiers the higher AS number decides', () => {
    const small = { asn: 65001, routerId: 7 }
    const big = { asn: 4_200_000_000, routerId: 7 }
    for (const arriving of ['outgoing', 'incoming'] as const) {
      expect(survivor(small, big, arriving)).toBe('incoming')
      expect(survivor(big, small, arriving)).toBe('outgoing')
    }
  })

  test('[rule 41] both sides keep the same connection, in every order of their OPENs', () => {
    for (const [a, b] of [
      [LOW, HIGH],
      [HIGH, LOW],
      [
        { asn: 1, routerId: 5 },
        { asn: 2, routerId: 5 },
      ],
    ] as const) {
      for (const atA of ['outgoing', 'incoming'] as const) {
        for (const atB of ['outgoing', 'incoming'] as const) {
          expect(survivor(b, a, atB)).toBe(OTHER_WAY[survivor(a, b, atA)]) // the same connection, seen from its other end
        }
      }
    }
  })

  const established = (graceful: boolean, establishedBeforeMs: number): OtherConnection => ({
    kind: 'Established',
    graceful,
    establishedBeforeMs,
  })

  test('[rule 40] an Established session wins over a new connection', () => {
    for (const arriving of ['outgoing', 'incoming'] as const) {
      expect(resolveCollision(LOW, HIGH, arriving, established(false, 3_600_000))).toBe('closeArriving')
      expect(resolveCollision(HIGH, LOW, arriving, established(false, 3_600_000))).toBe('closeArriving')
    }
  })

  test('[rule 40] [rule 153] with graceful restart a new OPEN means that the peer has restarted (RFC 4724 §5)', () => {
    expect(resolveCollision(HIGH, LOW, 'incoming', established(true, RESTART_GRACE_MS + 1))).toBe('peerRestarted')
  })

  test('the late half of a simultaneous open is no restart', () => {
    const cases: readonly [number, Verdict][] = [
      [-3, 'closeArriving'],
      [0, 'closeArriving'],
      [RESTART_GRACE_MS, 'closeArriving'],
      [RESTART_GRACE_MS + 1, 'peerRestarted'],
    ]
    for (const [beforeMs, verdict] of cases) expect(resolveCollision(LOW, HIGH, 'incoming', established(true, beforeMs))).toBe(verdict)
  })
})
