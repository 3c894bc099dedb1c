// Counts of CNI requests. Kept here, copied into the metrics when somebody scrapes.
import type { CniObserver } from '../../cni/index.ts'
import type { CniFigures } from './index.ts'

/** Upper bounds in seconds: an ADD takes milliseconds, one that waits for the store up to a minute. */
export const DURATION_BUCKETS: readonly number[] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 60]

type Ended = Parameters<CniObserver['requestEnded']>[0]

export class RequestFigures {
  readonly #requests = new Map<string, { readonly command: string; readonly code: number | null; count: number }>()
  readonly #durations = new Map<string, { readonly command: string; readonly counts: number[]; sumSeconds: number; count: number }>()

  record({ command: asked, code, durationMs }: Ended): void {
    const command = asked ?? 'unknown'
    const key = `${command} ${code}`
    const requests = this.#requests.get(key) ?? { command, code, count: 0 }
    requests.count++
    this.#requests.set(key, requests)
    const seconds = durationMs / 1000
    const durations = this.#durations.get(command) ?? { command, counts: DURATION_BUCKETS.map(() => 0), sumSeconds: 0, count: 0 }
    for (const [at, bound] of DURATION_BUCKETS.entries()) if (seconds <= bound) durations.counts[at] = (durations.counts[at] ?? 0) + 1
    durations.sumSeconds += seconds
    durations.count++
    this.#durations.set(command, durations)
  }

  get figures(): CniFigures {
    return { requests: [...this.#requests.values()], durations: [...this.#durations.values()] }
  }
}
