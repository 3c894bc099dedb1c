// Secret of Kubernetes: passwords of BGP sessions. Only those named are ever read, and no value reaches a log or an error.
import { z } from 'zod'
import { defineCoreKind } from './kind.ts'

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

export const secret = defineCoreKind({
  kind: 'Secret',
  apiVersion: 'v1',
  plural: 'secrets',
  shortNames: [],
  scope: 'Namespaced',
  description: 'A Secret, such as the password of a BGP session.',
  columns: [{ name: 'Type', path: '.type' }],
  body: {
    type: z.string().default('Opaque'),
    data: z
      .record(
        z.string(),
        z.string().refine((text) => BASE64.test(text.replace(/\s/g, '')), { error: 'not base64; put plain text under stringData instead' }),
      )
      .default({}),
    stringData: z.record(z.string(), z.string()).default({}),
  },
})

/** The value of a key as text: `stringData`, else decoded `data`; null if the Secret lacks the key. */
export function secretValue(
  { data, stringData }: { readonly data: Readonly<Record<string, string>>; readonly stringData: Readonly<Record<string, string>> },
  key: string,
): string | null {
  if (Object.hasOwn(stringData, key)) return stringData[key] ?? null
  const encoded = Object.hasOwn(data, key) ? data[key] : undefined
  return encoded === undefined ? null : Buffer.from(encoded, 'base64').toString('utf8')
}
