// Our plugin as runtimes on libcni call it (cnitool), alone and first in a chain with Debian's portmap and bandwidth.
import { expect, test } from '@jest/globals'
import { exec } from '../../../src/lib/exec.ts'
import { HopelessError, until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { CNITOOL, DEBIAN_PLUGINS } from '../../support/tools/index.ts'
import { address, CLUSTER_PROGRAMS, Cluster, OUTSIDE } from './cluster.ts'
import { CniTool } from './cnitool.ts'
import { withNamespaces } from './namespaces.ts'
import { SHIM } from './node.ts'
import { dial, Listeners, type Pod, podOf, TCP_PORT } from './reachability.ts'
import { throughput } from './throughput.ts'

const NODE = address(1, 2)
const DEBIAN_VERSION = '1.0.0' // the newest that Debian's plugins speak
const HOST_PORT = 18_080
const RATE = 8_000_000
const BURST = 800_000
const PROGRAMS = [...CLUSTER_PROGRAMS, SHIM, CNITOOL, `${DEBIAN_PLUGINS}/portmap`, `${DEBIAN_PLUGINS}/bandwidth`]

describeWith(PROGRAMS, 'cnitool and chained plugins', () => {
  test('cnitool: status, add, check, del and gc with our plugin alone', async () => {
    await using cluster = await Cluster.start('cnitool', { nodes: 1 })
    const node = cluster.node(1)
    const tool = new CniTool(cluster, node)
    const network = 'alone'
    tool.write(node.chain(network, '1.1.0')) // status and gc came with that version
    await withNamespaces(cluster, ['a', 'b'], async ([a, b]) => {
      await tool.run('status', network, a)
      const pod = podOf('a', a, await tool.add(network, a))
      await tool.run('check', network, a)
      for (const target of [pod.addresses.ipv4, pod.addresses.ipv6])
        await until(`${target} is known beyond the router`, () => cluster.net.exec('outside', 'ping', ['-n', '-c1', '-W1', target]))
      // twice the same: refused, and the first is not hurt
      await expect(tool.run('add', network, a)).rejects.toThrow()
      await tool.run('check', network, a)
      // what somebody took away is noticed (on the host's side the agent would put it back)
      await exec('nsenter', [`--net=${a}`, 'ip', 'address', 'del', `${pod.addresses.ipv4}/32`, 'dev', 'eth0'])
      await expect(tool.run('check', network, a)).rejects.toThrow()
      await tool.run('del', network, a)
      await tool.run('del', network, a)
      expect(await node.podTraces()).toEqual([])
      // attachments that the runtime has in its cache, but nobody wants any more
      await tool.add(network, a)
      await tool.add(network, b)
      await until('two attachments are on record', () => node.journal().length === 2) // the release of before is forgotten when the store has heard
      // cnitool 1.3.1 never says which are wanted: DEL for all it knows, then a GC that we refuse
      await expect(tool.run('gc', network, a)).rejects.toThrow('cni.dev/valid-attachments is missing')
      expect(await node.podTraces()).toEqual([])
      await node.untilForgotten()
    })
  })

  test('portmap behind ours: a host port leads to the pod from afar, from the node and from the pod itself, and is gone with the pod', async () => {
    await using cluster = await Cluster.start('portmap', { nodes: 1 })
    const tool = new CniTool(cluster, cluster.node(1))
    tool.write(cluster.node(1).chain('chained', DEBIAN_VERSION, { type: 'portmap', snat: true, capabilities: { portMappings: true } }))
    const capabilities = { portMappings: [{ hostPort: HOST_PORT, containerPort: TCP_PORT, protocol: 'tcp' }] }
    await withNamespaces(cluster, ['a'], async ([a]) => {
      // no CHECK: that of Debian's portmap wants the IPv4 rules among those of IPv6 too
      const pod = podOf('a', a, await tool.add('chained', a, capabilities))
      await using _listeners = await Listeners.in([pod])
      const outside = cluster.net.pathOf('outside')
      const node = cluster.net.pathOf('n1')
      for (const family of ['ipv4', 'ipv6'] as const) {
        const heard = await until(`the pod answers by the port of its node (${family})`, () => dial(outside, NODE[family], HOST_PORT))
        expect(heard).toBe(`a ${OUTSIDE[family]}`)
        expect(await dial(node, NODE[family], HOST_PORT)).toMatch(/^a /)
        expect(await dial(a, NODE[family], HOST_PORT)).toMatch(/^a /)
      }
      expect(await dial(node, '127.0.0.1', HOST_PORT)).toMatch(/^a /)
      await tool.run('del', 'chained', a, capabilities)
      await expect(dial(outside, NODE.ipv4, HOST_PORT)).rejects.toThrow('ECONNREFUSED')
      await expect(dial(outside, NODE.ipv6, HOST_PORT)).rejects.toThrow('ECONNREFUSED')
      expect(await cluster.node(1).podTraces()).toEqual([])
    })
  })

  test('bandwidth behind ours: both directions keep to the rate, and a pod without it does not', async () => {
    await using cluster = await Cluster.start('shape', { nodes: 1 })
    const tool = new CniTool(cluster, cluster.node(1))
    tool.write(cluster.node(1).chain('chained', DEBIAN_VERSION, { type: 'bandwidth', capabilities: { bandwidth: true } }))
    const capabilities = { bandwidth: { ingressRate: RATE, ingressBurst: BURST, egressRate: RATE, egressBurst: BURST } }
    await withNamespaces(cluster, ['shaped', 'free'], async ([shaped, free]) => {
      const slow = podOf('shaped', shaped, await tool.add('chained', shaped, capabilities))
      const fast = podOf('free', free, await tool.add('chained', free))
      await tool.run('check', 'chained', shaped, capabilities)
      const outside = { netns: cluster.net.pathOf('outside'), address: OUTSIDE.ipv4 }
      const end = (pod: Pod) => ({ netns: pod.netns, address: pod.addresses.ipv4 })
      await until('the pods are known beyond the router', () =>
        cluster.net.exec('outside', 'ping', ['-n', '-c1', '-W1', slow.addresses.ipv4]),
      )
      const rate = RATE / 1_000_000
      for (const measure of [() => throughput(outside.netns, end(slow), 2), () => throughput(shaped, outside, 2)])
        await until('the rate is used', async () => {
          const megabitsPerSecond = await measure()
          if (megabitsPerSecond > rate * 1.5) throw new HopelessError(`${megabitsPerSecond} Mbit/s`) // not once
          return megabitsPerSecond > rate * 0.5 // a busy machine may be slower now and then
        })
      for (const measure of [() => throughput(outside.netns, end(fast), 20), () => throughput(free, outside, 20)])
        await until('more than the rate', async () => (await measure()) > rate * 3)
      for (const pod of [shaped, free]) await tool.run('del', 'chained', pod)
      expect(await cluster.node(1).podTraces()).toEqual([])
    })
  })
})
