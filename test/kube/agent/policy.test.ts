// Policy of a node whose API server goes away: what was in force stays in force for every packet, also through a start without the server;
// when it is back, a change takes effect.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { until } from '../../support/poll.ts'
import { Prober } from '../../support/prober.ts'
import { describeWith } from '../../support/tier.ts'
import { NODE, PROGRAMS, SHIM, World } from './world.ts'

const NAMESPACE = 'default'
/** Pods by their namespaces on this host. */
const NAMES = { p1: 'server', p2: 'friend', p3: 'stranger' } as const
const LONG_MS = 400_000

type Place = keyof typeof NAMES
type Body = { readonly metadata: { readonly name: string; readonly labels?: object }; readonly [field: string]: unknown }

describeWith([...PROGRAMS, SHIM, 'ping', 'iptables-nft-save'], 'policy while the API server is away', () => {
  let world: World
  const addresses = new Map<Place, string>()
  beforeAll(async () => {
    world = await World.start()
    await world.launch()
    await apply('/api/v1', 'serviceaccounts', { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } })
    for (const name of Object.values(NAMES)) {
      await apply('/api/v1', 'pods', {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, labels: { app: name } },
        spec: { nodeName: NODE, automountServiceAccountToken: false, containers: [{ name: 'main', image: 'nothing' }] },
      })
    }
    for (const place of ['p1', 'p2', 'p3'] as const) {
      const args = `IgnoreUnknown=1;K8S_POD_NAMESPACE=${NAMESPACE};K8S_POD_NAME=${NAMES[place]}`
      const added = await until('a pod has a network', () => world.cni('ADD', place, args), { explain: () => world.log().slice(-3_000) })
      const { ips } = JSON.parse(added) as { readonly ips: readonly { readonly address: string }[] }
      addresses.set(place, ips[0]?.address.split('/')[0] ?? '')
    }
  }, LONG_MS)
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]()
  }, LONG_MS)

  async function apply(base: string, plural: string, object: Body): Promise<void> {
    const path = `${base}/namespaces/${NAMESPACE}/${plural}/${object.metadata.name}?fieldManager=kubectl&force=true`
    await world.request('PATCH', path, object, 'application/apply-patch+yaml')
  }

  /** Only one of them may speak to the server. */
  function admit(app: string): Promise<void> {
    const ingress = [{ from: [{ podSelector: { matchLabels: { app } } }] }]
    return apply('/apis/networking.k8s.io/v1', 'networkpolicies', {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'server' },
      spec: { podSelector: { matchLabels: { app: 'server' } }, policyTypes: ['Ingress'], ingress },
    })
  }

  function pings(from: Place): Promise<boolean> {
    return world.net.exec(from, 'ping', ['-n', '-q', '-c', '1', '-W', '1', addresses.get('p1') ?? '']).then(
      () => true,
      () => false,
    )
  }

  async function rules(): Promise<string> {
    const { stdout } = await world.net.exec(NODE, 'iptables-nft-save', ['-t', 'filter'])
    return stdout.replaceAll(/^#.*$|\[\d+:\d+\]/gm, '')
  }

  async function isInForce(passes: Place, isDenied: Place): Promise<void> {
    await until(
      `${NAMES[passes]} reaches the server, ${NAMES[isDenied]} does not`,
      async () => (await pings(passes)) && !(await pings(isDenied)),
      {
        explain: () => world.log().slice(-3_000),
      },
    )
  }

  test(
    'and while an agent starts without it',
    async () => {
      await until('there is no policy yet', async () => (await pings('p2')) && (await pings('p3')))
      await admit('friend')
      await isInForce('p2', 'p3')
      const before = await rules()
      const [server, friend] = [addresses.get('p1') ?? '', addresses.get('p2') ?? '']
      await using prober = await Prober.start(world.net, { node: 'p2', address: friend }, { node: 'p1', address: server })

      world.kube.signal('SIGKILL')
      await until('the agent says so', async () => (await world.status()).problems.some(({ subject }) => subject === 'API server'))
      await isInForce('p2', 'p3')
      await world.kill()
      await isInForce('p2', 'p3')
      await world.launch()
      await until('it goes by what it knew', async () => (await world.status()).problems.some(({ subject }) => subject === 'store'))
      expect(await rules()).toBe(before)
      await isInForce('p2', 'p3')
      await prober.sendMore(100)
      const results = await prober.finish() // what was allowed before has not missed a packet
      for (const { sent, lost } of results) expect([sent > 100, lost]).toEqual([true, 0])

      await world.kube.restart()
      await until('the store is what it goes by', async () => (await world.status()).ready)
      expect(await rules()).toBe(before)
      await admit('stranger')
      await isInForce('p3', 'p2')
      expect(await rules()).not.toBe(before)
    },
    LONG_MS,
  )
})
