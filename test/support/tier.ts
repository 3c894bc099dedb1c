// When a test of the netns tier cannot run on this machine: it is skipped by name and loudly, and fails where CI is true.
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, test } from '@jest/globals'

/** `describe` if root and every program is there; else a skipped block that names what is missing (a failure when `CI=true`). */
export function describeWith(programs: readonly string[], name: string, body: () => void): void {
  const missing = [...(process.getuid?.() === 0 ? [] : ['root']), ...programs.filter((program) => !isThere(program))]
  if (missing.length === 0) {
    describe(name, body)
    return
  }
  const reason = `${name}: needs ${missing.join(', ')}`
  const { CI } = process.env
  if (CI === 'true') {
    test(reason, () => {
      throw new Error(`${reason}, and CI=true allows no skipping`)
    })
    return
  }
  console.warn(`SKIPPED ${reason}`)
  describe.skip(reason, body)
}

function isThere(program: string): boolean {
  if (program.includes('/')) return existsSync(program)
  const { PATH = '' } = process.env
  const folders = [...PATH.split(delimiter), '/usr/sbin', '/sbin']
  return folders.some((folder) => folder !== '' && existsSync(join(folder, program)))
}
