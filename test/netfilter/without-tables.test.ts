// A kernel that has nf_tables, but no IPv4 and IPv6 tables in it: `iptables-nft-save` finds nothing and says so calmly; only a write
// shows why. What the tools say is what they said in such a kernel (iptables 1.8.9).
import { expect, test } from '@jest/globals'
import { FakeClock } from '../../src/lib/clock.ts'
import { type Log, silentLog } from '../../src/lib/log.ts'
import { explainFailure, failedLine, ToolError } from '../../src/netfilter/failure.ts'
import { Netfilter } from '../../src/netfilter/index.ts'
import { KernelModel } from './kernel-model.ts'
import { DROP, mark, rulesetOf, settle } from './set-up.ts'

const SAID = `iptables-nft-restore v1.8.9 (nf_tables):
line 2: TABLE_ADD failed (Operation not supported): table filter
line 2: CHAIN_USER_ADD failed (No such file or directory): chain fib-a
`
const RULES = rulesetOf([{ chain: 'fib-a', rules: [DROP], hook: 'first' }])

class WithoutNftTables extends KernelModel {
  hasLegacy = true

  override saveRules(...[variant, family]: Parameters<KernelModel['saveRules']>): Promise<string> {
    if (variant === 'legacy' && !this.hasLegacy)
      return Promise.reject(new ToolError('MISSING', 'iptables-legacy-save is not installed', null))
    return super.saveRules(variant, family)
  }

  override restoreRules(...[variant, family, input]: Parameters<KernelModel['restoreRules']>): Promise<void> {
    if (variant === 'legacy') return super.restoreRules(variant, family, input)
    this.inputs.push(input)
    const { code, message } = explainFailure(`${family === 4 ? 'iptables' : 'ip6tables'}-nft-restore`, 4, SAID)
    return Promise.reject(new ToolError(code, message, failedLine(SAID)))
  }
}

function world(over: Partial<Pick<WithoutNftTables, 'hasLegacy'>> = {}) {
  const model = Object.assign(new WithoutNftTables(), over)
  const [clock, warnings] = [new FakeClock(), new Map<string, string>()]
  const log: Log = { ...silentLog, warn: (event, fields) => void warnings.set(event, String(fields?.['err'])) }
  const netfilter = new Netfilter({ clients: ['guards'], log, clock, tools: model, random: () => 0 })
  return { model, clock, netfilter, warnings }
}

test('the legacy variant is used at once, and the log says why', async () => {
  const { model, netfilter, warnings } = world()
  expect(await netfilter.client('guards').apply(RULES)).toEqual({ ok: true, changed: true })
  expect(netfilter.status().variant).toBe('legacy')
  expect(model.chain('legacy', 4, 'filter', 'FORWARD')).toEqual([mark('fib-a')])
  expect(warnings.get('netfilter.variant.unusable')).toMatch(/TABLE_ADD failed \(Operation not supported\).*CONFIG_NF_TABLES_IPV4/)
})

test('it stays so: nft is not tried again', async () => {
  const { model, clock, netfilter } = world()
  await netfilter.client('guards').apply(RULES)
  const tried = model.inputs.length
  clock.advance(60_000)
  await settle()
  await netfilter.resync()
  expect(netfilter.status()).toMatchObject({ variant: 'legacy', drifts: 0 })
  expect(model.inputs).toHaveLength(tried)
})

test('without legacy tools the problem names the remedy, and no client is blamed for a rule', async () => {
  const { netfilter, warnings } = world({ hasLegacy: false })
  expect(await netfilter.client('guards').apply(RULES)).toMatchObject({
    ok: false,
    problems: [{ message: expect.stringMatching(/CONFIG_NF_TABLES_IPV4.*install iptables-legacy/) }],
  })
  expect([...warnings.keys()]).toEqual([])
})
