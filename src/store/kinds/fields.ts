// Field schemas that several kinds share. Every message says what is wrong with the value and how to write it.
import { z } from 'zod'
import { WELL_KNOWN_COMMUNITY } from '../../bgp/index.ts'
import { parseDurationMs } from '../../lib/duration.ts'
import { quoteText } from '../../lib/log.ts'
import { AS_TRANS, familyOf, formatIp, formatPrefix, type IpFamily, parseIp, parsePrefix } from '../../net/index.ts'
import { parseCommunityText } from './community.ts'
import { dnsSubdomain, labelKey, labels, labelValue } from './names.ts'
import { admitted, CEL_KEY, constrained } from './rules.ts'

const quoted = (input: unknown): string => quoteText(String(input), 60)

/** An AS number as one integer (RFC 6793); AS_TRANS is never anybody's (RFC 6793 §9). */
export function asNumber() {
  return z
    .int()
    .min(1)
    .max(0xffff_ffff)
    .refine((value) => value !== AS_TRANS, {
      error: `${AS_TRANS} is AS_TRANS, a placeholder of RFC 6793 and never a real AS; write the 4-byte AS number itself`,
    })
    .meta({
      format: 'int64',
      ...admitted(
        `self != ${AS_TRANS}`,
        `${AS_TRANS} is AS_TRANS, a placeholder of RFC 6793 and never a real AS; write the 4-byte AS number itself`,
      ),
    })
}

/** An IP address without prefix length or zone. */
export function ipAddress() {
  return z
    .string()
    .max(MAX_ADDRESS_LENGTH)
    .refine((text) => parseIp(text) !== null, {
      error: ({ input }) => `${quoted(input)} is not an IP address; write it like 10.0.0.1 or fd00::1`,
    })
    .meta(admitted('isIP(self)', 'not an IP address; write it like 10.0.0.1 or fd00::1'))
}

/** The longest text of an address or prefix; longer is none, and the API server wants to know how much work a rule can be. */
const MAX_ADDRESS_LENGTH = 64

/** A prefix whose host bits are zero, optionally of one family. */
export function cidr(family: IpFamily | null = null) {
  const like = family === 6 ? 'fd00:10::/48' : family === 4 ? '10.0.0.0/8' : '10.0.0.0/8 or fd00:10::/48'
  return z
    .string()
    .max(MAX_ADDRESS_LENGTH)
    .refine((text) => faultOfCidr(text, family) === null, { error: ({ input }) => faultOfCidr(String(input), family) ?? '' })
    .meta({
      format: 'cidr',
      [CEL_KEY]: [
        { rule: 'isCIDR(self)', message: `not a prefix; write it like ${like}` },
        {
          rule: '!isCIDR(self) || cidr(self) == cidr(self).masked()',
          message: 'host bits are set; write the prefix with zeros behind its length',
        },
        ...(family === null
          ? []
          : [{ rule: `!isCIDR(self) || cidr(self).ip().family() == ${family}`, message: `only IPv${family} prefixes belong here` }]),
      ],
    })
}

function faultOfCidr(text: string, family: IpFamily | null): string | null {
  const parsed = parsePrefix(text)
  if (parsed === null) {
    const address = parseIp(text)
    const like = family === 6 ? 'fd00:10::/48' : family === 4 ? '10.0.0.0/8' : '10.0.0.0/8 or fd00:10::/48'
    const hint =
      address === null
        ? `write it like ${like}`
        : `add the prefix length: ${formatIp(address)}/${familyOf(address) === 4 ? 32 : 128} is the address alone`
    return `${quoted(text)} is not a prefix; ${hint}`
  }
  if (family !== null && familyOf(parsed.address) !== family)
    return `${quoted(text)} is not IPv${family}; only IPv${family} prefixes belong here`
  const written = parseIp(text.slice(0, text.indexOf('/')))
  return written === parsed.address ? null : `${quoted(text)} has host bits set; the prefix is ${formatPrefix(parsed)}`
}

/** A duration like `90s` or `1m30s`, within bounds in seconds and free of fractions of a second. */
export function duration(atLeastSeconds: number, atMostSeconds: number, exceptions: readonly number[] = []) {
  const also = exceptions.map((seconds) => `${seconds}s, or `).join('')
  const fault = (text: string): string | null => {
    const ms = text.includes('d') ? null : parseDurationMs(text) // days: no other Kubernetes duration has them
    if (ms === null) return `${quoted(text)} is not a duration; write it like 90s, 1m30s or 1h`
    if (ms % 1000 !== 0) return `${quoted(text)} is not a whole number of seconds; protocol timers count in seconds`
    if (exceptions.includes(ms / 1000) || (ms >= atLeastSeconds * 1000 && ms <= atMostSeconds * 1000)) return null
    return `${quoted(text)} is out of range; it must be ${also}${atLeastSeconds}s to ${atMostSeconds}s`
  }
  const isDuration = `self.matches('^([0-9]+(ms|s|m|h))+$')`
  const within = [
    `(duration(self) >= duration('${atLeastSeconds}s') && duration(self) <= duration('${atMostSeconds}s'))`,
    ...exceptions.map((seconds) => `duration(self) == duration('${seconds}s')`),
  ].join(' || ')
  return z
    .string()
    .max(MAX_DURATION_LENGTH)
    .refine((text) => fault(text) === null, { error: ({ input }) => fault(String(input)) ?? '' })
    .meta({
      format: 'duration',
      [CEL_KEY]: [
        { rule: isDuration, message: 'not a duration; write it like 90s, 1m30s or 1h' },
        {
          rule: `!${isDuration} || duration(self).getMilliseconds() % 1000 == 0`,
          message: 'not a whole number of seconds; protocol timers count in seconds',
        },
        { rule: `!${isDuration} || ${within}`, message: `out of range; it must be ${also}${atLeastSeconds}s to ${atMostSeconds}s` },
      ],
    })
}

const MAX_DURATION_LENGTH = 16

/** Seconds of a field that `duration` has checked. */
export function secondsOf(text: string): number {
  const ms = parseDurationMs(text)
  if (ms === null) throw new RangeError(`not a duration: ${text}`)
  return ms / 1000
}

/** A community: standard `64512:100`, large `64512:1:2`, extended `rt:64512:1`, or a well-known name. */
export function communityText(kinds: readonly ('standard' | 'large' | 'extended')[] = ['standard', 'large', 'extended']) {
  const forms = kinds.includes('extended')
    ? '64512:100, 4200000000:1:2 (large), rt:64512:100 (extended) or a well-known name like no-export'
    : '64512:100, 4200000000:1:2 (large) or a well-known name like no-export'
  return z
    .string()
    .max(MAX_COMMUNITY_LENGTH)
    .refine(
      (text) => {
        const parsed = parseCommunityText(text)
        return parsed !== null && kinds.includes(parsed.kind)
      },
      { error: ({ input }) => `${quoted(input)} is not a community; write it like ${forms}` },
    )
    .meta(admitted(kinds.map((kind) => COMMUNITY_CEL[kind]).join(' || '), `not a community; write it like ${forms}`))
}

const MAX_COMMUNITY_LENGTH = 40
const WELL_KNOWN = Object.keys(WELL_KNOWN_COMMUNITY).map((name) => `'${name}'`)
const NUMBER = '(0|[1-9][0-9]{0,9})'
const COMMUNITY_CEL = {
  standard: [
    `(self.matches('^${NUMBER}:${NUMBER}$') && self.split(':').all(part, int(part) <= 65535))`,
    `self.upperAscii().replace('-', '_') in [${WELL_KNOWN.join(', ')}]`,
  ].join(' || '),
  large: `(self.matches('^${NUMBER}:${NUMBER}:${NUMBER}$') && self.split(':').all(part, int(part) <= 4294967295))`,
  extended: `self.matches('^((rt|ro|soo|lb):[0-9.]+:[0-9]+|0x[0-9a-fA-F]{16})$')`,
} as const

const MAX_SELECTOR_ITEMS = 64

/** A Kubernetes label selector. */
export function labelSelector() {
  const requirement = constrained(
    z.strictObject({
      key: labelKey().meta({ description: 'Label key.' }),
      operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']).meta({ description: 'How the label is compared with the values.' }),
      values: z
        .array(labelValue())
        .max(MAX_SELECTOR_ITEMS)
        .exactOptional()
        .meta({ description: 'Values for In and NotIn; left out for the others.' }),
    }),
    [
      {
        path: ['values'],
        message: 'operators In and NotIn need at least one value; add values: [...]',
        holds: ({ operator, values = [] }) => (operator !== 'In' && operator !== 'NotIn') || values.length > 0,
        cel: "!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)",
      },
      {
        path: ['values'],
        message: 'operators Exists and DoesNotExist take no values; remove them',
        holds: ({ operator, values = [] }) => operator === 'In' || operator === 'NotIn' || values.length === 0,
        cel: "self.operator in ['In', 'NotIn'] || !has(self.values) || size(self.values) == 0",
      },
    ],
  )
  return z.strictObject({
    matchLabels: labels().exactOptional().meta({ description: 'Labels that must all be there with these values.' }),
    matchExpressions: z
      .array(requirement)
      .max(MAX_SELECTOR_ITEMS)
      .exactOptional()
      .meta({ description: 'Requirements that must all hold.' }),
  })
}

/** A key of a Secret in the namespace of the agent. */
export function secretKeyRef() {
  return z.strictObject({
    secretKeyRef: z
      .strictObject({
        name: dnsSubdomain().meta({ description: 'Name of the Secret, in the namespace of the agent.' }),
        key: z.string().min(1).max(253).meta({ description: 'Key of the Secret whose value is the password.' }),
      })
      .meta({ description: 'The Secret that holds the password.' }),
  })
}

/** What happened, in the form all Kubernetes objects use. */
export const condition = z.object({
  type: z.string().meta({ description: 'What the condition is about, one word.' }),
  status: z.enum(['True', 'False', 'Unknown']).meta({ description: 'Whether it holds.' }),
  reason: z.string().meta({ description: 'Why, one word for programs.' }),
  message: z.string().meta({ description: 'Why and what to do, for people.' }),
  lastTransitionTime: z.string().meta({ description: 'When the status last changed (ISO 8601).' }),
  observedGeneration: z.int().exactOptional().meta({ description: 'The generation of the object this was found on.' }),
})
