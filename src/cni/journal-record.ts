// The text of one record of the journal (pure): JSON, addresses and prefixes in their usual text.
import { z } from 'zod'
import { familyOf, formatIp, formatPrefix, type IpAddress, parseIp, parseMac, parsePrefix } from '../net/index.ts'
import type { Attachment } from './ports.ts'

const address = z.string().transform((text, context): IpAddress => {
  const parsed = parseIp(text)
  if (parsed !== null) return parsed
  context.addIssue({ code: 'custom', message: 'not an IP address' })
  return z.NEVER
})

const block = z.string().transform((text, context) => {
  const parsed = parsePrefix(text)
  if (parsed !== null) return parsed
  context.addIssue({ code: 'custom', message: 'not a prefix' })
  return z.NEVER
})

const mac = z.string().transform((text, context) => {
  const parsed = parseMac(text)
  if (parsed !== null) return parsed
  context.addIssue({ code: 'custom', message: 'not a MAC address' })
  return z.NEVER
})

const schema = z.object({
  version: z.literal(1),
  network: z.string(),
  state: z.enum(['assigned', 'attached', 'released']),
  pod: z.object({ namespace: z.string(), name: z.string(), uid: z.string().nullable() }).nullable(),
  link: z.object({
    containerId: z.string(),
    ifName: z.string(),
    netns: z.string(),
    hostInterface: z.string().regex(/^fib[0-9a-f]{11}$/),
    addresses: z.array(address),
    mtu: z.int(),
    mac: mac.nullable(),
  }),
  since: z.string().nullable().default(null),
  assignments: z.array(z.object({ address, pool: z.string(), block, sequence: z.int(), isBorrowed: z.boolean() })),
})

export function formatAttachment({ network, state, since, pod, link, assignments }: Attachment): string {
  const record: z.input<typeof schema> = {
    version: 1,
    network,
    state,
    pod,
    since,
    link: { ...link, addresses: link.addresses.map(formatIp) },
    assignments: assignments.map(({ pool, sequence, isBorrowed, ...each }) => ({
      address: formatIp(each.address),
      pool,
      block: formatPrefix(each.block),
      sequence,
      isBorrowed,
    })),
  }
  return JSON.stringify(record)
}

/** The record, or what is wrong with the text. */
export function parseAttachment(text: string): Attachment | string {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return 'not JSON'
  }
  const parsed = schema.safeParse(json)
  if (!parsed.success) return z.prettifyError(parsed.error)
  const { network, state, since, pod, link, assignments } = parsed.data
  return {
    network,
    state,
    since,
    pod,
    link,
    assignments: assignments.map((each) => ({ ...each, family: familyOf(each.address) })),
  }
}
