// The word that the waiting thread and the acting thread share.

/** Nothing told since the last drain. */
export const IDLE = 0
/** Told, not yet drained. */
export const TOLD = 1
export const STOP = 2

export type EventsWorkerData = { readonly descriptor: number; readonly signal: SharedArrayBuffer }
