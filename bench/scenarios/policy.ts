// policy: rules of NetworkPolicies, from changed objects to the kernel, in a namespace of its own (bench/policy). One run of the tool measures
// all parts and participants, one after another in turn, since making the cluster's rules takes longer than changing one.
import { fileURLToPath } from 'node:url'
import { exec } from '../../src/lib/exec.ts'
import { Namespaces } from '../namespaces.ts'
import type { PolicyBenchSettings, PolicyPart, PolicyReport } from '../policy/main.ts'
import type { Measurement } from './measurement.ts'

const TOOL = fileURLToPath(new URL('../policy/main.ts', import.meta.url))
const TIMEOUT_MS = 1_800_000

/** Gives the samples of each part and participant one after another; the tool runs when the first is asked for. */
export function policyOf(settings: PolicyBenchSettings): (part: PolicyPart, participant: string) => () => Promise<Measurement> {
  let report: Promise<PolicyReport> | null = null
  return (part, participant) => {
    let next = 0
    return async () => {
      report ??= runTool(settings)
      const sample = (await report)[part][participant]?.[next++]
      if (sample === undefined) throw new Error(`${participant} was not measured`)
      const number = (value: number | null): number => value ?? Number.NaN // JSON has no NaN
      const { seconds, cpuSeconds, peakRssMiB, details } = sample
      return { seconds: number(seconds), cpuSeconds: number(cpuSeconds), peakRssMiB: number(peakRssMiB), details }
    }
  }
}

async function runTool(settings: PolicyBenchSettings): Promise<PolicyReport> {
  await using namespaces = new Namespaces()
  const namespace = await namespaces.add('policy')
  const node = [process.execPath, '--expose-gc', '--disable-warning=ExperimentalWarning', TOOL, JSON.stringify(settings)]
  const { stdout } = await exec('ip', ['netns', 'exec', namespace, ...node], { timeoutMs: TIMEOUT_MS })
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as PolicyReport // bench/policy/main.ts
}
