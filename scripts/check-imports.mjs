// Enforces the direction of imports (DESIGN section 3): a module may import only from modules of a lower rank, the four
// domain modules never import one another, outsiders enter a module through its index.ts, and pure folders do no I/O.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..', 'src')
const RANK = {
  lib: 0,
  net: 1,
  sys: 2,
  netfilter: 3,
  bgp: 4,
  ipam: 4,
  routes: 4,
  policy: 4,
  store: 5,
  cni: 5,
  agent: 6,
  controller: 6,
  lab: 6,
  cli: 7,
}
const FREELY_ENTERED = new Set(['lib', 'net', 'sys']) // folders of independent files
const PURE = [/^bgp\/(wire|fsm|rib)\//, /\/(plan|render|resolve)\.ts$/, /^bgp\/(attributes|family|filter|config)\.ts$/]
const IMPORT = /(?:^|\n)\s*(?:import|export)\b[^'"]*?from\s*'([^']+)'|(?:^|\n)\s*import\s*'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/g

const files = readdirSync(root, { recursive: true }).filter((name) => name.endsWith('.ts'))
const faults = []
for (const file of files) {
  const text = readFileSync(join(root, file), 'utf8')
  const from = file.split('/')[0]
  if (RANK[from] === undefined) faults.push(`${file}: src/${from} is not a module of DESIGN section 3`)
  const isPure = PURE.some((pattern) => pattern.test(file))
  if (isPure && /\bawait\b/.test(text.replace(/\/\/.*|\/\*[\s\S]*?\*\//g, ''))) faults.push(`${file}: pure code never awaits`)
  for (const match of text.matchAll(IMPORT)) {
    const target = match[1] ?? match[2] ?? match[3]
    if (!target.startsWith('.')) {
      if (isPure && target.startsWith('node:')) faults.push(`${file}: pure code must not import ${target}`)
      if (target === 'koffi' && from !== 'sys') faults.push(`${file}: only src/sys may call libc (koffi)`)
      continue
    }
    const path = relative(root, resolve(root, dirname(file), target))
    const to = path.split('/')[0]
    if (to === from) continue
    if (path.startsWith('..')) faults.push(`${file}: imports ${target} from outside src`)
    else if (RANK[to] >= RANK[from]) faults.push(`${file}: ${from} must not import ${to} (${target})`)
    else if (!FREELY_ENTERED.has(to) && path !== `${to}/index.ts`) faults.push(`${file}: enter ${to} through ${to}/index.ts, not ${target}`)
  }
}
if (files.length === 0) faults.push('no source files found')
for (const fault of faults) console.error(fault)
console.log(`${files.length} files, ${faults.length} faults of import direction`)
process.exit(faults.length === 0 ? 0 : 1)
