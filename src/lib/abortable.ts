// Waits that end when their caller gives up. Only the wait ends: what was waited for goes on.

/**
 * Calls `start` at once, also if `signal` has aborted already. Resolves when `start` calls its argument; rejects with the reason of
 * `signal` when that aborts first.
 */
export function untilCalled<T = void>(
  start: (done: (value: T) => void, failed: (reason: unknown) => void) => void,
  signal: AbortSignal | undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => failed(signal?.reason)
    const forget = (): void => signal?.removeEventListener('abort', aborted)
    const done = (value: T): void => {
      forget()
      resolve(value)
    }
    const failed = (reason: unknown): void => {
      forget()
      reject(reason)
    }
    signal?.addEventListener('abort', aborted, { once: true })
    start(done, failed)
    if (signal?.aborted === true) aborted()
  })
}

/** Settles as `work` does; rejects with the reason of `signal` when that aborts first. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return untilCalled<T>((done, failed) => void work.then(done, failed), signal)
}
