// Keeps docs/bgp-rules.md true. Tests name the rules they prove in their titles (`[rule 57]`, `[rules 57, 59-61]`); this
// fills the table's last column from those titles (--write) or says where the two differ. A rule that no test proves must
// say so and why: `none: reason`.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const TABLE = join(root, 'docs/bgp-rules.md')
const ROW = /^\| (\d+) \| (.*?) \| (.*?) \|$/
const RULES = 195

/** Rule number -> test files whose titles name it. */
export function rulesInTests(): ReadonlyMap<number, ReadonlySet<string>> {
  const proofs = new Map<number, Set<string>>()
  for (const name of readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' }).sort()) {
    if (!name.endsWith('.ts') || name.startsWith('docs/')) continue
    const text = readFileSync(join(root, 'test', name), 'utf8')
    for (const [, list = ''] of text.matchAll(/\[rules? ([\d,\s–-]+)\]/g)) {
      for (const part of list.split(',')) {
        const [from = 0, to = from] = part.split(/[–-]/).map(Number)
        for (let rule = from; rule <= to; rule++) proofs.set(rule, (proofs.get(rule) ?? new Set()).add(`test/${name}`))
      }
    }
  }
  return proofs
}

function wantedRow(rule: number, subject: string, had: string, proofs: ReadonlyMap<number, ReadonlySet<string>>): string {
  const files = proofs.get(rule)
  const proof = files !== undefined ? [...files].sort().join(', ') : had.startsWith('none: ') ? had : 'UNPROVEN'
  return `| ${rule} | ${subject} | ${proof} |`
}

/** What is wrong with the table; empty: nothing. `text` is the table as it should be. */
export function checkTable(): { readonly faults: readonly string[]; readonly text: string } {
  const proofs = rulesInTests()
  const faults: string[] = []
  const seen: number[] = []
  const lines = readFileSync(TABLE, 'utf8').split('\n')
  const wanted = lines.map((line) => {
    const match = ROW.exec(line)
    if (match === null) return line
    const rule = Number(match[1])
    seen.push(rule)
    const row = wantedRow(rule, match[2] ?? '', match[3] ?? '', proofs)
    if (row.includes('UNPROVEN')) faults.push(`rule ${rule}: no test names it and no reason is given`)
    else if (/\| none: .{0,14} \|$/.test(row)) faults.push(`rule ${rule}: the reason for having no test is too short`)
    else if (row !== line)
      faults.push(`rule ${rule}: the table says ${JSON.stringify(match[3])}; run scripts/node scripts/bgp-rules.ts --write`)
    return row
  })
  for (let rule = 1; rule <= RULES; rule++) if (seen[rule - 1] !== rule) faults.push(`row ${rule} is missing or out of place`)
  for (const rule of proofs.keys()) if (rule < 1 || rule > RULES) faults.push(`a test names rule ${rule}, which does not exist`)
  return { faults, text: wanted.join('\n') }
}

if (process.argv[1] === import.meta.filename) {
  if (process.argv.includes('--write')) writeFileSync(TABLE, checkTable().text)
  const { faults } = checkTable()
  for (const fault of faults) console.error(fault)
  console.log(`${RULES - faults.length} of ${RULES} rules accounted for`)
  process.exit(faults.length === 0 ? 0 : 1)
}
