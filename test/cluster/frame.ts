// The frame of a program of test/cluster: whatever happens in it, there is a table, a report for scripts/test.mjs and an exit status.
import { inspect, parseArgs } from 'node:util'
import type { Report } from './report.ts'

/** --outputFile, as jest has it; --json belongs to it and says nothing. */
export function reportFile(): string | undefined {
  const { values } = parseArgs({ options: { outputFile: { type: 'string' }, json: { type: 'boolean' } }, strict: false })
  return typeof values.outputFile === 'string' ? values.outputFile : undefined
}

export async function finish(report: Report, file: string | undefined, run: () => Promise<void>): Promise<void> {
  try {
    await run()
  } catch (cause) {
    report.add({ name: 'the run itself', status: 'failed', seconds: 0, note: inspect(cause) })
  }
  console.log(`\n${report.table()}`)
  if (file !== undefined) report.write(file)
  process.exit(report.ok ? 0 : 1)
}
