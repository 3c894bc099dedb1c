// The pods of a lab: a namespace each, attached through the CNI plugin of their node, which gives them their addresses. What was
// made is written down first, one file a pod, so that commands at the same time and crashes leave nothing behind.
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { DualAddress } from './addressing.ts'
import { CniError, cniAdd, cniDelete } from './cni.ts'
import { LabError } from './error.ts'
import { removePodManifest, writePodManifest } from './files.ts'
import { hostsFile } from './manifests.ts'
import { addNamespace, netnsPath, removeNamespaces } from './netns.ts'
import type { LabPaths } from './paths.ts'
import { namespacesOf, type Plan, type PlannedPod } from './plan.ts'
import { writeWhole } from './state.ts'
import { isPlaceName } from './topology.ts'
import { waitFor } from './wait.ts'

/** A pod with a network. */
export type Pod = PlannedPod & {
  readonly address: DualAddress
  /** The end of its veth pair in the node's namespace: `fib` and 11 hex digits. */
  readonly hostDevice: string
}

const place = { name: z.string(), node: z.string(), netns: z.string() }
const record = z.union([
  z.object({ ...place, address: z.object({ ipv4: z.string(), ipv6: z.string() }), hostDevice: z.string() }),
  z.object({ ...place, address: z.null() }),
])
type PodRecord = z.output<typeof record>

type Place = { readonly plan: Plan; readonly paths: LabPaths }

/** How long the agent of a new node may take until it can give addresses. */
const READY_WITHIN_MS = 60_000

/** Every pod there is or may be, by name. */
export function podRecords({ podRoot }: LabPaths): readonly PodRecord[] {
  let names: readonly string[]
  try {
    names = readdirSync(podRoot)
  } catch {
    return [] // no pod was ever added
  }
  return names
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => record.parse(JSON.parse(readFileSync(join(podRoot, name), 'utf8'))))
}

/** The pods that have a network. */
export function attachedPods(paths: LabPaths): readonly Pod[] {
  return podRecords(paths).flatMap((each) => (each.address === null ? [] : [each]))
}

/** Attaches pods whose namespaces are there, all at once, and writes the hosts file. Rejects with LabError. */
export async function attachPods(plan: Plan, paths: LabPaths, pods: readonly PlannedPod[]): Promise<readonly Pod[]> {
  const attached = await Promise.all(pods.map((pod) => attach(paths, pod)))
  writeHosts(plan, paths)
  return attached
}

/** Makes a pod with its namespace. Rejects with LabError, leaving nothing. */
export async function addPod({ plan, paths }: Place, name: string, node: string): Promise<Pod> {
  const nodes = plan.nodes.map((each) => each.name)
  if (!nodes.includes(node)) throw new LabError('USAGE', `there is no node ${node}: there are ${nodes.join(', ')}`)
  if (!isPlaceName(name))
    throw new LabError('USAGE', `a pod cannot be named ${JSON.stringify(name)}: up to 20 lower-case letters, digits and dashes`)
  if (namespacesOf(plan).has(name) || podRecords(paths).some((each) => each.name === name))
    throw new LabError('USAGE', `there is a ${name} in the lab already: choose another name`)
  const pod = { name, node, netns: `${plan.netnsPrefix}${name}` }
  writeRecord(paths, { ...pod, address: null })
  try {
    await addNamespace(pod.netns)
    const [attached] = await attachPods(plan, paths, [pod])
    if (attached === undefined) throw new LabError('FAILED', `pod ${name} was not attached`)
    return attached
  } catch (error) {
    await remove({ plan, paths }, pod).catch(() => {}) // the first error is the one to tell
    throw error
  }
}

/** Detaches a pod and removes its namespace. Rejects with LabError. */
export async function deletePod(lab: Place, name: string): Promise<void> {
  const records = podRecords(lab.paths)
  const pod = records.find((each) => each.name === name)
  if (pod === undefined) throw new LabError('USAGE', `there is no pod ${name}: there are ${records.map((each) => each.name).join(', ')}`)
  await remove(lab, pod)
}

async function remove({ plan, paths }: Place, pod: PlannedPod): Promise<void> {
  await cniDelete(attachmentOf(paths, pod))
  await removeNamespaces([pod.netns])
  removePodManifest(paths, pod.name)
  rmSync(fileOf(paths, pod.name), { force: true })
  writeHosts(plan, paths)
}

async function attach(paths: LabPaths, pod: PlannedPod): Promise<Pod> {
  writeRecord(paths, { ...pod, address: null })
  writePodManifest(paths, pod, null) // as the API server has a pod before its node knows of it
  let refused: CniError | null = null
  const added = await waitFor(
    async () => {
      try {
        return await cniAdd(attachmentOf(paths, pod))
      } catch (error) {
        if (!(error instanceof CniError) || !error.mayRetry) throw error
        refused = error // a runtime tries again too
        return null
      }
    },
    { deadlineMs: READY_WITHIN_MS, everyMs: 200 },
  )
  if (added === null) throw refused ?? new LabError('FAILED', `pod ${pod.name} was not attached`)
  const [ipv4, ipv6] = [added.addresses.find((each) => !each.includes(':')), added.addresses.find((each) => each.includes(':'))]
  if (ipv4 === undefined || ipv6 === undefined)
    throw new LabError('FAILED', `pod ${pod.name} got ${added.addresses.join(', ')}: the lab needs an address of each family`)
  const attached = { ...pod, address: { ipv4, ipv6 }, hostDevice: added.hostInterface }
  writeRecord(paths, attached)
  writePodManifest(paths, pod, attached.address)
  return attached
}

function attachmentOf(paths: LabPaths, { name, node, netns }: PlannedPod) {
  return { containerId: `lab-${name}`, netns: netnsPath(netns), pod: name, socket: paths.cniSocket(node) }
}

function fileOf({ podRoot }: LabPaths, name: string): string {
  return join(podRoot, `${name}.json`)
}

function writeRecord(paths: LabPaths, pod: PodRecord): void {
  mkdirSync(paths.podRoot, { recursive: true, mode: 0o755 })
  writeWhole(fileOf(paths, pod.name), `${JSON.stringify(pod, null, 2)}\n`)
}

function writeHosts(plan: Plan, paths: LabPaths): void {
  writeWhole(paths.hosts, hostsFile(plan, attachedPods(paths)))
}
