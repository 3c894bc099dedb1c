// Waiting for a condition with a deadline: the only way a test on the real kernel waits for anything.

/** What a poll waited for did not come true in time; `message` says what it was, and what was seen last. */
export class DeadlineError extends Error {
  constructor(what: string, deadlineMs: number, last: string) {
    super(`not within ${deadlineMs} ms: ${what}${last === '' ? '' : `\nlast seen: ${last}`}`)
    this.name = 'DeadlineError'
  }
}

/** What a poll waits for cannot come true any more: it ends at once instead of at its deadline. */
export class HopelessError extends Error {
  override readonly name = 'HopelessError'
}

export type PollOptions = {
  /** Default two minutes: it tells a hang from a wait, and a busy machine is slow. */
  readonly deadlineMs?: number
  readonly everyMs?: number
  /** Added to the error: the log of a daemon, say. */
  readonly explain?: () => string
}

/**
 * Calls `probe` until it returns something other than null, undefined or false, and resolves to that. A probe that throws counts
 * as not yet (its message is kept for the error), unless it throws `HopelessError`. Rejects with `DeadlineError`.
 */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  options: PollOptions = {},
): Promise<Exclude<T, null | undefined | false>> {
  const { deadlineMs = 120_000, everyMs = 50, explain } = options
  const endMs = performance.now() + deadlineMs
  let last = ''
  for (;;) {
    try {
      const seen = await probe()
      if (seen !== null && seen !== undefined && seen !== false) return seen as Exclude<T, null | undefined | false>
      last = ''
    } catch (cause) {
      if (cause instanceof HopelessError) throw cause
      last = cause instanceof Error ? cause.message : String(cause)
    }
    if (performance.now() > endMs) throw new DeadlineError(what, deadlineMs, `${last}${explain === undefined ? '' : `\n${explain()}`}`)
    await pause(everyMs)
  }
}

/**
 * Calls `probe` until it returns `wanted`, compared as JSON: probes return plain values in a fixed order. The error shows what is
 * missing and what is too much.
 */
export async function untilEqual<T>(
  what: string,
  wanted: readonly T[],
  probe: () => readonly T[] | Promise<readonly T[]>,
  options: PollOptions = {},
): Promise<void> {
  const want = wanted.map((each) => JSON.stringify(each))
  let seen: readonly string[] = []
  const explain = (): string => {
    const lines = (mark: string, some: readonly string[], others: readonly string[]): readonly string[] =>
      some.filter((each) => !others.includes(each)).map((each) => `${mark} ${each}`)
    const difference = [...lines('missing:', want, seen), ...lines('too much:', seen, want)].join('\n')
    return `${difference}\n(${seen.length} seen, ${want.length} wanted)${options.explain === undefined ? '' : `\n${options.explain()}`}`
  }
  await until(
    what,
    async () => {
      seen = (await probe()).map((each) => JSON.stringify(each))
      return seen.length === want.length && seen.every((each, at) => each === want[at])
    },
    { ...options, explain },
  )
}

/** Checks every 50 ms, for `forMs`, that `probe` holds: for proving that something does not happen. Rejects as soon as it fails. */
export async function holds(what: string, forMs: number, probe: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + forMs
  while (performance.now() < endMs) {
    if (!(await probe())) throw new Error(`did not hold for ${forMs} ms: ${what}`)
    await pause(50)
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
