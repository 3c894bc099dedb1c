// scale: an agent in a large cluster, in a namespace with a real API server (bench/scale). One run of the tool measures everybody, since
// making the objects takes longer than measuring.
import { fileURLToPath } from 'node:url'
import { exec } from '../../src/lib/exec.ts'
import { ipBatch, Namespaces } from '../namespaces.ts'
import type { ScaleReport, ScaleSettings } from '../scale/main.ts'
import type { Measurement } from './measurement.ts'

const TOOL = fileURLToPath(new URL('../scale/main.ts', import.meta.url))
const TIMEOUT_MS = 1_800_000

/** Gives each participant's samples one after another; the tool runs when the first is asked for. */
export function scaleOf(settings: ScaleSettings): (participant: string) => () => Promise<Measurement> {
  let report: Promise<ScaleReport> | null = null
  return (participant) => {
    let next = 0
    return async () => {
      report ??= runTool(settings)
      const samples = (await report)[participant] ?? []
      const sample = samples[next++ % Math.max(1, samples.length)]
      if (sample === undefined) throw new Error(`${participant} was not measured`)
      const number = (value: number | null): number => value ?? Number.NaN // JSON has no NaN
      const { seconds, cpuSeconds, peakRssMiB, details } = sample
      return { seconds: number(seconds), cpuSeconds: number(cpuSeconds), peakRssMiB: number(peakRssMiB), details }
    }
  }
}

async function runTool(settings: ScaleSettings): Promise<ScaleReport> {
  await using namespaces = new Namespaces()
  const namespace = await namespaces.add('scale')
  // The node's address, and a way out that leads nowhere: an API server looks for a default route.
  const wires = ['link add eth0 type veth peer name eth1', 'addr add 172.16.0.7/16 dev eth0', 'link set eth0 up', 'link set eth1 up']
  await ipBatch([...wires, 'route add default via 172.16.255.254'], namespace)
  const args = ['netns', 'exec', namespace, process.execPath, '--disable-warning=ExperimentalWarning', TOOL, JSON.stringify(settings)]
  const { stdout } = await exec('ip', args, { timeoutMs: TIMEOUT_MS })
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as ScaleReport // bench/scale/main.ts
}
