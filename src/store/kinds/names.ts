// Names as Kubernetes allows them (RFC 1123 labels and subdomains; label keys and values).
import { z } from 'zod'
import { quoteText } from '../../lib/log.ts'
import { admitted } from './rules.ts'

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?'
const DNS_LABEL = new RegExp(`^${LABEL}$`)
const DNS_SUBDOMAIN = new RegExp(`^${LABEL}(\\.${LABEL})*$`)
const LABEL_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/

/** True for a label key: an optional DNS subdomain and a slash, then a name of at most 63 characters. */
export function isLabelKey(text: string): boolean {
  const [name = '', domain, ...rest] = text.split('/').reverse()
  const domainIsRight = domain === undefined || (domain.length <= 253 && DNS_SUBDOMAIN.test(domain))
  return rest.length === 0 && domainIsRight && name.length <= 63 && LABEL_NAME.test(name)
}

/** True for a label value: empty, or at most 63 characters of letters, digits, `-`, `_` and `.`. */
export function isLabelValue(text: string): boolean {
  return text === '' || (text.length <= 63 && LABEL_NAME.test(text))
}

/** A DNS-1123 subdomain: names of most objects. */
export function dnsSubdomain() {
  return z
    .string()
    .max(253)
    .regex(DNS_SUBDOMAIN, {
      error: ({ input }) =>
        `${quoteText(String(input), 60)} is not a valid name; use lower-case letters, digits, "-" and ".", beginning and ending with a letter or digit`,
    })
}

/** A DNS-1123 label: names of namespaces. */
export function dnsLabel() {
  return z
    .string()
    .max(63)
    .regex(DNS_LABEL, {
      error: ({ input }) =>
        `${quoteText(String(input), 60)} is not a valid name; use lower-case letters, digits and "-", beginning and ending with a letter or digit`,
    })
}

/** In CEL, with the text as `NAME`. */
const IS_LABEL_KEY = (name: string): string =>
  `${name}.matches('^(${LABEL}(\\\\.${LABEL})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')`
const NOT_A_LABEL_KEY = 'not a label key; write it like rack or example.com/rack'

export function labelKey() {
  return z
    .string()
    .max(317)
    .refine(isLabelKey, { error: ({ input }) => `${quoteText(String(input), 60)} is ${NOT_A_LABEL_KEY}` })
    .meta(admitted(IS_LABEL_KEY('self'), NOT_A_LABEL_KEY))
}

/** Labels as a mapping. */
export function labels() {
  return z.record(labelKey(), labelValue()).meta(admitted(`self.all(key, ${IS_LABEL_KEY('key')})`, NOT_A_LABEL_KEY))
}

export function labelValue() {
  const rule = 'use at most 63 letters, digits, "-", "_" and ".", beginning and ending with a letter or digit'
  return z
    .string()
    .max(63)
    .refine(isLabelValue, { error: ({ input }) => `${quoteText(String(input), 60)} is not a label value; ${rule}` })
    .meta(admitted("self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$')", `not a label value; ${rule}`))
}
