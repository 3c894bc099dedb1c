// A restore program that stays, against a fake one that does what iptables-restore does with comments, and ways in which it may fail.
import { describe, expect, test } from '@jest/globals'
import { FakeClock } from '../../src/lib/clock.ts'
import { ExecError } from '../../src/lib/exec.ts'
import { ProcessTools } from '../../src/netfilter/index.ts'
import { type Listener, StandingRestore, type Start } from '../../src/netfilter/standing.ts'
import { SysError } from '../../src/sys/libc.ts'
import { settle } from './set-up.ts'

type Behaviour = 'answers' | 'silent' | 'missing' | 'ends'

class Programs {
  readonly clock = new FakeClock()
  readonly started: { readonly command: string; readonly args: readonly string[]; written: string; isBusy: boolean; isKilled: boolean }[] =
    []
  behaviour: Behaviour = 'answers'
  /** Of those that were started, the last. */
  listener: Listener | null = null

  readonly start: Start = (command, args, listener) => {
    const program = { command, args, written: '', isBusy: false, isKilled: false }
    this.started.push(program)
    this.listener = listener
    let lines = 0
    let hasEnded = false
    const end = (exitCode: number | null): void => {
      if (!hasEnded) listener.ended(exitCode)
      hasEnded = true
    }
    if (this.behaviour === 'missing') queueMicrotask(() => end(null))
    return {
      write: (text) => {
        program.written += text
        queueMicrotask(() => {
          for (const line of text.split('\n').slice(0, -1)) {
            lines++
            if (hasEnded || this.behaviour === 'silent' || this.behaviour === 'missing') return
            if (this.behaviour === 'ends') return end(0)
            if (line.includes('BROKEN')) {
              listener.errors(`iptables-restore: line ${lines} `)
              listener.errors('failed\n')
              return end(1)
            }
            if (line.startsWith('#')) {
              listener.output(`Flushing chain \`x'\n${line.slice(0, 5)}`)
              listener.output(`${line.slice(5)}\n`)
            }
          }
        })
      },
      hold: (isBusy) => {
        program.isBusy = isBusy
      },
      kill: () => {
        program.isKilled = true
        queueMicrotask(() => end(null))
      },
    }
  }

  restore(): StandingRestore {
    return new StandingRestore({ command: 'restore', args: ['--noflush'], start: this.start, clock: this.clock, timeoutMs: 1_000 })
  }
}

describe('a restore program that stays', () => {
  test('takes inputs in order, each done before the next, and is idle in between', async () => {
    const programs = new Programs()
    const restore = programs.restore()
    const done: string[] = []
    await Promise.all(['a\n', 'b\n', 'c\n'].map((input) => restore.run(input).then((isDone) => done.push(`${input.trim()} ${isDone}`))))
    expect(done).toEqual(['a true', 'b true', 'c true'])
    expect(programs.started.map(({ written }) => written.replace(/\d{10}/g, 'N'))).toEqual([
      '# fibula N\na\n# fibula N\nb\n# fibula N\nc\n# fibula N\n',
    ])
    expect(programs.started[0]).toMatchObject({ isBusy: false, isKilled: false })
    expect(programs.clock.armed).toBe(0)
  })

  test('is not done before it says so', async () => {
    const programs = new Programs()
    const restore = programs.restore()
    await restore.run('a\n')
    programs.behaviour = 'silent'
    let isDone = false
    const run = restore.run('b\n').then(() => {
      isDone = true
    })
    await settle()
    expect(isDone).toBe(false)
    expect(programs.started[0]?.isBusy).toBe(true)
    programs.listener?.output(programs.started[0]?.written.split('\n').at(-2) ?? '')
    await settle()
    expect(isDone).toBe(false)
    programs.listener?.output('\n')
    await run
  })

  test('that refuses a line says which of this input, and the next input has a program of its own', async () => {
    const programs = new Programs()
    const restore = programs.restore()
    await restore.run('*filter\na\nCOMMIT\n')
    await expect(restore.run('*filter\nBROKEN\nCOMMIT\n')).rejects.toMatchObject({
      code: 'FAILED',
      exitCode: 1,
      stderr: 'iptables-restore: line 2 failed\n',
    })
    expect(await restore.run('b\n')).toBe(true)
    expect(programs.started.length).toBe(2)
    await expect(restore.run('c\nBROKEN\n')).rejects.toMatchObject({ stderr: 'iptables-restore: line 2 failed\n' })
  })

  test('that was killed while it was idle is started again', async () => {
    const programs = new Programs()
    const restore = programs.restore()
    await restore.run('a\n')
    programs.listener?.ended(null)
    expect(await restore.run('b\n')).toBe(true)
    expect(programs.started.map(({ written }) => written.includes('a\n'))).toEqual([true, false])
  })

  test('that ends in the middle of an input has failed: nobody knows what it did', async () => {
    const programs = new Programs()
    const restore = programs.restore()
    await restore.run('a\n')
    programs.behaviour = 'ends'
    await expect(restore.run('b\n')).rejects.toMatchObject({ code: 'FAILED', exitCode: 0 })
  })

  test('that takes too long is ended', async () => {
    const programs = new Programs()
    const restore = programs.restore()
    await restore.run('a\n')
    programs.behaviour = 'silent'
    const run = restore.run('b\n')
    const failed = expect(run).rejects.toMatchObject({ code: 'TIMEOUT' })
    await settle()
    programs.clock.advance(1_000)
    await failed
    expect(programs.started[0]?.isKilled).toBe(true)
    programs.behaviour = 'answers'
    expect(await restore.run('c\n')).toBe(true)
    expect(programs.clock.armed).toBe(0)
  })

  test('that never answers is given nothing to do, and after two of them no more are started', async () => {
    const programs = new Programs()
    programs.behaviour = 'silent'
    const restore = programs.restore()
    for (let times = 0; times < 3; times++) {
      const run = restore.run('a\n')
      await settle()
      programs.clock.advance(5_000)
      expect(await run).toBe(false)
    }
    expect(programs.started.map(({ written, isKilled }) => [written.includes('a\n'), isKilled])).toEqual([
      [false, true],
      [false, true],
    ])
  })

  test('is ended by close', async () => {
    const programs = new Programs()
    const restore = programs.restore()
    await restore.warm()
    restore.close()
    expect(programs.started.map(({ isKilled }) => isKilled)).toEqual([true])
  })
})

describe('tools with programs that stay', () => {
  function setUp(behaviour: Behaviour = 'answers') {
    const programs = new Programs()
    programs.behaviour = behaviour
    const ran: string[] = []
    const tools = new ProcessTools(
      async (command, args) => {
        ran.push([command, ...args].join(' '))
        if (!command.includes('-nft-')) return { stdout: 'iptables v1.8.9 (nf_tables)', stderr: '' }
        if (behaviour === 'missing') throw new ExecError('NOT_FOUND', `${command}: spawn ENOENT`, null, '')
        return { stdout: '', stderr: '' }
      },
      {
        start: programs.start,
        openSocket: () => {
          throw new SysError('socket', 93)
        },
      },
    )
    return { programs, tools, ran }
  }

  test('small inputs of the nft variant go to them, one for each family; large ones and legacy ones do not', async () => {
    const { programs, tools, ran } = setUp()
    await tools.restoreRules('nft', 4, '*filter\nCOMMIT\n')
    await tools.restoreRules('nft', 6, '*filter\nCOMMIT\n')
    await tools.restoreRules('nft', 4, '*raw\nCOMMIT\n')
    expect(ran).toEqual([])
    expect(programs.started.map(({ command, args }) => [command, ...args].join(' '))).toEqual([
      'iptables-nft-restore --noflush --wait 10 --verbose',
      'ip6tables-nft-restore --noflush --wait 10 --verbose',
    ])
    await tools.restoreRules('legacy', 4, '*filter\nCOMMIT\n')
    await tools.restoreRules('nft', 4, `*filter\n${'-A x -j DROP\n'.repeat(50_000)}COMMIT\n`)
    expect(ran).toEqual(['iptables-legacy-restore --noflush --wait 10', 'iptables-nft-restore --noflush --wait 10'])
    tools.close()
    expect(programs.started.map(({ isKilled }) => isKilled)).toEqual([true, true])
  })

  test('one waits already when the first large input is done', async () => {
    const { programs, tools } = setUp()
    await tools.restoreRules('nft', 4, `*filter\n${'-A x -j DROP\n'.repeat(50_000)}COMMIT\n`)
    await settle()
    expect(programs.started.length).toBe(1)
    await tools.restoreRules('nft', 4, '*filter\nCOMMIT\n')
    expect(programs.started.length).toBe(1)
  })

  test('a program without the variant in its name is found as before', async () => {
    const { programs, tools, ran } = setUp('missing')
    await tools.restoreRules('nft', 4, '*filter\nCOMMIT\n')
    expect(ran.at(-1)).toBe('iptables-restore --noflush --wait 10')
    expect(programs.started.map(({ command }) => command)).toEqual(['iptables-nft-restore', 'iptables-restore'])
  })

  test("without a netlink socket sets are the program's, and there is no generation", async () => {
    const { tools, ran } = setUp()
    await tools.restoreSets('add fib4-a 10.0.0.1\n')
    expect(ran).toEqual(['ipset restore -exist'])
    expect(tools.generation()).toBeNull()
  })

  test('what one refuses is a refusal with its line', async () => {
    const { tools } = setUp()
    await tools.restoreRules('nft', 4, '*filter\nCOMMIT\n')
    await expect(tools.restoreRules('nft', 4, '*filter\n-A x\n-A BROKEN\nCOMMIT\n')).rejects.toMatchObject({ code: 'REFUSED', line: 3 })
  })
})
