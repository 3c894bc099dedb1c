// No open window: first packets every few milliseconds through a thousand random changes of policies and labels. What no state admits never
// passes, what every state admits is never lost; and a pod that comes is denied until its rules are in.
import { expect, test } from '@jest/globals'
import { Random } from '../../policy/random.ts'
import { until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { RulesNode } from './rules-node.ts'
import { Stream, type StreamFlow } from './stream.ts'

const PROGRAMS = ['python3', 'ip', 'nsenter', 'iptables-nft-save', 'ipset']
const PODS = ['server', 'friend', 'stranger', 'noise', 'newcomer']
const GROUPS = ['v1', 'v2', 'v3']
const FLIPS = Number(process.env['FIB_POLICY_FLIPS'] ?? 1_000)

/** Isolates the server; admits one group. */
function admits(group: string, extra: string): object {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: `p-${group}`, namespace: 'x' },
    spec: {
      podSelector: { matchLabels: { app: 'server' } },
      policyTypes: ['Ingress'],
      ingress: [{ from: [{ podSelector: { matchLabels: { group } } }, { podSelector: { matchLabels: { group: `${group}-${extra}` } } }] }],
    },
  }
}

/** Of others: what it says is never about the flows that are watched. */
function noise(random: Random, at: number): object {
  const rule = { ports: [{ protocol: 'TCP', port: 1 + random.below(1000) }] }
  return random.chance(0.5)
    ? {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'NetworkPolicy',
        metadata: { name: `noise-${at}`, namespace: 'x' },
        spec: { podSelector: { matchLabels: { app: 'noise' } }, policyTypes: ['Ingress', 'Egress'], ingress: [rule], egress: [rule] },
      }
    : {
        apiVersion: 'policy.networking.k8s.io/v1alpha2',
        kind: 'ClusterNetworkPolicy',
        metadata: { name: `noise-${at}` },
        spec: {
          tier: random.pick(['Admin', 'Baseline']),
          priority: random.below(5),
          subject: { namespaces: {} },
          ingress: [
            {
              action: random.pick(['Pass', 'Deny', 'Accept']),
              from: [{ namespaces: {} }],
              protocols: [{ tcp: { destinationPort: { number: 1 + random.below(1000) } } }],
            },
          ],
        },
      }
}

let revision = 0

/** Never twice the same. */
function podObject(node: RulesNode, name: string, group: string): object {
  const { ipv4, ipv6 } = node.addressesOf(name)
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'x', labels: { app: name, group, revision: String(revision++) } },
    spec: { nodeName: 'n1', containers: [{ name: 'c' }] },
    status: { phase: 'Running', podIP: ipv4, podIPs: [{ ip: ipv4 }, { ip: ipv6 }] },
  }
}

/** With the first policy in force and all pods but the newcomer let through. */
async function begin(topic: string): Promise<RulesNode> {
  const node = await RulesNode.start(topic, PODS)
  await node.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'x' } })
  await node.put(podObject(node, 'friend', 'v1'))
  await node.put(podObject(node, 'stranger', 'w1'))
  for (const name of ['server', 'noise', 'newcomer']) await node.put(podObject(node, name, 'none'))
  await node.put(admits('v1', '0'))
  node.runtime.adopt([], new Map())
  for (const name of PODS.slice(0, 4)) await node.admit(name)
  return node
}

/** Changes one object, so that the friend stays admitted and the stranger is not. */
class Flipper {
  readonly #node: RulesNode
  readonly #random: Random
  readonly #noise = new Map<number, object>()
  readonly #groups = new Set(['v1'])
  #friend = 'v1'
  #count = 0

  constructor(node: RulesNode, random: Random) {
    this.#node = node
    this.#random = random
  }

  async flip(): Promise<void> {
    const [node, random] = [this.#node, this.#random]
    const group = random.pick(GROUPS)
    switch (random.below(6)) {
      case 0:
        if (this.#groups.delete(group) && group !== this.#friend) return node.take(admits(group, ''))
        this.#groups.add(group)
        return node.put(admits(group, String(this.#count++)))
      case 1:
        if (!this.#groups.has(group)) return node.put(podObject(node, 'stranger', `w${this.#count++ % 3}`))
        this.#friend = group
        return node.put(podObject(node, 'friend', group))
      case 2:
        return node.put(podObject(node, 'stranger', `w${this.#count++ % 3}`))
      case 3:
        return node.put(podObject(node, 'noise', random.pick([...GROUPS, 'w1', 'none'])))
      case 4: {
        const changed = [...this.#groups].find((each) => each !== this.#friend) ?? this.#friend
        return node.put(admits(changed, String(this.#count++)))
      }
      default: {
        const at = random.below(4)
        const known = this.#noise.get(at)
        if (known === undefined) {
          const made = noise(random, at)
          this.#noise.set(at, made)
          return node.put(made)
        }
        this.#noise.delete(at)
        return node.take(known)
      }
    }
  }
}

function flowsOf(node: RulesNode, from: string): readonly StreamFlow[] {
  const { ipv4, ipv6 } = node.addressesOf('server')
  const port = from === 'friend' ? 5001 : from === 'stranger' ? 5002 : 5003
  return [ipv4, ipv6].map((address) => ({ id: `${from} ${address}`, from, to: 'server', address, port }))
}

describeWith(PROGRAMS, 'no open window', () => {
  test(`through ${FLIPS} changes`, async () => {
    await using node = await begin('win')
    using stream = await Stream.start(node.net, [...flowsOf(node, 'friend'), ...flowsOf(node, 'stranger')], 3)
    const flipper = new Flipper(node, new Random(7))
    const before = node.runtime.figures().turns
    for (let count = 0; count < FLIPS; count++) {
      const { turns } = node.runtime.figures()
      await flipper.flip()
      // Most changes make a turn of their own; some come while one is under way, and two of them make one.
      if (count % 3 !== 0) await until('a turn', () => node.runtime.figures().turns > turns, { everyMs: 1 })
    }
    await node.quiet()
    const { flows, longestPauseMs } = await stream.end()
    const [friends, strangers] = ['friend', 'stranger'].map((name) => Object.entries(flows).filter(([id]) => id.startsWith(name)))
    expect({ strangers, longestPauseMs }).toEqual({
      strangers: strangers?.map(([id, flow]) => [id, { ...flow, received: 0 }]),
      longestPauseMs,
    })
    expect(friends?.map(([, { sent, received, lostRuns }]) => ({ lost: sent - received, lostRuns }))).toEqual([
      { lost: 0, lostRuns: [] },
      { lost: 0, lostRuns: [] },
    ])
    expect(node.runtime.figures().turns - before).toBeGreaterThan(FLIPS / 3)
  }, 900_000)

  test.each(['too early', 'too late'])(
    'the test sees one if rules are written %s: they are taken away before they are written anew',
    async (kind) => {
      await using node = await begin('wic')
      using stream = await Stream.start(node.net, [...flowsOf(node, 'friend'), ...flowsOf(node, 'stranger')], 3)
      node.write = async (turn, rules) => {
        if (kind === 'too early') await rules.writePolicy({ whole: null, delta: null })
        else await node.host.load('nft', 4, '*filter', '-F fib-policy-to', '-A fib-policy-to -j DROP', 'COMMIT')
        await stream.sendMore(3) // as long as a window has to be to be seen
        return turn()
      }
      const flipper = new Flipper(node, new Random(7))
      for (let count = 0; count < 5; count++) {
        await flipper.flip()
        await node.quiet()
      }
      const { flows } = await stream.end()
      const of = (name: string) => flows[`${name} ${node.addressesOf('server').ipv4}`]
      if (kind === 'too early') expect(of('stranger')?.received).toBeGreaterThan(0)
      else expect(of('friend')?.lostRuns).not.toEqual([])
    },
  )

  test('a pod that comes is denied until its rules are in, and let through when ADD returns', async () => {
    await using node = await begin('gat')
    const { ipv4 } = node.addressesOf('friend')
    const flow = { id: 'new', from: 'newcomer', to: 'friend', address: ipv4, port: 5003 }
    for (let round = 0; round < 2; round++) {
      using before = await Stream.start(node.net, [flow], 3)
      const { flows } = await before.end()
      expect(flows['new']?.received).toBe(0)
      await node.admit('newcomer')
      using after = await Stream.start(node.net, [flow], 3)
      expect((await after.end()).flows['new']?.lostRuns).toEqual([])
      await node.runtime.dismiss(node.linkOf('newcomer'))
      await node.quiet()
    }
  })
})
