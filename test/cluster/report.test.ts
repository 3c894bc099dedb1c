import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, jest, test } from '@jest/globals'
import { CheckFailed, Report } from './report.ts'

/** A report that says nothing while it is made. */
async function quietly(make: (report: Report) => Promise<void>): Promise<Report> {
  const said = jest.spyOn(console, 'error').mockImplementation(() => {})
  try {
    const report = new Report()
    await make(report)
    return report
  } finally {
    said.mockRestore()
  }
}

describe('report of a run on the cluster', () => {
  test('a check that throws is a failure, and the others go on', async () => {
    const report = await quietly(async (each) => {
      await each.check('first', () => Promise.reject(new CheckFailed('7 lost')))
      await each.check('second', () => Promise.resolve('0 lost'))
    })
    expect(report.ok).toBe(false)
    expect(report.table()).toMatch(/^first +failed +\d+ +7 lost$/m)
    expect(report.table()).toMatch(/^second +passed +\d+ +0 lost$/m)
    expect(report.table()).toMatch(/^1 passed, 1 failed, 0 not run/m)
  })

  test('what was not run is in the table and no failure', async () => {
    const report = await quietly(async (each) => {
      each.notRun('policy', 'only with --policy')
      await each.check('other', () => Promise.resolve(''))
    })
    expect(report.ok).toBe(true)
    expect(report.table()).toMatch(/^policy +not run +0 +only with --policy$/m)
  })

  test('a run that checked nothing did not pass', async () => {
    expect((await quietly(() => Promise.resolve())).ok).toBe(false)
  })

  test('the file has what scripts/test.mjs reads: a check not run is pending there', async () => {
    const report = await quietly(async (each) => {
      await each.check('good', () => Promise.resolve(''))
      await each.check('bad', () => Promise.reject(new Error('no')))
      each.notRun('policy', 'why')
    })
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fibula-report-'))
    try {
      report.write(path.join(folder, 'report.json'))
      expect(JSON.parse(fs.readFileSync(path.join(folder, 'report.json'), 'utf8'))).toEqual({
        numPassedTests: 1,
        numFailedTests: 1,
        numPendingTests: 1,
        numTodoTests: 0,
        numRuntimeErrorTestSuites: 0,
        testResults: [
          {
            assertionResults: [
              { fullName: 'good', status: 'passed' },
              { fullName: 'bad', status: 'failed' },
              { fullName: 'policy', status: 'pending' },
            ],
          },
        ],
      })
    } finally {
      fs.rmSync(folder, { recursive: true })
    }
  })
})
