// Every cell of the RFC 4271 §8.2.2 table, events in rows and states in columns, each with the whole list of actions.
import { describe, expect, test } from '@jest/globals'
import { type Event, type EventKind, type Local, type Notification, type State, type Step, transition } from '../../../src/bgp/fsm/index.ts'

const LOCAL: Local = { passive: false, connectRetrySeconds: 5, openWaitSeconds: 240 }
const note = (code: number, subcode: number): Notification => ({ code, subcode, data: new Uint8Array(0) })
const AGREED = { holdTimeSeconds: 90, keepaliveSeconds: 30 }

type StateName = State['kind']
const STATE: { readonly [S in StateName]: State } = {
  Idle: { kind: 'Idle', connectRetryCounter: 3 },
  Connect: { kind: 'Connect', connectRetryCounter: 3 },
  Active: { kind: 'Active', connectRetryCounter: 3 },
  OpenSent: { kind: 'OpenSent', connectRetryCounter: 3 },
  OpenConfirm: { kind: 'OpenConfirm', connectRetryCounter: 3, ...AGREED },
  Established: { kind: 'Established', connectRetryCounter: 3, ...AGREED },
}
const EVENT: { readonly [K in EventKind]: Event } = {
  manualStart: { kind: 'manualStart' },
  manualStop: { kind: 'manualStop', notification: note(6, 2) },
  automaticStart: { kind: 'automaticStart' },
  manualStartPassive: { kind: 'manualStartPassive' },
  automaticStartPassive: { kind: 'automaticStartPassive' },
  automaticStartDamped: { kind: 'automaticStartDamped' },
  automaticStartDampedPassive: { kind: 'automaticStartDampedPassive' },
  automaticStop: { kind: 'automaticStop', notification: note(6, 1) },
  connectRetryTimerExpired: { kind: 'connectRetryTimerExpired' },
  holdTimerExpired: { kind: 'holdTimerExpired' },
  keepaliveTimerExpired: { kind: 'keepaliveTimerExpired' },
  idleHoldTimerExpired: { kind: 'idleHoldTimerExpired' },
  tcpConnectionValid: { kind: 'tcpConnectionValid' },
  tcpConnectionInvalid: { kind: 'tcpConnectionInvalid' },
  tcpConnectionAcked: { kind: 'tcpConnectionAcked' },
  tcpConnectionConfirmed: { kind: 'tcpConnectionConfirmed' },
  tcpConnectionFails: { kind: 'tcpConnectionFails' },
  openReceived: { kind: 'openReceived', ...AGREED },
  headerError: { kind: 'headerError', notification: note(1, 2) },
  openMessageError: { kind: 'openMessageError', notification: note(2, 6) },
  openCollisionDump: { kind: 'openCollisionDump' },
  notificationVersionError: { kind: 'notificationVersionError' },
  notificationReceived: { kind: 'notificationReceived' },
  keepaliveReceived: { kind: 'keepaliveReceived' },
  updateReceived: { kind: 'updateReceived' },
  updateMessageError: { kind: 'updateMessageError', notification: note(3, 10) },
  sendHoldTimerExpired: { kind: 'sendHoldTimerExpired' },
  routeRefreshReceived: { kind: 'routeRefreshReceived' },
  updateSent: { kind: 'updateSent' },
}

/** `STATE ++|=0|` and the actions, e.g. `Idle ++ N5/1 close`. Stopping all timers, as every way to Idle must, shows as `close`. */
function shown({ state, actions }: Step, before: State): string {
  const counter = state.connectRetryCounter
  const change = counter === before.connectRetryCounter ? '' : counter === before.connectRetryCounter + 1 ? ' ++' : ` =${counter}`
  const words = actions.map((action) => {
    switch (action.kind) {
      case 'sendNotification':
        return `N${action.notification.code}/${action.notification.subcode}`
      case 'armTimer':
        return `+${action.timer}:${action.seconds}`
      case 'cancelTimer':
        return `-${action.timer}`
      default:
        return action.kind
    }
  })
  return `${state.kind}${change} ${words.join(' ')}`.trim().replace('closeConnection -connectRetry -hold -keepalive', 'release')
}

const IGNORE = 'same'
const OPEN_SENT = 'OpenSent -connectRetry sendOpen +hold:240'
const COLUMNS: readonly StateName[] = ['Idle', 'Connect', 'Active', 'OpenSent', 'OpenConfirm', 'Established']
const ERROR = ['Idle ++ N5/1 release', 'Idle ++ N5/2 release', 'Idle ++ N5/3 release sessionDown'] as const
type Row = readonly [string, string, string, string, string, string]
const started = (idle: string): Row => [idle, IGNORE, IGNORE, IGNORE, IGNORE, IGNORE]

const GRID: { readonly [K in EventKind]: Row } = {
  manualStart: started('Connect =0 +connectRetry:5 dial'),
  automaticStart: started('Connect =0 +connectRetry:5 dial'),
  manualStartPassive: started('Active =0 +connectRetry:5'),
  automaticStartPassive: started('Active =0 +connectRetry:5'),
  automaticStartDamped: started('Connect +connectRetry:5 dial'),
  automaticStartDampedPassive: started('Active +connectRetry:5'),
  idleHoldTimerExpired: ['Connect +connectRetry:5 dial', 'Idle ++ release', 'Idle ++ release', ...ERROR],
  manualStop: [
    IGNORE,
    'Idle =0 release',
    'Idle =0 release',
    'Idle =0 N6/2 release',
    'Idle =0 N6/2 release',
    'Idle =0 N6/2 release sessionDown',
  ],
  automaticStop: [
    IGNORE,
    'Idle ++ release',
    'Idle ++ release',
    'Idle ++ N6/1 release',
    'Idle ++ N6/1 release',
    'Idle ++ N6/1 release sessionDown',
  ],
  connectRetryTimerExpired: [IGNORE, 'Connect closeConnection +connectRetry:5 dial', 'Connect +connectRetry:5 dial', ...ERROR],
  holdTimerExpired: [
    IGNORE,
    'Idle ++ release',
    'Idle ++ release',
    'Idle ++ N4/0 release',
    'Idle ++ N4/0 release',
    'Idle ++ N4/0 release sessionDown',
  ],
  keepaliveTimerExpired: [
    IGNORE,
    'Idle ++ release',
    'Idle ++ release',
    'Idle ++ N5/1 release',
    'OpenConfirm sendKeepalive +keepalive:30',
    'Established sendKeepalive +keepalive:30',
  ],
  tcpConnectionValid: [IGNORE, IGNORE, IGNORE, IGNORE, IGNORE, IGNORE],
  tcpConnectionInvalid: [IGNORE, IGNORE, IGNORE, IGNORE, IGNORE, IGNORE],
  tcpConnectionAcked: [IGNORE, OPEN_SENT, OPEN_SENT, IGNORE, IGNORE, IGNORE],
  tcpConnectionConfirmed: [IGNORE, OPEN_SENT, OPEN_SENT, IGNORE, IGNORE, IGNORE],
  tcpConnectionFails: [
    IGNORE,
    'Idle release',
    'Idle ++ release',
    'Active closeConnection -hold +connectRetry:5',
    'Idle ++ release',
    'Idle ++ release sessionDown',
  ],
  openReceived: [
    IGNORE,
    'Idle ++ release',
    'Idle ++ release',
    'OpenConfirm sendKeepalive +keepalive:30 +hold:90',
    'Idle ++ N5/2 release',
    'Idle ++ N5/3 release sessionDown',
  ],
  headerError: [
    IGNORE,
    'Idle ++ release',
    'Idle ++ release',
    'Idle ++ N1/2 release',
    'Idle ++ N1/2 release',
    'Idle ++ N1/2 release sessionDown',
  ],
  openMessageError: [
    IGNORE,
    'Idle ++ release',
    'Idle ++ release',
    'Idle ++ N2/6 release',
    'Idle ++ N2/6 release',
    'Idle ++ N5/3 release sessionDown',
  ],
  openCollisionDump: [
    IGNORE,
    'Idle ++ release',
    'Idle ++ release',
    'Idle ++ N6/7 release',
    'Idle ++ N6/7 release',
    'Idle ++ N6/7 release sessionDown',
  ],
  notificationVersionError: [IGNORE, 'Idle ++ release', 'Idle ++ release', 'Idle release', 'Idle release', 'Idle ++ release sessionDown'],
  notificationReceived: [IGNORE, 'Idle ++ release', 'Idle ++ release', 'Idle ++ release', 'Idle ++ release', 'Idle ++ release sessionDown'],
  keepaliveReceived: [
    IGNORE,
    'Idle ++ release',
    'Idle ++ release',
    'Idle ++ N5/1 release',
    'Established +hold:90 sessionUp',
    'Established +hold:90',
  ],
  updateReceived: [IGNORE, 'Idle ++ release', 'Idle ++ release', 'Idle ++ N5/1 release', 'Idle ++ N5/2 release', 'Established +hold:90'],
  updateMessageError: [
    IGNORE,
    'Idle ++ release',
    'Idle ++ release',
    'Idle ++ N5/1 release',
    'Idle ++ N5/2 release',
    'Idle ++ N3/10 release sessionDown',
  ],
  routeRefreshReceived: [
    IGNORE,
    'Idle ++ release',
    'Idle ++ release',
    'Idle ++ N5/1 release',
    'Idle ++ N5/2 release',
    'Established +hold:90',
  ],
  sendHoldTimerExpired: [IGNORE, IGNORE, IGNORE, IGNORE, IGNORE, 'Idle ++ N8/0 release sessionDown'],
  updateSent: [IGNORE, IGNORE, IGNORE, IGNORE, IGNORE, 'Established +keepalive:30'],
}

describe.each(Object.keys(GRID) as EventKind[])('%s', (kind) => {
  test.each(COLUMNS.map((state, column) => ({ state, cell: GRID[kind][column] })))(
    `in $state (RFC 4271 §8.2.2): $cell`,
    ({ state, cell }) => {
      const before = STATE[state]
      const step = transition(before, EVENT[kind], LOCAL)
      if (cell === IGNORE) expect(step).toEqual({ state: before, actions: [] })
      else expect(shown(step, before)).toBe(cell)
    },
  )
})

describe('what the grid does not vary', () => {
  const kinds = ({ actions }: Step): readonly string[] => actions.map(({ kind }) => kind)

  test('a silent stop sends no NOTIFICATION, in any state (RFC 4724 §4)', () => {
    for (const state of COLUMNS) {
      const step = transition(STATE[state], { kind: 'manualStop', notification: null }, LOCAL)
      expect(step.state.kind).toBe('Idle')
      expect(kinds(step)).not.toContain('sendNotification')
    }
  })

  test('[rule 54] a passive peer never dials, whatever happens to it', () => {
    const passive: Local = { ...LOCAL, passive: true }
    for (const kind of Object.keys(EVENT) as EventKind[]) {
      if (kind === 'manualStart' || kind === 'automaticStart' || kind === 'automaticStartDamped') continue // the starts that ask to dial
      for (const state of ['Idle', 'Active', 'OpenSent', 'OpenConfirm', 'Established'] as const) {
        expect(kinds(transition(STATE[state], EVENT[kind], passive))).not.toContain('dial')
      }
    }
  })

  test('[rule 20] hold time 0: no KeepaliveTimer, and the HoldTimer stops once Established (RFC 4271 §4.2)', () => {
    const none = { holdTimeSeconds: null, keepaliveSeconds: null }
    const confirm = transition(STATE.OpenSent, { kind: 'openReceived', ...none }, LOCAL)
    expect(shown(confirm, STATE.OpenSent)).toBe('OpenConfirm sendKeepalive +hold:240')
    const up = transition(confirm.state, { kind: 'keepaliveReceived' }, LOCAL)
    expect(shown(up, confirm.state)).toBe('Established -hold sessionUp')
    for (const kind of ['keepaliveReceived', 'updateReceived', 'routeRefreshReceived', 'updateSent'] as const) {
      expect(transition(up.state, EVENT[kind], LOCAL)).toEqual({ state: up.state, actions: [] })
    }
  })

  test('[rule 34] a second OPEN is an FSM error with the subcode of the state (RFC 6608)', () => {
    const subcode = (state: StateName): unknown =>
      transition(STATE[state], EVENT.openReceived, LOCAL).actions.flatMap((action) =>
        action.kind === 'sendNotification' ? [action.notification] : [],
      )
    expect(subcode('OpenConfirm')).toEqual([note(5, 2)])
    expect(subcode('Established')).toEqual([note(5, 3)])
  })

  test('[rule 53] a NOTIFICATION is never answered with another, in any state', () => {
    for (const state of COLUMNS) {
      for (const kind of ['notificationReceived', 'notificationVersionError'] as const) {
        expect(kinds(transition(STATE[state], EVENT[kind], LOCAL))).not.toContain('sendNotification')
      }
    }
  })

  test('nothing follows a NOTIFICATION on its connection but the closing of it', () => {
    for (const state of COLUMNS) {
      for (const event of Object.values(EVENT)) {
        const said = kinds(transition(STATE[state], event, LOCAL))
        const at = said.indexOf('sendNotification')
        if (at >= 0)
          expect(said.slice(at + 1).filter((kind) => kind !== 'cancelTimer' && kind !== 'sessionDown')).toEqual(['closeConnection'])
      }
    }
  })
})
