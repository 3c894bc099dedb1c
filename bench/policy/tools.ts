// The kernel's tools as others would run them: what one transaction ran, to be run again bare, and everything anew as a naive writer does.

import { exec } from '../../src/lib/exec.ts'
import type { IpFamily } from '../../src/net/index.ts'
import { type NetfilterTools, ProcessTools, type Variant } from '../../src/netfilter/index.ts'
import { pause } from '../scenarios/measurement.ts'

export type ToolRun =
  | { readonly tool: 'rules'; readonly variant: Variant; readonly family: IpFamily; readonly input: string }
  | { readonly tool: 'sets'; readonly input: string }

const FAMILIES: readonly IpFamily[] = [4, 6]
const TIMEOUT_MS = 120_000
/** A rule that is gone lets go of its sets a little later (nft). */
const BUSY_MS = 50
const BUSY_ATTEMPTS = 100

/** Runs the tools and remembers what changed something. */
export class RecordingTools extends ProcessTools implements NetfilterTools {
  #runs: ToolRun[] = []

  take(): readonly ToolRun[] {
    return this.#runs.splice(0)
  }

  override async restoreRules(variant: Variant, family: IpFamily, input: string): Promise<void> {
    this.#runs.push({ tool: 'rules', variant, family, input })
    await super.restoreRules(variant, family, input)
  }

  override async restoreSets(input: string): Promise<void> {
    this.#runs.push({ tool: 'sets', input })
    await super.restoreSets(input)
  }
}

/** The same input in the same order, both families at once; gives seconds. */
export async function runBare(runs: readonly ToolRun[]): Promise<number> {
  const tools = new ProcessTools()
  const beganMs = performance.now()
  let atOnce: Promise<void>[] = []
  for (const run of runs) {
    if (run.tool === 'rules') atOnce.push(tools.restoreRules(run.variant, run.family, run.input))
    else {
      await Promise.all(atOnce)
      atOnce = []
      await tools.restoreSets(run.input).catch((error: unknown) => {
        if (!run.input.startsWith('destroy ')) throw error // the kernel may still hold on to it
      })
    }
  }
  await Promise.all(atOnce)
  return (performance.now() - beganMs) / 1000
}

/** All sets flushed and filled, all chains written, whatever is there: what the first program wrote, both families at once. Gives seconds. */
export async function rewriteAll(first: readonly ToolRun[]): Promise<number> {
  const rewriting = first.map((run) =>
    run.tool === 'sets' ? { ...run, input: run.input.replace(/^create (\S+) .*$/gm, '$&\nflush $1') } : run,
  )
  return await runBare(rewriting)
}

/** Takes all rules of the table `filter` and all sets away. */
export async function wipe(variant: Variant): Promise<void> {
  for (const family of FAMILIES) {
    const stem = family === 4 ? 'iptables' : 'ip6tables'
    await exec(`${stem}-${variant}-restore`, [], { input: '*filter\nCOMMIT\n', timeoutMs: TIMEOUT_MS })
  }
  for (let attempt = 1; ; attempt++) {
    try {
      await exec('ipset', ['destroy'], { timeoutMs: TIMEOUT_MS })
      return
    } catch (error) {
      if (attempt === BUSY_ATTEMPTS) throw error
      await pause(BUSY_MS)
    }
  }
}
