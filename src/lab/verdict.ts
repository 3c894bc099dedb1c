// What is not as it should be, one sentence each. Pure: the demo's exit status follows from it.
import type { CrashResult, CutResult } from './experiments.ts'
import type { SessionReport } from './sessions.ts'

export type PingCell = {
  readonly from: string
  readonly to: string
  readonly family: 'ipv4' | 'ipv6'
  readonly sent: number
  readonly lost: number
  readonly rttMs: number | null
}

export function sessionFailures({ speaker, peer, state, isEstablished, lastError }: SessionReport): readonly string[] {
  return isEstablished ? [] : [`the session of ${speaker} with ${peer} is ${state}${lastError === null ? '' : `: ${lastError}`}`]
}

export function pingFailures({ from, to, family, sent, lost }: PingCell): readonly string[] {
  return lost === 0 ? [] : [`${lost} of ${sent} ${family} pings from ${from} to ${to} were lost`]
}

export function cutFailures({ link, hasMoved, affectedFlows }: CutResult): readonly string[] {
  return hasMoved ? [] : [`traffic did not move away from ${link}: ${affectedFlows} flows were interrupted`]
}

/** A kill that nobody noticed proves nothing, and counts as a failure too. */
export function crashFailures({ speaker, sent, lost, proof, pidBefore, pidAfter }: CrashResult): readonly string[] {
  const unproven = new Set(proof.filter(({ before, after }) => after === '' || before === after).map((each) => each.speaker))
  return [
    ...(lost > 0 ? [`${lost} of ${sent} packets were lost to the kill -9 of ${speaker}`] : []),
    ...(sent === 0 ? [`no packet was sent during the kill -9 of ${speaker}`] : []),
    ...(pidBefore === pidAfter ? [`the agent of ${speaker} was not restarted`] : []),
    ...(proof.length === 0 ? [`${speaker} has no peer that could have noticed its kill -9`] : []),
    ...[...unproven].map((peer) => `${peer} has not seen its session with ${speaker} go down and come back, so the kill -9 proves nothing`),
  ]
}
