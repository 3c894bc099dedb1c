// Facts about the machine and the programs measured, without which figures mean nothing.
import { readFileSync } from 'node:fs'
import os from 'node:os'
import { exec } from '../src/lib/exec.ts'
import type { Dut } from './dut/dut.ts'

export type MachineFacts = {
  readonly cpuModel: string
  readonly cpus: number
  readonly memoryMiB: number
  readonly kernel: string
  readonly distribution: string
  readonly node: string
  readonly commit: string
  /** Whether the tree differs from that commit. */
  readonly modified: boolean
  readonly versions: Readonly<Record<string, string>>
  readonly loadAverage: number
}

export async function machineFacts(duts: readonly Dut[]): Promise<MachineFacts> {
  const versions = await Promise.all(duts.map(async (dut) => [dut.name, (await dut.version()) ?? 'not installed'] as const))
  const cpus = os.cpus()
  return {
    cpuModel: cpus[0]?.model ?? 'unknown',
    cpus: cpus.length,
    memoryMiB: Math.round(os.totalmem() / 2 ** 20),
    kernel: os.release(),
    distribution: /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown',
    node: process.version,
    commit: (await git('rev-parse', '--short', 'HEAD')) ?? 'unknown',
    modified: ((await git('status', '--porcelain')) ?? '') !== '',
    versions: Object.fromEntries(versions),
    loadAverage: os.loadavg()[0] ?? 0,
  }
}

async function git(...args: readonly string[]): Promise<string | null> {
  try {
    return (await exec('git', args, { cwd: import.meta.dirname })).stdout.trim()
  } catch {
    return null // a tree without git is fine
  }
}
