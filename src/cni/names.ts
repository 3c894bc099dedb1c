// Names that follow from an attachment: one place, because ADD, DEL, the journal and IPAM must agree on them for ever.
import { hash } from 'node:crypto'
import type { HeldAllocation } from '../ipam/index.ts'
import type { Attachment, AttachmentKey } from './ports.ts'

/** An attachment as a map's key. Neither part can hold a slash. */
export function keyText({ containerId, ifName }: AttachmentKey): string {
  return `${containerId}/${ifName}`
}

/** Host end of the attachment's veth pair (decision 13): `fib` and 11 hex digits; 14 octets, where the kernel takes 15. */
export function hostInterfaceOf(key: AttachmentKey): string {
  return `fib${hash('sha256', keyText(key), 'hex').slice(0, 11)}`
}

/** Owner of the attachment's addresses in IPAM. */
export function handleOf({ network, link }: Pick<Attachment, 'network'> & { readonly link: AttachmentKey }): string {
  return `${network}.${link.containerId}.${link.ifName}`
}

/** What IPAM adopts at start (`NodeIpam.adopt`) of what the journal holds. */
export function heldAllocations(attachments: readonly Attachment[]): readonly HeldAllocation[] {
  return attachments.map((attachment) => ({
    handle: handleOf(attachment),
    pod: attachment.pod === null ? null : { namespace: attachment.pod.namespace, name: attachment.pod.name },
    assignments: attachment.assignments,
    isReleased: attachment.state === 'released',
  }))
}
