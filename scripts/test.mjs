// Runs every test tier this machine can run and ends with a table: passed, failed, skipped and why.
// With CI=true a skipped tier is a failure, unless CANNOT_HAVE names it for this kind of machine.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const inCi = process.env.CI === 'true'
/** Tiers a CI machine of this kind cannot have, each with its reason. */
const CANNOT_HAVE = new Map(process.arch === 'x64' ? [] : [['uml', 'user-mode-linux is for x86 alone']])
/** What three nodes, a control plane and upstream's specs need. */
const CLUSTER_TOOLS = [
  ...['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy', 'kubectl'],
  ...['containerd', 'ctr', 'helm', 'e2e.test', 'pause.tar', 'agnhost.tar', 'coredns.tar'],
]
const scratch = mkdtempSync(join(tmpdir(), 'fibula-test-'))

const tiers = [
  { name: 'unit', command: [process.execPath, ...jestArguments(), '--selectProjects', 'unit'], unavailable: () => null },
  {
    name: 'netns',
    command: [join(root, 'test/netns/run.sh')],
    unavailable: () => (process.getuid?.() === 0 ? null : 'needs root to make network namespaces'),
  },
  {
    name: 'kube',
    command: [process.execPath, ...jestArguments(), '--selectProjects', 'kube'],
    unavailable: () =>
      hasTools('etcd', 'kube-apiserver')
        ? null
        : 'no etcd and kube-apiserver: install Go 1.26 or later, or name a folder with both in KUBEBUILDER_ASSETS',
  },
  {
    name: 'cluster', // the smoke part; `make conformance` is the whole
    command: [join(root, 'test/cluster/run.sh'), 'test/cluster/smoke.ts'],
    unavailable: () => {
      if (process.getuid?.() !== 0) return 'needs root to make namespaces'
      const missing = CLUSTER_TOOLS.filter((name) => !hasTools(name))
      return missing.length === 0 ? null : `no ${missing.join(', ')}: install Go 1.26 or later and mmdebstrap, then scripts/tools`
    },
  },
  {
    name: 'uml',
    command: [join(root, 'test/uml/run.sh')],
    unavailable: () => {
      if (process.getuid?.() !== 0) return 'needs root to make network namespaces'
      return process.arch === 'x64' ? null : 'user-mode-linux is for x86 alone'
    },
  },
]

/** True if scripts/tools has found or built all of these. */
function hasTools(...names) {
  const lines = spawnSync(join(root, 'scripts/tools'), ['list'], { encoding: 'utf8' }).stdout.trim().split('\n')
  const paths = new Map(lines.map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]))
  return names.every((name) => existsSync(paths.get(name) ?? ''))
}

function jestArguments() {
  return ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', join(root, 'node_modules/jest/bin/jest.js')]
}

function run(tier) {
  const why = tier.unavailable()
  if (why !== null)
    return { tier: tier.name, passed: 0, failed: 0, skipped: 0, note: `skipped: ${why}`, ok: !inCi || CANNOT_HAVE.has(tier.name) }
  const report = join(scratch, `${tier.name}.json`)
  console.log(`\n== ${tier.name}`)
  const [command, ...args] = tier.command
  const result = spawnSync(command, [...args, '--json', `--outputFile=${report}`], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
  if (!existsSync(report))
    return {
      tier: tier.name,
      passed: 0,
      failed: 1,
      skipped: 0,
      note: `the runner ended with ${result.status ?? result.signal} and left no report`,
      ok: false,
    }
  const json = JSON.parse(readFileSync(report, 'utf8'))
  const skipped = json.numPendingTests + json.numTodoTests
  const skippedNames = json.testResults.flatMap((file) =>
    file.assertionResults.filter(({ status }) => status === 'pending' || status === 'todo').map(({ fullName }) => fullName),
  )
  const ok = result.status === 0 && json.numPassedTests > 0 && (!inCi || skipped === 0)
  const note =
    skipped > 0
      ? `skipped: ${skippedNames.join('; ')}`
      : result.status !== 0 && json.numFailedTests === 0
        ? `the runner ended with ${result.status}`
        : ''
  return { tier: tier.name, passed: json.numPassedTests, failed: json.numFailedTests + json.numRuntimeErrorTestSuites, skipped, note, ok }
}

const results = tiers.map(run)
rmSync(scratch, { recursive: true, force: true })
console.log('\ntier     passed  failed  skipped  note')
for (const { tier, passed, failed, skipped, note } of results) {
  console.log(`${tier.padEnd(8)} ${String(passed).padStart(6)}  ${String(failed).padStart(6)}  ${String(skipped).padStart(7)}  ${note}`)
}
const total = (field) => results.reduce((sum, result) => sum + result[field], 0)
console.log(`\n${total('passed')} passed, ${total('failed')} failed, ${total('skipped')} skipped`)
process.exit(results.every(({ ok }) => ok) ? 0 : 1)
