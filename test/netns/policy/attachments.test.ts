// Attachments as CNI made them, and what the store says of their pods: nothing yet, something else, or one pod of two interfaces.
import { expect, test } from '@jest/globals'
import { type ClusterState, namespaceOf } from '../../policy/state.ts'
import type { Manifest } from '../../support/agent-manifests.ts'
import { until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { type Addresses, PolicyCluster, PROGRAMS } from './cluster.ts'
import { MassProber, type Probe } from './prober.ts'
import { RulesNode } from './rules-node.ts'

/** Selects pods of namespace x; `peers` null: nobody. */
function policy(app: string | null, direction: 'Ingress' | 'Egress', peers: readonly object[], ports: readonly object[] = []): object {
  const list =
    direction === 'Ingress'
      ? { ingress: peers.map((peer) => ({ from: [peer], ports })) }
      : { egress: peers.map((peer) => ({ to: [peer], ports })) }
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: `${app ?? 'all'}-${direction.toLowerCase()}`, namespace: 'x' },
    spec: { podSelector: app === null ? {} : { matchLabels: { app } }, policyTypes: [direction], ...list },
  }
}

const labelled = (app: string): object => ({ podSelector: { matchLabels: { app } } })

function podObject(name: string, app: string, node: string, { ipv4, ipv6 }: Addresses): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'x', labels: { app } } as Manifest['metadata'],
    spec: { nodeName: node, containers: [{ name: 'main' }] },
    status: { phase: 'Running', podIP: ipv4, podIPs: [{ ip: ipv4 }, { ip: ipv6 }] },
  }
}

function probes(from: string, to: string, { ipv4, ipv6 }: Addresses): readonly Probe[] {
  return [ipv4, ipv6].flatMap((address) => (['TCP', 'UDP'] as const).map((protocol) => ({ from, to, address, protocol, port: 80 })))
}

describeWith(PROGRAMS, 'attachments', () => {
  test('a pod that the store does not show lets nothing through but its node; then its program is in force, until its object goes [policy 73]', async () => {
    await using node = await RulesNode.start('mis', ['server', 'client'], 'deny')
    const [server, client] = [node.addressesOf('server'), node.addressesOf('client')]
    await node.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'x' } })
    await node.put(podObject('server', 'server', 'n1', server))
    await node.put(policy('server', 'Ingress', [labelled('client')]))
    node.runtime.adopt([], new Map())
    await node.admit('server')
    using prober = new MassProber(node.net, 'n1')
    const ends = ['n1', 'server', 'client'].map((name) => [name, node.net.pathOf(name)])
    await prober.open(Object.fromEntries(ends), { tcp: [80], udp: [80] })
    const all = [...probes('client', 'server', server), ...probes('server', 'client', client), ...probes('n1', 'client', client)]
    const passing = async (): Promise<string> => {
      const passed = await prober.probe(all)
      return ['to server', 'to client', 'from node'].filter((_, at) => passed.slice(4 * at, 4 * at + 4).every(Boolean)).join()
    }
    const untilPassing = (wanted: string): Promise<unknown> => until(`passes ${wanted}`, async () => (await passing()) === wanted)

    let isAdmitted = false
    const admitted = node.admit('client').then(() => {
      isAdmitted = true
    })
    await until('it waits', () => node.runtime.endpoints().some(({ waitsFor }) => waitsFor?.includes('x/client') === true))
    await node.quiet()
    await untilPassing('from node')
    expect([isAdmitted, (await prober.probe(all)).slice(0, 8).includes(true)]).toEqual([false, false])

    await node.put(podObject('client', 'client', 'n1', client))
    await admitted
    await untilPassing('to server,to client,from node')
    await node.put(podObject('client', 'other', 'n1', client))
    await untilPassing('to client,from node')
    await node.take(podObject('client', 'other', 'n1', client))
    await untilPassing('from node')
    await node.put(podObject('client', 'client', 'n1', client))
    await untilPassing('to server,to client,from node')
  })

  test('an own pod has the addresses that CNI gave it, whatever objects show; one without an object has no labels [policy 77, 80]', async () => {
    const PODS = { 'x/server': 'n1', 'x/friend': 'n1', 'x/stranger': 'n1', 'x/bare': 'n1' }
    await using cluster = await PolicyCluster.start('adr', { nodes: ['n1'], pods: PODS, ports: { tcp: [80], udp: [80] } })
    const [server, friend, stranger, bare] = ['server', 'friend', 'stranger', 'bare'].map((name) => cluster.addressesOf(`x/${name}`))
    if (server === undefined || friend === undefined || stranger === undefined || bare === undefined) throw new Error('no pods')
    const state = (...policies: readonly object[]): ClusterState => ({
      namespaces: { x: {} },
      pods: { 'x/server': { labels: { app: 'server' } }, 'x/stranger': { labels: { app: 'stranger' } } },
      policies,
    })
    const ways = [
      probes('x/friend', 'x/server', server),
      probes('x/stranger', 'x/server', server),
      probes('x/bare', 'x/server', server),
      probes('x/server', 'x/friend', friend),
      probes('x/server', 'x/stranger', stranger),
      probes('x/server', 'x/bare', bare),
    ]
    await cluster.meet(ways.flat())
    const expectPassing = async (wanted: readonly boolean[], ...policies: readonly object[]): Promise<void> => {
      await cluster.apply(state(...policies))
      const expected = ways.flatMap((way, at) => way.map(() => wanted[at] === true))
      expect(await cluster.differences(ways.flat(), expected)).toEqual([])
    }
    // The friend's object shows the stranger's addresses, and so does a pod of a node elsewhere.
    cluster.world.write('liars', [podObject('friend', 'friend', 'n1', stranger), podObject('zombie', 'friend', 'n2', stranger)])
    await expectPassing([true, false, false, true, true, true], policy('server', 'Ingress', [labelled('friend')]))
    await expectPassing([true, true, true, false, true, true], policy('friend', 'Ingress', []))
    // Every pod of the namespace is meant, also the one of which nothing is known.
    await expectPassing(
      [true, true, true, true, true, false],
      policy(null, 'Ingress', [labelled('server')]),
      policy('server', 'Ingress', [{ podSelector: {} }]),
      policy(null, 'Egress', [labelled('server'), labelled('friend'), labelled('stranger')]),
    )
    await expectPassing([false, false, false, true, true, true], policy('server', 'Ingress', [labelled('bare')]))
  })

  test('two interfaces of one pod: as subject and as peer it is both, and what is left when one goes stays policed', async () => {
    const PODS = { 'x/server': 'n1', 'x/friend': 'n1', 'x/stranger': 'n1' }
    await using cluster = await PolicyCluster.start('two', { nodes: ['n1'], pods: PODS, ports: { tcp: [80, 81], udp: [80, 81] } })
    const keys = Object.keys(PODS)
    const further = new Map<string, Addresses>()
    for (const key of keys) further.set(key, await cluster.attach(key, 'net1'))
    const of = (key: string, which: 'eth0' | 'net1'): Addresses => {
      const found = which === 'eth0' ? cluster.addressesOf(key) : further.get(key)
      if (found === undefined) throw new RangeError(`${key} has no ${which}`)
      return found
    }
    /** Every address of the pod to every address of the server. */
    const ways = (from: string) =>
      (['eth0', 'net1'] as const).flatMap((source) =>
        (['eth0', 'net1'] as const).flatMap((target) =>
          (['ipv4', 'ipv6'] as const).map((family) => ({
            shown: `${from} ${source} -> server ${target} ${family}`,
            source: of(from, source)[family],
            address: of('x/server', target)[family],
          })),
        ),
      )
    const connecting = async (from: string, port = 80): Promise<readonly string[]> => {
      const tried = await Promise.all(
        ways(from).map(async (way) => ((await cluster.connects(namespaceOf(from), way.source, way.address, port, 2)) ? [way.shown] : [])),
      )
      return tried.flat()
    }
    const untilAll = (from: string, port = 80): Promise<unknown> =>
      until(`${from} connects every way`, async () => (await connecting(from, port)).length === 8, { explain: () => cluster.explain() })
    await untilAll('x/friend')
    await untilAll('x/stranger')

    const pods = Object.fromEntries(keys.map((key) => [key, { labels: { app: key.split('/')[1] ?? '' } }]))
    const ports = [{ protocol: 'TCP', port: 80 }]
    const policies = [policy('server', 'Ingress', [labelled('friend')]), policy('friend', 'Egress', [labelled('server')], ports)]
    await cluster.apply({ namespaces: { x: {} }, pods, policies })
    await untilAll('x/friend')
    expect(await connecting('x/stranger')).toEqual([])
    expect(await connecting('x/friend', 81)).toEqual([])
    const shown = await cluster.world.ask<readonly { name: string; ingress: { networkPolicies: readonly string[] } }[]>(
      'n1',
      'GET',
      '/v1/policy/pods',
    )
    expect(shown.filter(({ name }) => name === 'server').map(({ ingress }) => ingress.networkPolicies)).toEqual([
      ['x/server-ingress'],
      ['x/server-ingress'],
    ])

    await cluster.detach('x/server', 'net1')
    await cluster.detach('x/friend', 'net1')
    const first = probes('x/friend', 'x/server', of('x/server', 'eth0'))
    const others = probes('x/stranger', 'x/server', of('x/server', 'eth0'))
    expect(await cluster.differences([...first, ...others], [true, false, true, false, false, false, false, false])).toEqual([])
    // Whoever gets the address next is not the friend.
    const gone = new RegExp(`^add \\S+ (${Object.values(of('x/friend', 'net1')).join('|')})([, ]|$)`, 'm')
    await until('no set has its addresses', async () => !gone.test((await cluster.world.net.exec('n1', 'ipset', ['save'])).stdout))
  })
})
