// Keeps docs/cni-conformance.md true. Tests name the statements they prove in their titles (`[cni 57]`, `[cni 57, 59-61]`); this
// fills the table's last column from those titles (--write) or says where the two differ. A statement that no test proves must
// say so and why: `none: reason`.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const TABLE = join(root, 'docs/cni-conformance.md')
const ROW = /^\| (\d+) \| (.*?) \| (.*?) \|$/
const STATEMENTS = 60

/** Statement -> test files whose titles name it. */
export function statementsInTests(): ReadonlyMap<number, ReadonlySet<string>> {
  const proofs = new Map<number, Set<string>>()
  for (const name of readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' }).sort()) {
    if (!name.endsWith('.test.ts')) continue
    const text = readFileSync(join(root, 'test', name), 'utf8')
    for (const [, list = ''] of text.matchAll(/\[cni ([\d,\s–-]+)\]/g)) {
      for (const part of list.split(',')) {
        const [from = 0, to = from] = part.split(/[–-]/).map(Number)
        for (let each = from; each <= to; each++) proofs.set(each, (proofs.get(each) ?? new Set()).add(`test/${name}`))
      }
    }
  }
  return proofs
}

function wantedRow(statement: number, subject: string, had: string, proofs: ReadonlyMap<number, ReadonlySet<string>>): string {
  const files = proofs.get(statement)
  const proof = files !== undefined ? [...files].sort().join(', ') : had.startsWith('none: ') ? had : 'UNPROVEN'
  return `| ${statement} | ${subject} | ${proof} |`
}

/** What is wrong with the table; empty: nothing. `text` is the table as it should be. */
export function checkTable(): { readonly faults: readonly string[]; readonly text: string } {
  const proofs = statementsInTests()
  const faults: string[] = []
  const seen: number[] = []
  const lines = readFileSync(TABLE, 'utf8').split('\n')
  const wanted = lines.map((line) => {
    const match = ROW.exec(line)
    if (match === null) return line
    const statement = Number(match[1])
    seen.push(statement)
    const row = wantedRow(statement, match[2] ?? '', match[3] ?? '', proofs)
    if (row.includes('UNPROVEN')) faults.push(`statement ${statement}: no test names it and no reason is given`)
    else if (/\| none: .{0,14} \|$/.test(row)) faults.push(`statement ${statement}: the reason for having no test is too short`)
    else if (row !== line)
      faults.push(`statement ${statement}: the table says ${JSON.stringify(match[3])}; run scripts/node scripts/cni-conformance.ts --write`)
    return row
  })
  for (let each = 1; each <= STATEMENTS; each++) if (seen[each - 1] !== each) faults.push(`row ${each} is missing or out of place`)
  for (const each of proofs.keys()) if (each < 1 || each > STATEMENTS) faults.push(`a test names statement ${each}, which does not exist`)
  return { faults, text: wanted.join('\n') }
}

if (process.argv[1] === import.meta.filename) {
  if (process.argv.includes('--write')) writeFileSync(TABLE, checkTable().text)
  const { faults } = checkTable()
  for (const fault of faults) console.error(fault)
  console.log(`${STATEMENTS - faults.length} of ${STATEMENTS} statements accounted for`)
  process.exit(faults.length === 0 ? 0 : 1)
}
