// What the lab needs to know of a router implementation: its configuration, its processes, and how to ask it for its sessions.
// Everything here is pure; the lab's shell writes the files, runs the processes and executes the questions.
import type { Plan, Router } from '../plan.ts'

/** Folders of one router. */
export type RouterPaths = { readonly config: string; readonly run: string }

export type ConfigFile = { readonly path: string; readonly text: string }

/** A process that runs in a speaker's namespace for as long as the lab is up. */
export type ProcessSpec = {
  /** Unique; names its log. */
  readonly name: string
  readonly speaker: string
  readonly netns: string
  readonly argv: readonly [string, ...string[]]
  readonly env: Readonly<Record<string, string>>
  readonly log: string
  /** Start only once this file exists; null: at once. */
  readonly waitFor: string | null
}

export type RouterProcess = Pick<ProcessSpec, 'name' | 'argv' | 'waitFor'>

/** A session as a router sees it. */
export type RouterSession = {
  readonly remoteAddress: string
  readonly isEstablished: boolean
  readonly state: string
  /** Differs from before whenever the session has been down in between. */
  readonly mark: string
}

export type RealRouter = {
  /** Debian package to install, and the programs that must be there. */
  readonly packages: string
  readonly programs: readonly string[]
  /** For how long after its start it sets the R bit in its OPENs: nobody who restarts meanwhile waits for its routes (RFC 4724 §4.1). */
  readonly restartingForSeconds: number
  /** System user that must own its folders; null: root. */
  readonly user: string | null
  files(plan: Plan, router: Router, paths: RouterPaths): readonly ConfigFile[]
  /** `program`: how to run this very program, for helpers of ours. */
  processes(router: Router, paths: RouterPaths, program: readonly [string, ...string[]]): readonly RouterProcess[]
  /** Command, run in the router's namespace, whose output `parseSessions` reads. */
  sessionsCommand(paths: RouterPaths): readonly [string, ...string[]]
  parseSessions(output: string): readonly RouterSession[]
  /** For people: a command to look around with `fibula lab exec ROUTER -- …`. */
  lookCommand(paths: RouterPaths): string
}
