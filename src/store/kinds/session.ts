// One BGP session as statuses show it. Fields a later version adds are kept; what this version needs and an earlier one did not
// write is optional, so that every status stored before stays readable.
import { z } from 'zod'

const counters = z.looseObject({
  received: z.int().meta({ description: 'Paths received.' }),
  accepted: z.int().meta({ description: 'Paths that passed the import policy.' }),
  advertised: z.int().meta({ description: 'Paths advertised to the peer.' }),
})

/** What an agent and the controller say alike of a session. */
export const sessionShape = {
  address: z.string().meta({ description: 'Address of the peer, with zone where it has one.' }),
  asNumber: z.int().exactOptional().meta({ description: 'AS number of the peer.' }),
  state: z.string().meta({ description: 'State of RFC 4271 §8.2.2, such as Established.' }),
  since: z.string().meta({ description: 'When the session last came up or went down (ISO 8601).' }),
  lastError: z.string().exactOptional().meta({ description: 'Why it was last down, in words.' }),
  capabilities: z
    .looseObject({
      offered: z.array(z.string()).meta({ description: 'What we offered.' }),
      received: z.array(z.string()).meta({ description: 'What the peer offered.' }),
      negotiated: z.array(z.string()).meta({ description: 'What is in use.' }),
    })
    .meta({ description: 'Capabilities offered, received and negotiated.' }),
  prefixes: z
    .looseObject({
      IPv4Unicast: counters.exactOptional().meta({ description: 'Paths of IPv4 prefixes.' }),
      IPv6Unicast: counters.exactOptional().meta({ description: 'Paths of IPv6 prefixes.' }),
    })
    .meta({ description: 'Counts of paths.' }),
}

/** State of a session that is up (RFC 4271 §8.2.2). */
export const ESTABLISHED = 'Established'
