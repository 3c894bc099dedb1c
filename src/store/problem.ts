// What the store found wrong: with a manifest, a file, an object, or its own source. One bad object never stops the others.
import type { Identity } from './validate.ts'

export type StoreProblem = {
  readonly severity: 'error' | 'warning'
  /** What it is about: `BGPPeer/tor-a`, or the name of a file. */
  readonly subject: string
  /** Whole and readable by itself: file, document, line, field and remedy. */
  readonly message: string
  readonly file: string | null
  /** Which document of the file, from 1. */
  readonly document: number | null
  readonly line: number | null
  /** `spec.asNumber` */
  readonly field: string | null
}

/** `BGPPeer/tor-a`, `Secret/kube-system/password`. */
export function formatIdentity({ kind, namespace, name }: Identity): string {
  return namespace === null ? `${kind}/${name}` : `${kind}/${namespace}/${name}`
}

/** Where something is in a file, in words. */
export function formatPlace(file: string, document: number | null, line: number | null): string {
  return [file, document === null ? '' : `document ${document}`, line === null ? '' : `line ${line}`]
    .filter((part) => part !== '')
    .join(', ')
}

/** A problem with a place in a file. */
export function fileProblem(
  place: { readonly file: string; readonly document?: number; readonly line?: number; readonly field?: string },
  identity: Identity | null,
  message: string,
): StoreProblem {
  const { file, document = null, line = null, field = null } = place
  const subject = identity === null ? file : formatIdentity(identity)
  const about = identity === null ? '' : `${subject}: `
  return { severity: 'error', subject, message: `${formatPlace(file, document, line)}: ${about}${message}`, file, document, line, field }
}
