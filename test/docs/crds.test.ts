import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { parse } from 'yaml'
import { CRD_FOLDER, renderCrds } from '../../scripts/crds.ts'
import { KIND_NAMES, kindInfo } from '../../src/store/index.ts'

test('crds/ is what the schemas say (scripts/node scripts/crds.ts --write)', () => {
  const wanted = renderCrds()
  expect(readdirSync(CRD_FOLDER).sort()).toEqual([...wanted.keys()].sort())
  for (const [name, text] of wanted) expect(readFileSync(join(CRD_FOLDER, name), 'utf8')).toBe(text)
})

type Schema = {
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly 'x-fibula-rules'?: readonly string[]
  readonly 'x-kubernetes-validations'?: readonly { readonly message: string }[]
}

/** Every field below a schema by its path. */
function* fieldsOf(schema: Schema, path: string): Generator<readonly [string, Schema]> {
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    yield [`${path}.${name}`, field]
    yield* fieldsOf(field, `${path}.${name}`)
  }
  if (schema.items !== undefined) yield* fieldsOf(schema.items, `${path}[]`)
}

const own = KIND_NAMES.map(kindInfo).filter(({ writer }) => writer !== 'core')

test.each(own.map(({ kind, plural }) => [kind, plural]))(
  '%s: every field is described, so that kubectl explain teaches',
  (_kind, plural) => {
    const text = renderCrds().get(`fibula.network_${plural}.yaml`) ?? ''
    const schema: Schema = parse(text).spec.versions[0].schema.openAPIV3Schema
    const bare = [...fieldsOf(schema, '')].filter(([path, { description }]) => path !== '.metadata' && (description ?? '').length < 5)
    expect(bare.map(([path]) => path)).toEqual([])
  },
)
