// What becomes of a set of path attributes once it has been read (RFC 7606).
import type { PathAttributes } from '../attributes.ts'
import type { Malformation, MessageError } from './message.ts'

/** What RFC 7606 makes of one set of attributes, for all UPDATEs that carry it. */
export type AttributeVerdict = {
  /** The session cannot go on. */
  readonly fatal: MessageError | null
  /** Not null: announced prefixes are withdrawn. If there are none to be found, the session ends with this (RFC 7606 §5.2). */
  readonly withdraw: MessageError | null
  readonly malformations: readonly Malformation[]
  /** For the NLRI field, with the NEXT_HOP attribute; null if there is no such field, or `withdraw` is not. */
  readonly classic: PathAttributes | null
  /** For the NLRI of MP_REACH_NLRI, with its next hop. */
  readonly multiprotocol: PathAttributes | null
}
