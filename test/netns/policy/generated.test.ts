// Clusters from random seeds, on real kernels: every pair of pods, nodes and a host beside them, by TCP, UDP and SCTP to several ports, in
// both families, by real packets, is treated as the reference evaluator says; with either kind of iptables.
import { expect, test } from '@jest/globals'
import { Random } from '../../policy/random.ts'
import { describeWith } from '../../support/tier.ts'
import { PolicyCluster, PROGRAMS, type Variant } from './cluster.ts'
import type { ProbeProtocol } from './prober.ts'
import { randomState, SCTP_PORTS, TCP_PORTS, UDP_PORTS } from './random-state.ts'

const PODS = { 'x/a': 'n1', 'x/b': 'n2', 'y/a': 'n1', 'y/b': 'n1', 'z/a': 'n2', 'z/b': 'n1' }
const PORTS: readonly (readonly [ProbeProtocol, number])[] = [
  ...TCP_PORTS.map((port) => ['TCP', port] as const),
  ...UDP_PORTS.map((port) => ['UDP', port] as const),
  ...SCTP_PORTS.map((port) => ['SCTP', port] as const),
]
/** Clusters of each kind; more by hand: FIB_POLICY_SEEDS=200. */
const COUNT = Number(process.env['FIB_POLICY_SEEDS'] ?? 10)
const FIRST = Number(process.env['FIB_POLICY_FIRST'] ?? 1)

const CASES: readonly { readonly variant: Variant; readonly nodes: readonly string[]; readonly seed: number }[] = [
  { variant: 'nft', nodes: ['n1', 'n2'], seed: FIRST },
  { variant: 'legacy', nodes: ['n1', 'n2'], seed: FIRST + COUNT },
  { variant: 'nft', nodes: ['n1'], seed: FIRST + 2 * COUNT },
]

describeWith(PROGRAMS, 'generated clusters', () => {
  test.each(CASES)(
    'of $nodes with $variant equal the evaluator',
    async ({ variant, nodes, seed: first }) => {
      const pods = nodes.length === 1 ? Object.fromEntries(Object.keys(PODS).map((key) => [key, 'n1'])) : PODS
      await using cluster = await PolicyCluster.start('gen', { nodes, pods, ports: { tcp: TCP_PORTS, udp: UDP_PORTS }, variant })
      const universe = { pods: Object.keys(PODS), addresses: [...cluster.addresses.values()], nodes }
      const probes = cluster.allProbes(PORTS)
      await cluster.meet(probes)
      let [passing, denied] = [0, 0]
      for (let seed = first; seed < first + COUNT; seed++) {
        const state = randomState(new Random(seed), universe)
        await cluster.apply(state)
        const expected = cluster.expected(state, probes)
        passing += expected.filter(Boolean).length
        denied += expected.filter((each) => !each).length
        const differences = await cluster.differences(probes, expected)
        if (differences.length > 0)
          throw new Error([`seed ${seed}`, ...differences.slice(0, 20), JSON.stringify(state, null, 1), cluster.explain()].join('\n'))
      }
      // Neither everything nor nothing: each cluster has a say on hundreds of packets.
      expect(Math.min(passing, denied)).toBeGreaterThan(COUNT * probes.length * 0.1)
    },
    900_000,
  )
})
