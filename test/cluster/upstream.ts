// Upstream Kubernetes' own end-to-end suite, against our cluster: which specs, and what each of them said.
import fs from 'node:fs'
import path from 'node:path'
import { ExecError, exec } from '../../src/lib/exec.ts'
import type { Cluster } from '../support/cluster/index.ts'
import { toolPath } from '../support/tools/index.ts'

export type SpecResult = { readonly name: string; readonly state: string; readonly seconds: number; readonly failure: string }

export type Selection = {
  /** Regular expressions on the full name of a spec. */
  readonly focus: string
  readonly skip?: string
  /** Processes that run specs beside each other; more than one needs the program `ginkgo`. */
  readonly procs: number
  readonly timeoutMs: number
}

type SpecReport = {
  readonly ContainerHierarchyTexts: readonly string[] | null
  readonly LeafNodeType: string
  readonly LeafNodeText: string
  readonly State: string
  readonly RunTime: number
  readonly Failure?: { readonly Message?: string }
}

/** Runs the selected specs and returns those that ran. Rejects if the suite itself fails, or selects nothing. */
export async function runSpecs(
  cluster: Cluster,
  label: string,
  { focus, skip, procs, timeoutMs }: Selection,
): Promise<readonly SpecResult[]> {
  const folder = path.join(cluster.folder, 'e2e', label)
  fs.mkdirSync(folder, { recursive: true })
  const ginkgo = [`--focus=${focus}`, ...(skip === undefined ? [] : [`--skip=${skip}`]), '--no-color', '--silence-skips']
  const suite = [
    '--kubeconfig',
    cluster.adminConfig,
    '--provider',
    'skeleton',
    '--allowed-not-ready-nodes',
    '0',
    '--minStartupPods',
    '0',
    '--dump-logs-on-failure=false',
    '--report-dir',
    folder,
    '--kubectl-path',
    toolPath('kubectl'),
  ]
  const command =
    procs === 1
      ? [
          toolPath('e2e.test'),
          ...suite,
          ...ginkgo.map((each) => each.replace('--', '--ginkgo.')),
          `--ginkgo.json-report=${folder}/report.json`,
        ]
      : [
          toolPath('ginkgo'),
          `--procs=${procs}`,
          ...ginkgo,
          `--output-dir=${folder}`,
          '--json-report=report.json',
          toolPath('e2e.test'),
          '--',
          ...suite,
        ]
  const report = path.join(folder, 'report.json')
  const run = await cluster.run(command, { timeoutMs }).catch((cause: unknown) => {
    if (cause instanceof ExecError) return { stdout: cause.stdout, stderr: `${cause.message}\n${cause.stderr}` }
    throw cause
  })
  const log = path.join(folder, 'output.log')
  fs.writeFileSync(log, `${run.stdout}\n${run.stderr}`)
  if (!fs.existsSync(report)) throw new Error(`the suite left no report:\n${run.stdout.slice(-3_000)}\n${run.stderr.slice(-3_000)}`)
  const suites = JSON.parse(fs.readFileSync(report, 'utf8')) as readonly { readonly SpecReports: readonly SpecReport[] | null }[]
  const results = suites
    .flatMap(({ SpecReports }) => SpecReports ?? [])
    .filter(({ LeafNodeType, State }) => LeafNodeType === 'It' && State !== 'skipped' && State !== 'pending')
    .map((spec) => ({
      name: [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' '),
      state: spec.State,
      seconds: Math.round(spec.RunTime / 1e9),
      failure: spec.Failure?.Message ?? '',
    }))
  if (results.length === 0) throw new Error(`no spec matches ${focus}:\n${run.stdout.slice(-1_000)}${run.stderr.slice(-1_000)}`)
  return results
}

/** Names of the specs a selection would run. */
export async function listSpecs(focus: string, skip?: string): Promise<readonly string[]> {
  const file = path.join(fs.mkdtempSync('/tmp/fibula-e2e-'), 'report.json')
  try {
    const filters = [`--ginkgo.focus=${focus}`, ...(skip === undefined ? [] : [`--ginkgo.skip=${skip}`])]
    await exec(toolPath('e2e.test'), [
      '--ginkgo.dry-run',
      '--ginkgo.silence-skips',
      '--provider',
      'skeleton',
      ...filters,
      `--ginkgo.json-report=${file}`,
    ])
    const suites = JSON.parse(fs.readFileSync(file, 'utf8')) as readonly { readonly SpecReports: readonly SpecReport[] | null }[]
    return suites
      .flatMap(({ SpecReports }) => SpecReports ?? [])
      .filter(({ LeafNodeType, State }) => LeafNodeType === 'It' && State === 'passed')
      .map((spec) => [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' '))
  } finally {
    fs.rmSync(path.dirname(file), { recursive: true, force: true })
  }
}
