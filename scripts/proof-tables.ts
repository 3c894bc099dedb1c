// Keeps three tables true: docs/bgp-rules.md, docs/cni-conformance.md and docs/policy-semantics.md. Tests name what they prove in their
// titles (`[rule 57]`, `[cni 57, 59-61]`, `[policy 39]`); this fills the last column of the tables from those titles (--write) or says where the two differ. What no test
// proves must say so and why: `none: reason`.
//
//   scripts/node scripts/proof-tables.ts          exits 1 if a table is not what the tests say
//   scripts/node scripts/proof-tables.ts --write  writes all
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const ROW = /^\| (\d+) \| (.*?) \| (.*?) \|$/

export type ProofTable = {
  readonly path: string
  /** What a row is about, in words. */
  readonly what: string
  readonly rows: number
  /** In titles of tests, with the numbers as its first group. */
  readonly mark: RegExp
}

export const BGP_RULES: ProofTable = { path: 'docs/bgp-rules.md', what: 'rule', rows: 195, mark: /\[rules? ([\d,\s–-]+)\]/g }
export const CNI_STATEMENTS: ProofTable = { path: 'docs/cni-conformance.md', what: 'statement', rows: 60, mark: /\[cni ([\d,\s–-]+)\]/g }
export const POLICY_STATEMENTS: ProofTable = {
  path: 'docs/policy-semantics.md',
  what: 'statement',
  rows: 117,
  mark: /\[policy ([\d,\s–-]+)\]/g,
}

/** Number of the row -> test files whose titles name it. */
export function proofsInTests({ mark }: ProofTable): ReadonlyMap<number, ReadonlySet<string>> {
  const proofs = new Map<number, Set<string>>()
  for (const name of readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' }).sort()) {
    if (!name.endsWith('.ts') || name.startsWith('docs/')) continue
    const text = readFileSync(join(root, 'test', name), 'utf8')
    for (const [, list = ''] of text.matchAll(mark)) {
      for (const part of list.split(',')) {
        const [from = 0, to = from] = part.split(/[–-]/).map(Number)
        for (let each = from; each <= to; each++) proofs.set(each, (proofs.get(each) ?? new Set()).add(`test/${name}`))
      }
    }
  }
  return proofs
}

function wantedRow(row: number, subject: string, had: string, proofs: ReadonlyMap<number, ReadonlySet<string>>): string {
  const files = proofs.get(row)
  const proof = files !== undefined ? [...files].sort().join(', ') : had.startsWith('none: ') ? had : 'UNPROVEN'
  return `| ${row} | ${subject} | ${proof} |`
}

/** What is wrong with a table; empty: nothing. `text` is the table as it should be. */
export function checkTable(table: ProofTable): { readonly faults: readonly string[]; readonly text: string } {
  const { path, what, rows } = table
  const proofs = proofsInTests(table)
  const faults: string[] = []
  const seen: number[] = []
  const wanted = readFileSync(join(root, path), 'utf8')
    .split('\n')
    .map((line) => {
      const match = ROW.exec(line)
      if (match === null) return line
      const number = Number(match[1])
      seen.push(number)
      const row = wantedRow(number, match[2] ?? '', match[3] ?? '', proofs)
      if (row.includes('UNPROVEN')) faults.push(`${what} ${number}: no test names it and no reason is given`)
      else if (/\| none: .{0,14} \|$/.test(row)) faults.push(`${what} ${number}: the reason for having no test is too short`)
      else if (row !== line)
        faults.push(`${what} ${number}: the table says ${JSON.stringify(match[3])}; run scripts/node scripts/proof-tables.ts --write`)
      return row
    })
  for (let row = 1; row <= rows; row++) if (seen[row - 1] !== row) faults.push(`row ${row} is missing or out of place`)
  for (const row of proofs.keys()) if (row < 1 || row > rows) faults.push(`a test names ${what} ${row}, which does not exist`)
  return { faults, text: wanted.join('\n') }
}

if (process.argv[1] === import.meta.filename) {
  for (const table of [BGP_RULES, CNI_STATEMENTS, POLICY_STATEMENTS]) {
    if (process.argv.includes('--write')) writeFileSync(join(root, table.path), checkTable(table).text)
    const { faults } = checkTable(table)
    for (const fault of faults) console.error(`${table.path}: ${fault}`)
    console.log(`${table.path}: ${table.rows - faults.length} of ${table.rows} accounted for`)
    if (faults.length > 0) process.exitCode = 1
  }
}
