// Names made of content: the same content has the same name everywhere and for ever, and other content has another.
import { createHash } from 'node:crypto'

const NAME_LENGTH = 22

/** 22 letters, digits, `-` and `_`: 132 bits of the SHA-256 of the text in UTF-8, as base64url (RFC 4648 §5). */
export function contentName(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, NAME_LENGTH)
}
