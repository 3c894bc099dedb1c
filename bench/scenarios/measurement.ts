// What every scenario returns, and the steps they share.
import { figuresOf, type ProcessFigures } from '../process-figures.ts'
import type { ToolProcess } from '../tool-process.ts'

export type Measurement = {
  /** The scenario's own clock. */
  readonly seconds: number
  /** CPU of all processes and threads of the daemon, over the same span and half a second more. */
  readonly cpuSeconds: number
  /** Most resident memory since its start. */
  readonly peakRssMiB: number
  /** What else is worth knowing, by name with unit. */
  readonly details: Readonly<Record<string, number>>
}

/** Preparing a table, starting a daemon and bringing sessions up are allowed to take this long. */
export const SETUP_MS = 120_000
/** Lets trailing work end before it is counted. */
export const SETTLE_MS = 500

export function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs))
}

/** Establishes the sessions of all tools, then waits for the daemon to calm down; returns its figures at rest. */
export async function establish(tools: readonly ToolProcess[], dutNamespace: string): Promise<ProcessFigures> {
  for (const tool of tools) tool.command({ kind: 'connect' })
  for (const tool of tools) await tool.next('established', SETUP_MS)
  await pause(SETTLE_MS)
  return figuresOf(dutNamespace)
}

/** Figures of the daemon after its work, and the CPU it took since `before`. */
export async function costSince(
  before: ProcessFigures,
  dutNamespace: string,
): Promise<{ readonly cpuSeconds: number; readonly peakRssMiB: number; readonly details: Readonly<Record<string, number>> }> {
  await pause(SETTLE_MS)
  const after = await figuresOf(dutNamespace)
  if (after.processes === 0) throw new Error('the daemon has ended')
  return {
    cpuSeconds: after.cpuSeconds - before.cpuSeconds,
    peakRssMiB: after.peakRssMiB,
    details: { rssAtRestMiB: before.rssMiB, rssAfterMiB: after.rssMiB, threads: after.threads },
  }
}
