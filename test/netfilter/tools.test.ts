import { describe, expect, test } from '@jest/globals'
import { ExecError, type ExecOptions } from '../../src/lib/exec.ts'
import { ProcessTools } from '../../src/netfilter/index.ts'

type Call = { readonly command: string; readonly args: readonly string[]; readonly input: string | undefined }

/** Programs by name: what each prints, or how it fails; others are not installed. */
function setUp(programs: Readonly<Record<string, string | { readonly exitCode: number; readonly stderr: string }>>) {
  const calls: Call[] = []
  const run = async (command: string, args: readonly string[], { input }: ExecOptions) => {
    calls.push({ command, args, input })
    const program = programs[command]
    if (program === undefined) throw new ExecError('NOT_FOUND', `${command}: spawn ENOENT`, null, '')
    if (typeof program !== 'string') throw new ExecError('FAILED', `${command}: exit`, program.exitCode, program.stderr)
    return { stdout: program, stderr: '' }
  }
  return { calls, tools: new ProcessTools(run) }
}

describe('the programs', () => {
  test('are those of the variant; a restore flushes nothing it does not name and waits for the lock', async () => {
    const { calls, tools } = setUp({ 'ip6tables-legacy-restore': '', ipset: '', 'iptables-nft-save': 'text' })
    await tools.restoreRules('legacy', 6, '*filter\nCOMMIT\n')
    await tools.restoreSets('create x hash:ip\n')
    expect(await tools.saveRules('nft', 4)).toBe('text')
    expect(calls).toEqual([
      { command: 'ip6tables-legacy-restore', args: ['--noflush', '--wait', '10'], input: '*filter\nCOMMIT\n' },
      { command: 'ipset', args: ['restore', '-exist'], input: 'create x hash:ip\n' },
      { command: 'iptables-nft-save', args: [], input: undefined },
    ])
  })

  test.each([
    ['iptables v1.6.1', 'legacy', 'nft'],
    ['iptables v1.8.9 (nf_tables)', 'nft', 'legacy'],
    ['iptables v1.8.9 (legacy)', 'legacy', 'nft'],
  ] as const)('without a variant in their names (%s) serve %s and not %s', async (version, served, missing) => {
    const { tools } = setUp({ iptables: version, 'iptables-save': 'text' })
    expect(await tools.saveRules(served, 4)).toBe('text')
    await expect(tools.saveRules(missing, 4)).rejects.toMatchObject({ code: 'MISSING' })
  })

  test.each([
    ['iptables', () => setUp({}).tools.saveRules('nft', 4)],
    ['ipset', () => setUp({}).tools.saveSets()],
  ])('that are missing name the package %s', async (name, call) => {
    await expect(call()).rejects.toMatchObject({ code: 'MISSING', message: expect.stringContaining(`install the package ${name}`) })
  })

  test('that fail say which line and why', async () => {
    const { tools } = setUp({ ipset: { exitCode: 1, stderr: 'ipset v7.17: Error in line 3: Hash is full, cannot add more elements' } })
    await expect(tools.restoreSets('')).rejects.toMatchObject({
      code: 'REFUSED',
      line: 3,
      message: 'ipset: ipset v7.17: Error in line 3: Hash is full, cannot add more elements',
    })
  })
})
