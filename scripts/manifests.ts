// Writes deploy/fibula.yaml, the chart with its default values as one file for `kubectl apply`, for people without Helm. Needs helm:
// from PATH, or as scripts/tools builds it.
//
//   scripts/node scripts/manifests.ts          exits 1 if the file is not what the chart says
//   scripts/node scripts/manifests.ts --write  writes it
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { renderCrds } from './crds.ts'

const ROOT = join(import.meta.dirname, '..')
export const CHART = join(ROOT, 'charts', 'fibula')
export const MANIFEST = join(ROOT, 'deploy', 'fibula.yaml')
export const NAMESPACE = 'fibula-system'
/** As Chart.yaml says. */
export const OLDEST_KUBERNETES = '1.30.0'

export type KubeObject = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
}

/** What tells of Helm, and would have Helm think that an object is its own. */
const OF_HELM = ['app.kubernetes.io/managed-by', 'app.kubernetes.io/instance', 'helm.sh/chart', 'helm.sh/resource-policy']
const HEAD = `# Fibula by kubectl alone: the chart charts/fibula with its default values, written by scripts/manifests.ts.
# The image has to be one that the nodes can pull, or have: set it wherever this file says "image: fibula:".
#
#   kubectl apply --server-side -f deploy/fibula.yaml
`

/** The helm there is; null: none. */
export function findHelm(): string | null {
  const lines = execFileSync(join(ROOT, 'scripts/tools'), ['list'], { encoding: 'utf8' }).split('\n')
  const path = lines.find((line) => line.startsWith('helm '))?.slice('helm '.length)
  return path !== undefined && existsSync(path) ? path : null
}

/** All objects of the chart but its CustomResourceDefinitions, as `helm template` makes them. Throws with what Helm says. */
export function renderChart(helm: string, args: readonly string[] = []): readonly KubeObject[] {
  const text = execFileSync(helm, ['template', 'fibula', CHART, '--namespace', NAMESPACE, '--kube-version', OLDEST_KUBERNETES, ...args], {
    encoding: 'utf8',
    stdio: 'pipe',
  })
  return objectsIn(text)
}

/** Objects of a stream of YAML documents. Throws if one of them is no YAML. */
export function objectsIn(text: string): readonly KubeObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [error] = document.errors
    if (error !== undefined) throw error
    const object = document.toJS() as KubeObject | null // what Helm and kubectl print is nothing else
    return object === null ? [] : [object]
  })
}

/** The file as it has to be. */
export function renderManifest(helm: string): string {
  const objects = renderChart(helm, ['--set', 'namespace.create=true']).map(withoutHelm)
  const definitions = [...renderCrds().values()].map((text): KubeObject => parse(text))
  const isFirst = ({ kind }: KubeObject): boolean => kind === 'Namespace'
  const all = [...objects.filter(isFirst), ...definitions, ...objects.filter((object) => !isFirst(object))]
  return HEAD + all.map((object) => `---\n${stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })}`).join('')
}

function withoutHelm<T>(value: T): T {
  if (Array.isArray(value)) return value.map(withoutHelm) as T // the shape stays
  if (typeof value !== 'object' || value === null) return value
  const kept = Object.entries(value).flatMap(([key, inner]): readonly (readonly [string, unknown])[] => {
    if (OF_HELM.includes(key)) return []
    const changed: unknown = withoutHelm(inner)
    return isEmptied(inner, changed) ? [] : [[key, changed]]
  })
  return Object.fromEntries(kept) as T // as above
}

/** Annotations of which nothing is left. */
function isEmptied(before: unknown, after: unknown): boolean {
  const size = (value: unknown): number => (typeof value === 'object' && value !== null ? Object.keys(value).length : -1)
  return size(after) === 0 && size(before) > 0
}

if (process.argv[1] !== undefined && import.meta.filename === process.argv[1]) {
  const helm = findHelm()
  if (helm === null) {
    console.error('manifests: needs helm: put it on PATH, or run scripts/tools helm')
    process.exit(1)
  }
  const wanted = renderManifest(helm)
  if (process.argv.includes('--write')) {
    mkdirSync(dirname(MANIFEST), { recursive: true })
    writeFileSync(MANIFEST, wanted)
  } else if (!existsSync(MANIFEST) || readFileSync(MANIFEST, 'utf8') !== wanted) {
    console.error('deploy/fibula.yaml is not what the chart says: run scripts/node scripts/manifests.ts --write')
    process.exitCode = 1
  }
}
