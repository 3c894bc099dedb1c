// ipam: addresses assigned and released in memory, in a process of their own (bench/ipam.ts).
import { fileURLToPath } from 'node:url'
import { exec } from '../../src/lib/exec.ts'
import type { Measurement } from './measurement.ts'

const TOOL = fileURLToPath(new URL('../ipam.ts', import.meta.url))
/** What the tool does with 65,536 addresses, three quarters of them in use. */
export const PAIRS = 2_000_000
const TIMEOUT_MS = 120_000

/** With blocks of this prefix length (IPv4). */
export async function measureIpam(blockSize: number): Promise<Measurement> {
  const args = ['--disable-warning=ExperimentalWarning', TOOL, String(blockSize)]
  const seconds = Number((await exec(process.execPath, args, { timeoutMs: TIMEOUT_MS })).stdout)
  return { seconds, cpuSeconds: Number.NaN, peakRssMiB: Number.NaN, details: { pairsPerSecond: Math.round(PAIRS / seconds) } }
}
