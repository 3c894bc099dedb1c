// The whole machine: (state, event, local) -> { state, actions }. Deterministic; no clock, no socket, no randomness, no log.
import { unreachable } from '../../lib/result.ts'
import type { Step } from './action.ts'
import { inActive } from './active.ts'
import { inConnect } from './connect.ts'
import { inEstablished } from './established.ts'
import type { Event, Local } from './event.ts'
import { inIdle } from './idle.ts'
import { inOpenConfirm } from './open-confirm.ts'
import { inOpenSent } from './open-sent.ts'
import type { State } from './state.ts'

export function transition(state: State, event: Event, local: Local): Step {
  switch (state.kind) {
    case 'Idle':
      return inIdle(state, event, local)
    case 'Connect':
      return inConnect(state, event, local)
    case 'Active':
      return inActive(state, event, local)
    case 'OpenSent':
      return inOpenSent(state, event, local)
    case 'OpenConfirm':
      return inOpenConfirm(state, event)
    case 'Established':
      return inEstablished(state, event)
    default:
      return unreachable(state)
  }
}
