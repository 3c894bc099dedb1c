// Upstream Kubernetes' own end-to-end suite, against our cluster: which specs, and what each of them said.
import fs from 'node:fs'
import path from 'node:path'
import { type Cluster, Program } from '../support/cluster/index.ts'
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

/** A suite whose time is up still writes its report. */
const REPORT_MS = 60_000

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
  progress: (what: string) => void,
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
          `--timeout=${timeoutMs / 1_000}s`, // its own is an hour, whatever ours is
          ...ginkgo,
          `--output-dir=${folder}`,
          '--json-report=report.json',
          toolPath('e2e.test'),
          '--',
          ...suite,
        ]
  const report = path.join(folder, 'report.json')
  const log = path.join(folder, 'output.log')
  const env = { ...process.env, KUBECONFIG: cluster.adminConfig, HOME: folder }
  const suiteRun = Program.start(label, cluster.place, command, log, { env })
  await watch(suiteRun, timeoutMs, progress)
  if (!fs.existsSync(report)) throw new Error(`the suite left no report:\n${suiteRun.log(5_000)}`)
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
  if (results.length === 0) throw new Error(`no spec matches ${focus}:\n${suiteRun.log(1_000)}`)
  return results
}

/** Waits for the end, saying now and then how many specs are done: the suite prints a dot for each. */
async function watch(suite: Program, timeoutMs: number, progress: (what: string) => void): Promise<void> {
  let told = 0
  const timer = setInterval(() => {
    const done = suite.log(Number.POSITIVE_INFINITY).split('•').length - 1
    if (done >= told + 5) progress(`  ${done} specs are done`)
    if (done >= told + 5) told = done
  }, 5_000)
  const late = setTimeout(() => void suite.kill(), timeoutMs + REPORT_MS)
  try {
    await suite.ended()
  } finally {
    clearInterval(timer)
    clearTimeout(late)
  }
}
