// The Dockerfile and scripts/image make the same image: the second reads the first. Needs no container engine.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

const ROOT = join(import.meta.dirname, '../..')
const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8')
const script = readFileSync(join(ROOT, 'scripts/image'), 'utf8')

test('the script finds suite and packages where it looks for them', () => {
  for (const name of ['suite', 'packages']) {
    const expression = new RegExp(`^${name}=\\$\\(sed -n '(.*)' Dockerfile\\)$`, 'm').exec(script)?.[1] ?? ''
    const found = execFileSync('sed', ['-n', expression, join(ROOT, 'Dockerfile')], { encoding: 'utf8' }).trim()
    expect([name, found.split('\n').length, found === '']).toEqual([name, 1, false])
  }
})

test('everything the Dockerfile copies is there, and passes .dockerignore', () => {
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, names = '']) => names.split(' '))
  expect(copied.length).toBeGreaterThan(5)
  const admitted = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n')
  expect(admitted[0]).toBe('*')
  for (const name of copied) {
    expect([name, existsSync(join(ROOT, name))]).toEqual([name, true])
    expect(admitted).toContain(`!${name}`)
  }
})

test('both take their files from scripts/image-files.mjs, put them in one place and start one program', () => {
  for (const text of [dockerfile, script]) {
    expect(text).toMatch(/image-files\.mjs \S*\/opt\/fibula/)
    expect(text).toContain('ln -s /opt/fibula/bin/fibula')
    expect(text.replaceAll(' ', '')).toMatch(/entrypoint"?:?\["\/usr\/bin\/fibula"\]/i)
  }
})

test('a layer is made anew when anything that goes into it changes', () => {
  const inputs = [
    ...readFileSync(join(ROOT, 'scripts/image-files.mjs'), 'utf8').matchAll(
      /'((?:scripts|bin)\/[\w.-]+|tsconfig[\w.]+|package[\w-]*\.json|crds)'/g,
    ),
  ]
  const missing = inputs.map(([, name = '']) => name).filter((name) => name !== 'scripts/node' && !covers(name))
  expect(inputs.length).toBeGreaterThan(5)
  expect(missing).toEqual([])
})

/** True if the key of the program's layer is made of this file, or of the folder it is in. */
function covers(name: string): boolean {
  const words = /find (.*)\\\n\s+-type f/.exec(script)?.[1]?.split(/\s+/) ?? []
  return words.some((word) => word === name || name.startsWith(`${word}/`))
}
