// The topology of a lab: racks, routers, nodes, pods and links as data (lab/two-racks.yaml is the default), checked before
// anything is built. Every rule that is broken is reported, with the field and what to write instead.
import { z } from 'zod'
import { err, ok, type Result } from '../lib/result.ts'
import { type IpFamily, type Prefix, parsePrefix, prefixFamily } from '../net/index.ts'

/** Speakers and pods: part of a namespace's name. */
const speakerName = z
  .string()
  .regex(/^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$/, 'must be up to 20 lower-case letters, digits and dashes, beginning with a letter')
/** True if a speaker or pod may have this name. */
export function isPlaceName(name: string): boolean {
  return speakerName.safeParse(name).success
}

/** Also the name of a network device, which the kernel limits to 15 octets; the lab appends two. */
const linkName = z
  .string()
  .regex(/^[a-z]([a-z0-9-]{0,11}[a-z0-9])?$/, 'must be up to 13 lower-case letters, digits and dashes, beginning with a letter')
const asNumber = z.int('must be an AS number').min(1).max(4_294_967_295)
const rack = z.string().regex(/^[a-z0-9]{1,15}$/, 'must be up to 15 lower-case letters and digits')

function prefixOf(family: IpFamily) {
  return z.string().transform((text, context): Prefix => {
    const parsed = parsePrefix(text)
    if (parsed !== null && prefixFamily(parsed) === family) return parsed
    context.addIssue({
      code: 'custom',
      message: `must be an IPv${family} prefix such as ${family === 4 ? '10.1.0.0/24' : 'fd00:0:0:1::/64'}`,
    })
    return z.NEVER
  })
}

const perFamily = z.strictObject({ ipv4: prefixOf(4), ipv6: prefixOf(6) })

const schema = z.strictObject({
  name: speakerName,
  cluster: z.strictObject({
    pools: perFamily,
    blockSize: z.strictObject({ ipv4: z.int().min(20).max(30), ipv6: z.int().min(100).max(126) }),
  }),
  fabric: z.strictObject({ loopbacks: perFamily, links: perFamily }),
  routers: z.array(z.strictObject({ name: speakerName, rack, asNumber })).min(1),
  nodes: z.array(z.strictObject({ name: speakerName, rack, asNumber, pods: z.array(speakerName) })).min(1),
  links: z.array(z.strictObject({ name: linkName, between: z.tuple([speakerName, speakerName]) })).min(1),
})

export type Topology = Readonly<z.output<typeof schema>>

/** A topology from parsed YAML, or everything that is wrong with it, one line a fault. */
export function parseTopology(document: unknown): Result<Topology, readonly string[]> {
  const parsed = schema.safeParse(document)
  if (!parsed.success)
    return err(parsed.error.issues.map(({ path, message }) => `${path.length === 0 ? 'topology' : pathOf(path)}: ${message}`))
  const faults = faultsOf(parsed.data)
  return faults.length === 0 ? ok(parsed.data) : err(faults)
}

function pathOf(path: readonly PropertyKey[]): string {
  return path.map((part, at) => (typeof part === 'number' ? `[${part}]` : `${at === 0 ? '' : '.'}${String(part)}`)).join('')
}

/** What the shape alone cannot say: names are unique and known, every node hangs on a router, there are addresses enough. */
function faultsOf({ cluster, fabric, routers, nodes, links }: Topology): readonly string[] {
  const speakers = [...routers, ...nodes]
  const routerNames = new Set(routers.map(({ name }) => name))
  const known = new Set(speakers.map(({ name }) => name))
  const attached = new Set(links.flatMap(({ between }) => between))
  const faults: string[] = []
  const places = [...speakers, ...nodes.flatMap(({ pods }) => pods.map((name) => ({ name })))].map(({ name }) => name)
  for (const name of repeated([...places, RESERVED]))
    faults.push(`name ${name}: is used twice; routers, nodes and pods need names of their own`)
  for (const name of repeated(links.map((link) => link.name))) faults.push(`links: the name ${name} is used twice`)
  for (const asn of repeated(speakers.map((speaker) => String(speaker.asNumber)))) {
    faults.push(`asNumber ${asn}: is used twice; the lab is all eBGP, so every speaker needs an AS number of its own`)
  }
  for (const { name, between } of links) {
    for (const end of between) if (!known.has(end)) faults.push(`link ${name}: there is no router or node ${end}`)
    if (between[0] === between[1]) faults.push(`link ${name}: joins ${between[0]} to itself`)
    else if (!between.some((end) => routerNames.has(end))) faults.push(`link ${name}: joins two nodes; one end must be a router`)
  }
  for (const { name } of speakers) if (!attached.has(name)) faults.push(`${name}: no link leads to it`)
  faults.push(
    ...tooSmall('cluster.pools.ipv4', cluster.pools.ipv4, nodes.length, cluster.blockSize.ipv4),
    ...tooSmall('cluster.pools.ipv6', cluster.pools.ipv6, nodes.length, cluster.blockSize.ipv6),
    ...tooSmall('fabric.loopbacks.ipv4', fabric.loopbacks.ipv4, FIRST_NODE_HOST + nodes.length, 32),
    ...tooSmall('fabric.loopbacks.ipv6', fabric.loopbacks.ipv6, FIRST_NODE_HOST + nodes.length, 128),
    ...tooSmall('fabric.links.ipv4', fabric.links.ipv4, links.length, 31),
    ...tooSmall('fabric.links.ipv6', fabric.links.ipv6, links.length, 127),
  )
  if (routers.length >= FIRST_NODE_HOST) faults.push(`routers: at most ${FIRST_NODE_HOST - 1}`)
  return faults
}

/** The namespace that holds the cables between the others. */
export const RESERVED = 'wires'
/** Routers have the loopbacks from .1 up, nodes from here. */
export const FIRST_NODE_HOST = 11

function tooSmall(field: string, { length }: Prefix, wanted: number, partLength: number): readonly string[] {
  const parts = partLength < length ? 0 : 2 ** Math.min(partLength - length, 40)
  return parts >= wanted ? [] : [`${field}: has room for ${parts} of the ${wanted} it needs (each a /${partLength}); take a shorter prefix`]
}

function repeated(values: readonly string[]): readonly string[] {
  return [...new Set(values.filter((value, at) => values.indexOf(value) !== at))]
}
