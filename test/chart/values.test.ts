// Values, their schema and their comments say the same. Needs no Helm.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { parse, parseDocument, visit } from 'yaml'
import { CHART } from '../../scripts/manifests.ts'

type Schema = { readonly properties?: Readonly<Record<string, Schema>>; readonly additionalProperties?: unknown; readonly type?: unknown }

const text = readFileSync(join(CHART, 'values.yaml'), 'utf8')
const schema: Schema = JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8'))

/** Paths of settings, down to where the schema leaves the rest to Kubernetes. */
function pathsOf(value: unknown, { properties }: Schema, path = ''): readonly string[] {
  if (properties === undefined || typeof value !== 'object' || value === null) return [path]
  if (Object.keys(value).length === 0) return [path]
  return Object.entries(value).flatMap(([key, inner]) => {
    const below = properties[key]
    return below === undefined ? [`${path}.${key} is not in the schema`] : pathsOf(inner, below, `${path}.${key}`)
  })
}

function pathsOfSchema({ properties, additionalProperties }: Schema, path = ''): readonly string[] {
  if (properties === undefined) return [path]
  if (additionalProperties !== false) return [`${path} lets unknown settings pass`]
  return Object.entries(properties).flatMap(([key, inner]) => pathsOfSchema(inner, `${path}.${key}`))
}

test('the schema has every setting of values.yaml, and no object that takes unknown ones', () => {
  const inValues = pathsOf(parse(text), schema)
  expect(inValues.filter((path) => path.includes(' '))).toEqual([])
  const inSchema = pathsOfSchema(schema)
  expect(inSchema.filter((path) => path.includes(' '))).toEqual([])
  const undocumented = inSchema.filter((path) => !inValues.some((each) => each === path || path.startsWith(`${each}.`)))
  // what Helm hands to charts inside others, and parts of Kubernetes' own settings that have no default
  expect(undocumented.filter((path) => !/^\.global$|\.resources\.claims$|\.rollingUpdate\.maxSurge$/.test(path))).toEqual([])
})

test('every setting that is not its own explanation has a comment', () => {
  const SELF_EVIDENT =
    /^(pullPolicy|enabled|replicas|port|ipv4|ipv6|resources|nodeSelector|affinity|tolerations|podAnnotations|podLabels|extraEnv|priorityClassName|interval|labels|maxUnavailable|terminationGracePeriodSeconds|metricsPort|host|binDir|stateDir|requests|limits|type|rollingUpdate|cpu|memory|operator|key|effect)$/
  const bare: string[] = []
  visit(parseDocument(text), {
    Pair(at, pair, path) {
      const key = String(pair.key)
      const { commentBefore } = pair.key as { readonly commentBefore?: string | null } // a scalar
      const parent = path.at(-1) as { readonly commentBefore?: string | null } | undefined
      const isFirst = at === 0 && typeof parent?.commentBefore === 'string'
      if ((commentBefore ?? '') === '' && !isFirst && !SELF_EVIDENT.test(key)) bare.push(key)
    },
  })
  // sections whose settings carry the explanation
  expect(bare.filter((key) => !['image', 'detection', 'cni', 'podDisruptionBudget', 'namespace'].includes(key))).toEqual([])
})
