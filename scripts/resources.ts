// Writes docs/resources.md, the reference of all kinds and fields, from the zod schemas, so that the two cannot disagree.
//
//   scripts/node scripts/resources.ts          exits 1 if the file is not what the schemas say
//   scripts/node scripts/resources.ts --write  writes it
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { KIND_NAMES, type KindInfo, type KindName, kindInfo, RULES_KEY } from '../src/store/index.ts'
import { OTHER_NAMES } from '../src/store/other-names.ts'

type JsonSchema = {
  readonly type?: string
  readonly format?: string
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly string[]
  readonly minimum?: number
  readonly maximum?: number
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly items?: JsonSchema
  readonly additionalProperties?: boolean | JsonSchema
  readonly [RULES_KEY]?: readonly string[]
}

export const RESOURCES_DOC = join(import.meta.dirname, '..', 'docs', 'resources.md')

const INTRODUCTION = `# Resources

<!-- Written by scripts/resources.ts from src/store/kinds; change those and run \`scripts/node scripts/resources.ts --write\`. -->

Everything Fibula is told is a manifest of one of these kinds, the same in a folder (\`--store dir:PATH\`) and for \`kubectl\`. Names
follow Calico's where the meaning is the same. An unknown field is an error. Durations are text like \`90s\`, \`1m30s\` or \`1h\`;
selectors are Kubernetes label selectors (\`matchLabels\`, \`matchExpressions\`; \`{}\` selects everything); communities are written
\`64512:100\`, \`4200000000:1:2\` (large), \`rt:64512:100\` or \`ro:64512:100\` (extended: route target, route origin), \`0x\` and 16 hex digits
(any other extended), or by a well-known name: \`no-export\`, \`no-advertise\`, \`no-export-subconfed\`, \`nopeer\`, \`graceful-shutdown\`,
\`blackhole\`, \`accept-own\`, \`llgr-stale\`, \`no-llgr\`; all as \`fibula bgp routes\` prints them.

## How they work together

- **Settings of a node.** BGPConfiguration \`default\` holds for every node. Others select nodes and override it field by field (those
  inside \`gracefulRestart\` and \`nodeToNodeMesh\` too). Two that set one field of one node are a problem; the first by name wins.
  Annotations of the Node go before both.
- **Sessions of a node** are those of the BGPPeers that mean it, then what follows from BGPPeers of others (\`reversePeering\`), then
  the node-to-node mesh. A remote address has one session, whatever its port: what comes first in this order wins, and two
  BGPPeers that mean one node and one address are a problem.
- **The mesh** is one session for each IP family that two nodes share, carrying that family: as two separate BGP sessions an IPv6
  fault cannot take IPv4 down, each next hop is an address of its own family, and other daemons peer the same way. Nodes with a
  \`route-reflector-cluster-id\` take no part in it. Over 100 nodes it is a problem: use route reflectors.
- **Route reflectors** are nodes with a \`route-reflector-cluster-id\`. One BGPPeer suffices: \`nodeSelector\` for the clients,
  \`peerSelector\` for the reflectors. Every iBGP peer of a reflector is its client, except nodes with the same id. The reverse session
  has the transport, timers, password and capabilities of the BGPPeer, the opposite \`role\`, and none of its policy: \`filters\`,
  \`maxPrefixes\`, \`nextHopMode\`, \`allowLocalAS\` and \`enforceFirstAS\` are of the side that the BGPPeer is for.
- **Between nodes** sessions go from node address to node address; where their AS numbers differ, with TTL 255 unless
  \`ttlSecurity\` or \`ebgpMultihop\` says otherwise.
- **Passwords** are read from Secrets in the namespace of the agent (\`--namespace\`). While one is missing, its session stays down
  and the others do not notice.
- **Filters** that do not exist reject everything, both ways, for the peers that name them. No filter can make a \`Host\` export what
  it has learned.
- **What a node originates** are its confirmed blocks (unless their pool has \`disableBGPExport\`) and \`networks\`. What it believes
  from outside the cluster without a filter lies within the pools, and never within service ranges.

## In a folder

Every \`*.yaml\`, \`*.yml\` and \`*.json\` directly in the folder holds one or more manifests, or a \`List\`. Saving takes effect. A manifest
that is not valid is reported with file, document, line, field and remedy, and the last good state of its object stays; so does
every object of a text that cannot be read. An object in two files is an error: the file that had it first keeps it.
\`fibula apply\` puts a new object into \`KIND.NAME.yaml\` (with the namespace in between, if it has one) and replaces a known one
where it stands; comments of other documents stay as they are. What Fibula writes itself is in \`state/\`, one file an object.
A folder is on a local file system, or one with flock(2).
`

const NOTES: { readonly [K in KindName]?: string } = {
  IPPool: '[ipam.md](ipam.md) says how addresses are handed out, [encapsulation.md](encapsulation.md) what `ipipMode` does.',
}

/** The whole document. */
export function renderResources(): string {
  const kinds = KIND_NAMES.map(kindInfo)
  const own = kinds.filter(({ writer }) => writer !== 'core')
  const core = kinds.filter(({ writer }) => writer === 'core')
  return [INTRODUCTION, ...own.map(renderKind), renderCore(core), renderOtherNames()].join('\n')
}

function renderKind({ kind, apiVersion, plural, shortNames, description, writer, schema }: KindInfo): string {
  const json = z.toJSONSchema(schema, { io: 'input' }) as JsonSchema
  const spec = json.properties?.['spec'] ?? {}
  const status = json.properties?.['status'] ?? {}
  const names = [plural, ...shortNames].map((name) => `\`${name}\``).join(', ')
  const rules = new Set([...rulesOf(spec), ...(json[RULES_KEY] ?? [])])
  const note = NOTES[kind]
  const parts = [
    `## ${kind}`,
    '',
    description,
    '',
    `\`apiVersion: ${apiVersion}\`; cluster-scoped; also ${names}${writer === 'machine' ? '; written by machines' : ''}.`,
    '',
    ...(note === undefined ? [] : [note, '']),
    ...table('spec', spec),
    ...(rules.size === 0 ? [] : ['Rules:', '', ...[...rules].map((rule) => `- ${rule}`), '']),
    ...table('status', status),
  ]
  return parts.join('\n')
}

function table(root: string, schema: JsonSchema): readonly string[] {
  const rows = [...fieldsOf(schema, root)]
  if (rows.length === 0) return []
  return ['| field | type | default | meaning |', '|---|---|---|---|', ...rows.map((row) => `| ${row.map(cell).join(' | ')} |`), '']
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

type Row = readonly [field: string, type: string, value: string, meaning: string]

function* fieldsOf(schema: JsonSchema, path: string): Generator<Row> {
  const seen = new Map<string, string>()
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const here = `${path}.${name}`
    const isNeeded = schema.required?.includes(name) === true && field.default === undefined
    const value = isNeeded ? 'needed' : field.default === undefined ? '' : `\`${JSON.stringify(field.default)}\``
    const inside = [...(isSelector(field) ? [] : fieldsOf(field, '')), ...(field.items === undefined ? [] : fieldsOf(field.items, '[]'))]
    const shape = inside.length > 3 ? inside.map(([inner]) => inner).join() : ''
    const twin = seen.get(shape)
    yield [`\`${here}\``, typeOf(field), value, `${field.description ?? ''}${twin === undefined ? '' : ` Fields as in \`${twin}\`.`}`]
    if (twin !== undefined) continue
    if (shape !== '') seen.set(shape, here)
    for (const [inner, ...others] of inside) yield [`\`${here}${inner.slice(1)}`, ...others]
  }
}

function isSelector({ properties = {} }: JsonSchema): boolean {
  return 'matchLabels' in properties
}

function typeOf(schema: JsonSchema): string {
  if (isSelector(schema)) return 'label selector'
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ')
  switch (schema.type) {
    case 'array':
      return `list of ${typeOf(schema.items ?? {})}`
    case 'object':
      return 'mapping'
    case 'integer':
      return schema.minimum === undefined || schema.maximum === undefined || schema.maximum >= Number.MAX_SAFE_INTEGER
        ? 'integer'
        : `integer ${schema.minimum} to ${schema.maximum}`
    case 'string':
      return schema.format === 'cidr' ? 'prefix' : schema.format === 'duration' ? 'duration' : 'text'
    default:
      return schema.type ?? 'any'
  }
}

function* rulesOf(schema: JsonSchema): Generator<string> {
  if (!isSelector(schema)) {
    yield* schema[RULES_KEY] ?? []
    for (const field of Object.values(schema.properties ?? {})) yield* rulesOf(field)
    if (schema.items !== undefined) yield* rulesOf(schema.items)
  }
}

function renderCore(kinds: readonly KindInfo[]): string {
  const rows = kinds.map(({ kind, apiVersion, schema }) => {
    const fields = [...readFields(z.toJSONSchema(schema, { io: 'input' }) as JsonSchema, '')].filter(
      (field) => !/^(apiVersion|kind|metadata)\b/.test(field),
    )
    return `| ${kind} | \`${apiVersion}\` | ${fields.map((field) => `\`${field}\``).join(', ')} |`
  })
  return `## Kinds of Kubernetes

Read, never written (but by \`fibula apply\`); other fields are ignored, except in a NetworkPolicy and a ClusterNetworkPolicy, where an unknown one is an error: such a policy isolates as it says and grants only what is understood.

| kind | apiVersion | fields read, beside metadata |
|---|---|---|
${rows.join('\n')}

Annotations of a **Node** with its own settings:

| annotation | meaning |
|---|---|
| \`fibula.network/asn\` | AS number, \`"64512"\` or \`"1.10"\`; goes before BGPConfiguration |
| \`fibula.network/router-id\` | BGP Identifier, written like an IPv4 address; unique within the AS |
| \`fibula.network/route-reflector-cluster-id\` | the node reflects routes for its iBGP peers, in this cluster; written like an IPv4 address |
| \`fibula.network/ipv4-address\`, \`fibula.network/ipv6-address\` | BGP address with prefix length, \`10.0.0.11/24\`. Without: the first InternalIP of the status, else what the agent finds on the host |
`
}

function* readFields(schema: JsonSchema, path: string): Generator<string> {
  const fields = Object.entries(schema.properties ?? {})
  for (const [name, field] of fields) {
    const here = path === '' ? name : `${path}.${name}`
    if (isSelector(field)) yield here
    else if (field.properties !== undefined) yield* readFields(field, here)
    else if (field.items?.properties !== undefined) yield* readFields(field.items, `${here}[]`)
    else yield here
  }
}

function renderOtherNames(): string {
  const rows = KIND_NAMES.flatMap((kind) =>
    Object.entries(OTHER_NAMES[kind] ?? {}).map(([name, hint]) => `| ${kind} | \`${name}\` | ${cell(hint)} |`),
  )
  return `## Under other names elsewhere

What these fields of other systems are here (the message for an unknown field says the same):

| kind | field | here |
|---|---|---|
${rows.join('\n')}
`
}

if (process.argv[1] !== undefined && import.meta.filename === process.argv[1]) {
  const text = renderResources()
  if (process.argv.includes('--write')) writeFileSync(RESOURCES_DOC, text)
  else if (readFileSync(RESOURCES_DOC, 'utf8') !== text) {
    console.error('docs/resources.md is not what the schemas say: run scripts/node scripts/resources.ts --write')
    process.exitCode = 1
  }
}
