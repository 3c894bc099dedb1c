// What a run of test/cluster found: one entry a check, told as it goes, a table at the end, and (--outputFile) the same in the form
// that jest writes, which is what scripts/test.mjs reads.
import fs from 'node:fs'

export type Status = 'passed' | 'failed' | 'not run'

type Entry = { readonly name: string; readonly status: Status; readonly seconds: number; readonly note: string }

/** A check that failed, in words; anything else that is thrown counts as one too. */
export class CheckFailed extends Error {
  override readonly name = 'CheckFailed'
}

export class Report {
  readonly #began = performance.now()
  readonly #entries: Entry[] = []

  /** One line, with the time since the start. */
  readonly progress = (what: string): void => {
    console.error(`${((performance.now() - this.#began) / 1000).toFixed(0).padStart(5)} s  ${what}`)
  }

  /** Runs a check; what it returns are its figures. Never rejects: true if it passed. */
  async check(name: string, run: () => Promise<string>): Promise<boolean> {
    this.progress(name)
    const began = performance.now()
    const seconds = (): number => Math.round((performance.now() - began) / 1000)
    try {
      this.add({ name, status: 'passed', note: await run(), seconds: seconds() })
      return true
    } catch (cause) {
      const why = cause instanceof CheckFailed ? cause.message : cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
      this.add({ name, status: 'failed', note: why, seconds: seconds() })
      return false
    }
  }

  add(entry: Entry): void {
    this.#entries.push(entry)
    const first = entry.status === 'failed' ? entry.note : (entry.note.split('\n')[0] ?? '')
    this.progress(`  ${entry.status}: ${entry.name}${first === '' ? '' : `: ${first}`}`)
  }

  /** Loud: it is in the table, with its reason. */
  notRun(name: string, why: string): void {
    this.add({ name, status: 'not run', note: why, seconds: 0 })
  }

  get ok(): boolean {
    return this.#entries.length > 0 && this.#entries.every(({ status }) => status !== 'failed')
  }

  table(): string {
    const width = Math.max(...this.#entries.map(({ name }) => name.length), 5)
    const line = (name: string, status: string, seconds: string, note: string): string =>
      `${name.padEnd(width)}  ${status.padEnd(7)}  ${seconds.padStart(7)}  ${note}`.trimEnd()
    const count = (wanted: Status): number => this.#entries.filter(({ status }) => status === wanted).length
    return [
      line('check', 'result', 'seconds', 'figures'),
      ...this.#entries.map(({ name, status, seconds, note }) =>
        line(name, status, String(seconds), (note.split('\n')[0] ?? '').slice(0, 160)),
      ),
      '',
      `${count('passed')} passed, ${count('failed')} failed, ${count('not run')} not run, ${Math.round((performance.now() - this.#began) / 1000)} s`,
    ].join('\n')
  }

  /** The fields of jest's own report that scripts/test.mjs reads. */
  write(file: string): void {
    const count = (wanted: Status): number => this.#entries.filter(({ status }) => status === wanted).length
    const states = { passed: 'passed', failed: 'failed', 'not run': 'pending' } as const
    const assertionResults = this.#entries.map(({ name, status }) => ({ fullName: name, status: states[status] }))
    const report = {
      numPassedTests: count('passed'),
      numFailedTests: count('failed'),
      numPendingTests: count('not run'),
      numTodoTests: 0,
      numRuntimeErrorTestSuites: 0,
      testResults: [{ assertionResults }],
    }
    fs.writeFileSync(file, JSON.stringify(report))
  }
}
