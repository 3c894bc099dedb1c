// Messages by kind and direction, counted over the life of a peer.
import { HEADER_LENGTH, MESSAGE_TYPE } from './iana.ts'
import type { MessageKind } from './peer-types.ts'

export type MessageCounts = Record<MessageKind, number>

export function noMessages(): MessageCounts {
  return { open: 0, update: 0, notification: 0, keepalive: 0, routeRefresh: 0 }
}

/** Counts the whole messages in `chunk` by their headers. */
export function countMessages(counts: MessageCounts, chunk: Uint8Array): void {
  for (let at = 0; at + HEADER_LENGTH <= chunk.length; ) {
    const type = chunk[at + HEADER_LENGTH - 1]
    if (type === MESSAGE_TYPE.UPDATE) counts.update++
    else if (type === MESSAGE_TYPE.ROUTE_REFRESH) counts.routeRefresh++
    const length = ((chunk[at + 16] ?? 0) << 8) | (chunk[at + 17] ?? 0)
    at += Math.max(length, HEADER_LENGTH)
  }
}
