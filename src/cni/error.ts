// Errors as the CNI specification has them (1.1.0 section 5, "Error"): one JSON object on standard output, exit status not 0.
import { answeredVersion } from './version.ts'

/** 1 to 99 are the specification's, 100 and above ours. */
export const CNI_CODE = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  containerGone: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  undecodable: 6,
  invalidConfig: 7,
  tryAgainLater: 11,
  notAvailable: 50,
  limitedConnectivity: 51,
  /** The kernel refused link, address or route. */
  wiringFailed: 100,
  /** The attachment, or its interface, is there already. */
  alreadyAttached: 101,
  /** IPAM has no address for this pod, or not the one asked for. */
  noAddress: 102,
  /** CHECK found the attachment not as ADD left it. */
  checkFailed: 103,
  /** GC could not remove everything; what it could, it did. */
  gcIncomplete: 104,
  /** An annotation of the pod cannot be read. */
  invalidAnnotation: 105,
  /** A bug of ours. */
  internal: 999,
} as const

export type CniCode = (typeof CNI_CODE)[keyof typeof CNI_CODE]

/** An expected failure; `message` names what is wrong and what to do about it. */
export type CniFault = { readonly code: CniCode; readonly message: string; readonly details?: string }

/** Carries a fault out of nested calls; caught where a request is parsed or answered, never further out. */
export class CniError extends Error {
  readonly fault: CniFault
  constructor(fault: CniFault) {
    super(fault.message)
    this.name = 'CniError'
    this.fault = fault
  }
}

/** What a plugin's process answers. */
export type CniReply = { readonly exitStatus: 0 | 1; readonly stdout: string }

/** The error object for a request that named `requestedVersion`. */
export function faultReply(fault: CniFault, requestedVersion: unknown): CniReply {
  const { code, message: msg, details } = fault
  const body = { cniVersion: answeredVersion(requestedVersion), code, msg, ...(details === undefined ? {} : { details }) }
  return { exitStatus: 1, stdout: `${JSON.stringify(body)}\n` }
}
