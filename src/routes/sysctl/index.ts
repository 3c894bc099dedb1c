// Checks the kernel settings that routing needs, sets those it may, and reports each with its remedy. A read-only /proc/sys
// yields a report and nothing else.
import fs from 'node:fs'
import { WRITABLE_PROC_SYS } from '../../sys/proc-sys.ts'
import type { RouteProblem } from '../status.ts'
import { planSysctls, type SysctlNeeds, type SysctlStep } from './plan.ts'

export type { SysctlNeeds } from './plan.ts'

export type SysctlReport = {
  /** As sysctl(8) writes it: `net.ipv4.ip_forward`. */
  readonly key: string
  /** `absent`: this namespace or kernel does not have the setting. */
  readonly state: 'ok' | 'set' | 'notAllowed' | 'absent'
  /** Its value now; null: absent. */
  readonly value: number | null
  readonly wanted: number
  readonly why: string
  readonly severity: 'error' | 'warning'
  /** What a person can do; null if nothing is to be done. */
  readonly remedy: string | null
}

/** The settings of the calling thread's network namespace. */
export interface SysctlFiles {
  /** Content of a file below /proc/sys, or null if there is none. */
  read(path: string): string | null
  /** False if writing is not allowed. */
  write(path: string, value: string): boolean
}

/** Brings every setting to what routing needs, as far as that is allowed. */
export function applySysctls(needs: SysctlNeeds, files: SysctlFiles = PROC_SYS): readonly SysctlReport[] {
  const done = new Set<string>()
  return planSysctls(needs, (path) => numberIn(files.read(path))).map((step) => {
    const report = applyStep(step, done, files)
    if (report.state === 'ok' || report.state === 'set') done.add(step.path)
    return report
  })
}

/** Conditions for what could not be set. */
export function sysctlProblems(reports: readonly SysctlReport[]): readonly RouteProblem[] {
  return reports
    .filter(({ remedy }) => remedy !== null)
    .map(({ key, value, wanted, why, severity, remedy }) => ({
      severity,
      subject: `sysctl/${key}`,
      message: `is ${value ?? 'absent'}, should be ${wanted}: ${why}; ${remedy}`,
    }))
}

function applyStep(step: SysctlStep, done: ReadonlySet<string>, files: SysctlFiles): SysctlReport {
  const { path, current, wanted, why, severity } = step
  const key = keyOf(path)
  const base = { key, value: current, wanted, why, severity }
  if (step.isSatisfied) return { ...base, state: 'ok', remedy: null }
  if (current === null) {
    return { ...base, state: 'absent', remedy: `set ${key}=${wanted} in the host's own network namespace, if its kernel has it` }
  }
  const missing = step.after.filter((other) => !done.has(other)).map(keyOf)
  if (missing.length > 0) return { ...base, state: 'notAllowed', remedy: `left alone until ${missing.join(' and ')} is set: see there` }
  if (files.write(path, `${wanted}\n`) && numberIn(files.read(path)) === wanted)
    return { ...base, value: wanted, state: 'set', remedy: null }
  return { ...base, state: 'notAllowed', remedy: `run "sysctl -w ${key}=${wanted}" on the host, or let the agent write /proc/sys` }
}

/** Interface names may hold dots, which sysctl(8) reads as separators unless slashes separate. */
function keyOf(path: string): string {
  return path.includes('.') ? path : path.replaceAll('/', '.')
}

function numberIn(text: string | null): number | null {
  if (text === null) return null
  const value = Number.parseInt(text, 10)
  return Number.isNaN(value) ? null : value
}

const NOT_ALLOWED = new Set(['EACCES', 'EPERM', 'EROFS', 'EINVAL'])

const PROC_SYS: SysctlFiles = {
  read(path) {
    try {
      return fs.readFileSync(`${WRITABLE_PROC_SYS}/${path}`, 'utf8')
    } catch (cause) {
      if (codeOf(cause) === 'ENOENT' || codeOf(cause) === 'EACCES') return null
      throw cause
    }
  },
  write(path, value) {
    try {
      fs.writeFileSync(`${WRITABLE_PROC_SYS}/${path}`, value)
      return true
    } catch (cause) {
      if (NOT_ALLOWED.has(codeOf(cause))) return false
      throw cause
    }
  },
}

function codeOf(cause: unknown): string {
  return typeof cause === 'object' && cause !== null && 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
}
