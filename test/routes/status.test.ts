import { expect, test } from '@jest/globals'
import type { AgentStatus, KernelRouteStatus, Problem } from '../../src/agent/control-api.ts'
import { FakeClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { cidr } from '../../src/net/index.ts'
import { NO_LOCAL_ROUTES, RouteSyncer } from '../../src/routes/index.ts'
import { FakeKernel } from '../support/fake-kernel.ts'
import { fibBatch, via } from '../support/fib-batch.ts'

test('what the syncer shows is what the control socket serves, in order of prefix', () => {
  const syncer = new RouteSyncer({ backend: FakeKernel.host(), log: silentLog, clock: new FakeClock() })
  syncer.setLocal({ ...NO_LOCAL_ROUTES, blackholes: [cidr('10.244.0.0/26')] })
  syncer.applyBatch(
    fibBatch({ '203.0.113.0/24': 1, '10.9.0.0/16': 2 }, { 1: [via('10.0.0.2', 2), via('192.0.2.9', 3, true)], 2: [via('fd00::2', 2)] }),
  )
  syncer.applyBatch(fibBatch({ '2001:db8::/32': 3 }, { 3: [via('10.0.0.2', 2)] }))
  const status: readonly KernelRouteStatus[] = syncer.status()
  const problems: readonly Problem[] = syncer.problems()
  const counts: AgentStatus['routes'] = syncer.counts()
  expect(status).toEqual([
    {
      prefix: '10.9.0.0/16',
      state: 'inSync',
      kind: 'unicast',
      nextHops: [{ gateway: 'fd00::2', interface: 'eth0', onlink: false }],
      detail: null,
    },
    { prefix: '10.244.0.0/26', state: 'inSync', kind: 'blackhole', nextHops: [], detail: null },
    {
      prefix: '203.0.113.0/24',
      state: 'inSync',
      kind: 'unicast',
      nextHops: [
        { gateway: '10.0.0.2', interface: 'eth0', onlink: false },
        { gateway: '192.0.2.9', interface: 'eth1', onlink: true },
      ],
      detail: null,
    },
    { prefix: '2001:db8::/32', state: 'failed', kind: 'unicast', nextHops: [], detail: 'an IPv6 route cannot have an IPv4 gateway' },
  ])
  expect(problems).toEqual([
    {
      severity: 'error',
      subject: 'route/2001:db8::/32',
      message: 'not in the kernel: an IPv6 route cannot have an IPv4 gateway',
    },
  ])
  expect(counts).toEqual({ desired: 4, inKernel: 3, failed: 1, shadowed: 0, stale: 0, installRoutes: true })
  expect(syncer.status('10.9.0.0/16')).toHaveLength(1)
  expect(syncer.status('10.9.0.0/17')).toEqual([])
})
