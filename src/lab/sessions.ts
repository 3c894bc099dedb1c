// The BGP sessions of a lab as every speaker sees them, whatever it runs.
import { join } from 'node:path'
import type { PeerStatus } from '../bgp/index.ts'
import { ExecError } from '../lib/exec.ts'
import { requestJson } from '../lib/unix-http.ts'
import { type Lab, runInside } from './lab.ts'
import type { LabPaths } from './paths.ts'
import { type Plan, type Session, type Speaker, sessionsOf, speakersOf } from './plan.ts'
import { type RouterSession, realRouter } from './routers/index.ts'

export type SessionReport = Session & {
  readonly state: string
  readonly isEstablished: boolean
  /** Why it is not established, where the speaker says. */
  readonly lastError: string | null
  /** Differs from before whenever the session has been down in between; null while the speaker does not answer. */
  readonly mark: string | null
}

/** Every end of every planned session, in the order of the plan. */
export async function readSessions({ plan, paths }: Lab): Promise<readonly SessionReport[]> {
  return (await Promise.all(speakersOf(plan).map((speaker) => readSpeaker(plan, paths, speaker)))).flat()
}

async function readSpeaker(plan: Plan, paths: LabPaths, speaker: Speaker): Promise<readonly SessionReport[]> {
  const isFibula = speaker.role === 'node' || plan.routerKind === 'fibula'
  const seen = isFibula ? await askAgent(paths.run(speaker.name)) : await askRouter(plan, paths, speaker)
  const byAddress = new Map(seen?.map((session) => [session.remoteAddress, session]))
  return sessionsOf(plan, speaker.name).map((session) => {
    const found = byAddress.get(session.remoteAddress)
    if (found !== undefined)
      return { ...session, state: found.state, isEstablished: found.isEstablished, lastError: found.lastError, mark: found.mark }
    const lastError = seen === null ? `${speaker.name} does not answer` : `${speaker.name} has no such peer`
    return { ...session, state: seen === null ? 'unknown' : 'unconfigured', isEstablished: false, lastError, mark: null }
  })
}

type Seen = RouterSession & { readonly lastError: string | null }

/** null: nobody answers. */
async function askAgent(runDir: string): Promise<readonly Seen[] | null> {
  try {
    const { body } = await requestJson({ socketPath: join(runDir, 'agent.sock'), method: 'GET', path: '/v1/bgp/peers', timeoutMs: 2000 })
    if (!Array.isArray(body)) return null
    return body.map(({ address, state, flaps, since, established, lastError }: PeerStatus) => {
      const mark = `${flaps} flaps, established ${established} times, since ${since}`
      return { remoteAddress: address, state, isEstablished: state === 'Established', lastError, mark }
    })
  } catch {
    return null // it is starting, or restarting: the caller waits and asks again
  }
}

async function askRouter(plan: Plan, paths: LabPaths, { name, netns }: Speaker): Promise<readonly Seen[] | null> {
  const router = realRouter(plan.routerKind)
  if (router === null) return null
  try {
    const output = await runInside(netns, router.sessionsCommand({ config: paths.config(name), run: paths.run(name) }))
    return router.parseSessions(output).map((session) => ({ ...session, lastError: null }))
  } catch (error) {
    if (error instanceof ExecError || error instanceof SyntaxError) return null // as above
    throw error
  }
}
