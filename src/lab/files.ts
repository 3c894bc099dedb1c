// The files a lab begins with: manifests as a person would write them, objects agents would write, configurations of real daemons.
import { chownSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { DualAddress } from './addressing.ts'
import { LabError } from './error.ts'
import { CLUSTER_FOLDER, type Manifest, manifestFolders, podManifest } from './manifests.ts'
import type { LabPaths } from './paths.ts'
import { fibulaSpeakers, type Plan, type Router } from './plan.ts'
import { type RouterPaths, realRouter } from './routers/index.ts'
import { writeWhole } from './state.ts'

/** Writes every folder of manifests. */
export function writeManifests(plan: Plan, paths: LabPaths): void {
  for (const { name: folder, files } of manifestFolders(plan)) {
    for (const { name, comment, manifests } of files) writeWhole(join(paths.store(folder), name), yamlOf(comment, manifests))
  }
}

/** The Pod object beside the other manifests of the nodes; `address` null: it has none yet. */
export function writePodManifest(
  paths: LabPaths,
  pod: { readonly name: string; readonly node: string },
  address: DualAddress | null,
): void {
  writeWhole(podFile(paths, pod.name), yamlOf('Kept by `fibula lab`; policies select it by these labels.', [podManifest(pod, address)]))
}

export function removePodManifest(paths: LabPaths, name: string): void {
  rmSync(podFile(paths, name), { force: true })
}

function podFile(paths: LabPaths, name: string): string {
  return join(paths.store(CLUSTER_FOLDER), `pod-${name}.yaml`)
}

function yamlOf(comment: string, manifests: readonly Manifest[]): string {
  return `# ${comment}\n${manifests.map((each) => stringify(each, { lineWidth: 0, aliasDuplicateObjects: false })).join('---\n')}`
}

/** Configurations of routers that are real daemons, in folders their user owns; and everybody's run directory. */
export function writeConfigurations(plan: Plan, paths: LabPaths): void {
  const kind = realRouter(plan.routerKind)
  for (const { name } of fibulaSpeakers(plan)) mkdirSync(paths.run(name), { recursive: true, mode: 0o755 })
  if (kind === null) return
  const owner = kind.user === null ? null : userOf(kind.user, kind.packages)
  for (const router of plan.routers) {
    const folders = routerPaths(paths, router)
    for (const folder of [folders.config, folders.run]) mkdirSync(folder, { recursive: true, mode: 0o755 })
    const files = kind.files(plan, router, folders)
    for (const { path, text } of files) writeFileSync(path, text)
    if (owner !== null) for (const path of [folders.config, folders.run, ...files.map((file) => file.path)]) chownSync(path, ...owner)
  }
}

function userOf(name: string, packages: string): readonly [uid: number, gid: number] {
  const fields = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([user]) => user === name)
  if (fields === undefined) throw new LabError('FAILED', `there is no user ${name}: apt-get install ${packages}`)
  return [Number(fields[2]), Number(fields[3])]
}

/** Folders of a router. */
export function routerPaths(paths: LabPaths, router: Router): RouterPaths {
  return { config: paths.config(router.name), run: paths.run(router.name) }
}
