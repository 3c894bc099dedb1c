// How long a state of the cluster may take to come before it counts as a failure: ten times and more what a busy machine of two cores
// needs. Nothing waits that long unless it is broken, and what cannot come any more ends a wait at once (HopelessError).
export const PATIENCE_MS = 600_000

/** The same for kubectl: `--timeout=600s`, and for the process a little more, so that kubectl says what it missed. */
export const PATIENCE_FLAG = `--timeout=${PATIENCE_MS / 1_000}s`
export const KUBECTL_PATIENCE = { timeoutMs: PATIENCE_MS + 30_000 } as const
