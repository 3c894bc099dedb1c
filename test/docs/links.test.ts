// Every relative link of a document leads somewhere: to a file that is there, and to a heading of it.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { expect, test } from '@jest/globals'

const ROOT = resolve(import.meta.dirname, '..', '..')
const FOLDERS = ['docs', 'src', 'test', 'bench', 'charts']

const documents = [
  ...readdirSync(ROOT),
  ...FOLDERS.flatMap((folder) => readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name))),
].filter((name) => name.endsWith('.md'))

function proseOf(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8').replaceAll(/^```.*?^```/gms, '')
}

/** The names that GitHub gives to headings. */
function anchorsOf(file: string): ReadonlySet<string> {
  const headings = [...proseOf(file).matchAll(/^#+ +(.+)$/gm)].map(([, heading = '']) => heading)
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replaceAll(/\s/g, '-'),
    ),
  )
}

function faultsOf(file: string): readonly string[] {
  return [...proseOf(file).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = '']) => {
    if (/^[a-z]+:/.test(target)) return []
    const [path = '', anchor] = target.split('#')
    const to = path === '' ? file : join(dirname(file), path)
    if (statSync(join(ROOT, to), { throwIfNoEntry: false }) === undefined) return [`${target}: no such file`]
    return anchor === undefined || anchorsOf(to).has(anchor) ? [] : [`${target}: no such heading`]
  })
}

test('there are documents, with links among them', () => {
  expect(documents.length).toBeGreaterThan(20)
  expect(documents.map(proseOf).join('\n')).toMatch(/\]\([\w./-]+\.md\)/)
})

test.each(documents)('%s', (file) => {
  expect(faultsOf(file)).toEqual([])
})
