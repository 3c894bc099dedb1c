// Agents as they ship: four capabilities and no more, and of /proc/sys only the network's part writable. Pods get their network all
// the same, masquerading included.
import fs from 'node:fs'
import { expect, test } from '@jest/globals'
import { until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { address, CLUSTER_PROGRAMS, Cluster, OUTSIDE } from './cluster.ts'
import { withNamespaces } from './namespaces.ts'
import { SHIM } from './node.ts'
import { dial, Listeners, type Pair, type Pod, pingFailures, podOf, tcpFailures } from './reachability.ts'

const CAPABILITIES = { net_bind_service: 10, net_admin: 12, net_raw: 13, sys_admin: 21 } as const
const BOUNDING_SET = ['-all', ...Object.keys(CAPABILITIES).map((name) => `+${name}`)].join(',')
/** What a container without privileges sees, with the host's /proc/sys/net mounted where it was. */
const PROC_SYS = 'mount --bind /proc/sys /proc/sys; mount --bind /proc/sys/net /proc/sys/net; mount -o remount,bind,ro /proc/sys'
const SETPRIV = ['setpriv', '--no-new-privs', '--inh-caps', '-all', '--bounding-set', BOUNDING_SET]
const AS_IT_SHIPS = ['unshare', '-m', '--propagation', 'slave', 'sh', '-e', '-c', `${PROC_SYS}; exec "$@"`, 'agent', ...SETPRIV]

describeWith([...CLUSTER_PROGRAMS, SHIM, 'setpriv', 'ping'], 'agents with the capabilities they ship with', () => {
  test('four capabilities and a read-only /proc/sys suffice for pods, dual stack, masquerading included', async () => {
    await using cluster = await Cluster.start('caps', { nodes: 2, pool: { natOutgoing: true }, wrap: AS_IT_SHIPS })
    for (const node of cluster.nodes) {
      expect(capabilitiesOf(node.pid)).toBe(Object.values(CAPABILITIES).reduce((mask, bit) => mask + 2 ** bit, 0))
      expect(isReadOnly(node.pid, '/proc/sys')).toBe(true)
      expect(isReadOnly(node.pid, '/proc/sys/net')).toBe(false)
    }
    await withNamespaces(cluster, ['a', 'b'], async (paths) => {
      const pods: Pod[] = []
      for (const [index, netns] of paths.entries()) {
        const name = `pod${index}`
        pods.push(podOf(name, netns, await cluster.node(index + 1).add({ containerId: name, netns })))
      }
      const [a, b] = pods
      if (a === undefined || b === undefined) throw new Error('no pods')
      const beyond: Pod = { name: 'outside', netns: cluster.net.pathOf('outside'), addresses: OUTSIDE }
      await using _listeners = await Listeners.in([a, b, beyond])
      const pairs: readonly Pair[] = [
        [a, b],
        [b, a],
      ]
      for (const family of ['ipv4', 'ipv6'] as const) {
        await until(`the pods reach one another (${family})`, async () => (await tcpFailures(pairs, family)).length === 0)
        // what leaves the pools bears the node's address
        expect(await dial(a.netns, OUTSIDE[family])).toBe(`outside ${address(1, 2)[family]}`)
      }
      expect(await pingFailures(pairs)).toEqual([])
      for (const [index, netns] of paths.entries()) await cluster.node(index + 1).remove({ containerId: `pod${index}`, netns })
      for (const node of cluster.nodes) expect(await node.podTraces()).toEqual([])
    })
  })
})

/** Bits of the capabilities that a process can ever have (proc(5), CapBnd). */
function capabilitiesOf(pid: number): number {
  return Number.parseInt(/^CapBnd:\s*([0-9a-f]+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '', 16)
}

/** Of the topmost mount there (proc(5), mountinfo). */
function isReadOnly(pid: number, mountPoint: string): boolean {
  const lines = fs.readFileSync(`/proc/${pid}/mountinfo`, 'utf8').split('\n')
  const options = lines.map((line) => line.split(' ')).findLast((fields) => fields[4] === mountPoint)?.[5]
  if (options === undefined) throw new Error(`nothing is mounted on ${mountPoint}`)
  return options.split(',').includes('ro')
}
