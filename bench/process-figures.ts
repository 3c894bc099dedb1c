// What the processes of a daemon cost, from /proc: peak and present resident memory, CPU seconds of all threads.
import { readFileSync } from 'node:fs'
import { processesIn } from './namespaces.ts'

const CLOCK_TICKS_PER_SECOND = 100 // USER_HZ is 100 on every Linux architecture Node runs on

export type ProcessFigures = {
  /** Sum over the processes of the most each ever had resident (VmHWM). */
  readonly peakRssMiB: number
  readonly rssMiB: number
  readonly cpuSeconds: number
  readonly processes: number
  readonly threads: number
}

/** Figures of everything that runs in a namespace at this moment. */
export async function figuresOf(namespace: string): Promise<ProcessFigures> {
  return sumFigures((await processesIn(namespace)).map(figuresOfProcess))
}

export function sumFigures(all: readonly ProcessFigures[]): ProcessFigures {
  const sum = (pick: (one: ProcessFigures) => number): number => all.reduce((total, one) => total + pick(one), 0)
  return {
    peakRssMiB: sum((one) => one.peakRssMiB),
    rssMiB: sum((one) => one.rssMiB),
    cpuSeconds: sum((one) => one.cpuSeconds),
    processes: all.length,
    threads: sum((one) => one.threads),
  }
}

const NOTHING: ProcessFigures = { peakRssMiB: 0, rssMiB: 0, cpuSeconds: 0, processes: 0, threads: 0 }

/** Figures of one process; zeros if it has ended. */
export function figuresOfProcess(pid: number): ProcessFigures {
  try {
    return parseFigures(readFileSync(`/proc/${pid}/status`, 'utf8'), readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return NOTHING // ended meanwhile
  }
}

/** Of the texts of /proc/PID/status and /proc/PID/stat (proc(5)). */
export function parseFigures(status: string, stat: string): ProcessFigures {
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0)
  const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // the name may hold spaces and brackets
  const ticks = Number(afterName[11]) + Number(afterName[12])
  return {
    peakRssMiB: field('VmHWM') / 1024,
    rssMiB: field('VmRSS') / 1024,
    cpuSeconds: ticks / CLOCK_TICKS_PER_SECOND,
    processes: 1,
    threads: field('Threads'),
  }
}
