// One agent that serves pods, asked through the real plugin and real namespaces: what ADD makes, CHECK sees and DEL removes; what is
// left after a kill at any moment of an ADD; and what happens while the store is away.
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from '@jest/globals'
import { ExecError, exec } from '../../../src/lib/exec.ts'
import { until, untilEqual } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { allocationsIn } from '../pods/blocks.ts'
import { SHIM } from '../pods/node.ts'
import { PROGRAMS, pool, World } from './world.ts'

const MINUTES = 180_000

describeWith(PROGRAMS, 'one node', () => {
  test(
    'a pod is attached, checked and detached; the control socket shows it meanwhile',
    async () => {
      await using world = await World.start('one', { nodes: ['n1'], pods: ['p1', 'p2'] })
      const node = world.node('n1')
      const first = await world.add('n1', 'p1')
      const second = await world.add('n1', 'p2')
      for (const address of [second.ipv4, second.ipv6]) await world.reaches('p1', address)
      for (const address of [first.ipv4, first.ipv6]) await world.reaches('n1', address)

      const shown = await world.pods('n1')
      expect(shown.map(({ containerId, state, addresses }) => [containerId, state, addresses.map(({ address }) => address)])).toEqual([
        ['p1', 'attached', [first.ipv4, first.ipv6]],
        ['p2', 'attached', [second.ipv4, second.ipv6]],
      ])
      await until('every block is advertised', async () => (await world.status('n1')).originated.length === 2) // a turn after it is claimed
      const { ready, blocks } = await world.ipam('n1')
      expect([ready, blocks.map(({ pool: name, state }) => [name, state])]).toEqual([
        true,
        [
          ['pods', 'Confirmed'],
          ['pods6', 'Confirmed'],
        ],
      ])
      const status = await world.status('n1')
      expect(status).toMatchObject({ ready: true, pods: { attached: 2, ready: true }, problems: [] })
      expect([...status.originated].sort()).toEqual(blocks.map(({ cidr }) => cidr).sort())

      expect(await faultOf(node.call('ADD', world.call('p1')))).toMatchObject({ code: 101 }) // refused, and harms nothing
      await world.reaches('p1', second.ipv4)
      const check = (): Promise<unknown> => exec(SHIM, [], { env: checkEnvironment(world, 'p1'), input: checkInput(world, 'p1', first) })
      await check()
      await world.net.ip('p1', `address del ${first.ipv4}/32 dev eth0`)
      expect(await faultOf(check())).toMatchObject({ code: 103 })

      await world.remove('n1', 'p1')
      await world.remove('n1', 'p1')
      await world.net.ip('p2', 'link del eth0') // as when a namespace goes before its DEL
      await node.remove({ containerId: 'p2', netns: '' })
      await world.leavesNothing('n1')
    },
    MINUTES,
  )

  test(
    'until there is a pool STATUS answers 50 and no conflist is there; then both say that pods may come',
    async () => {
      await using world = await World.make('pools', { nodes: ['n1'], pods: [], pools: [] })
      const node = world.node('n1')
      const launched = node.launch()
      const conf = { cniVersion: '1.1.0', name: 'fibula', type: 'fibula', socket: node.socket }
      const status = (): Promise<unknown> => {
        const env = { CNI_COMMAND: 'STATUS', CNI_PATH: path.dirname(SHIM) }
        return exec(SHIM, [], { env, input: JSON.stringify(conf) })
      }
      const reasons = async (): Promise<readonly string[]> => (await world.status('n1')).notReadyBecause
      await untilEqual('no pool is the only reason', ['no pod can be given a network yet (CNI)'], reasons)
      expect(await faultOf(status())).toMatchObject({ code: 50 })
      expect(fs.readdirSync(node.confFolder)).toEqual([])
      world.write('pools', [pool('pods', '10.244.0.0/16')])
      await launched // polls for the conflist and for STATUS
      await status()
      expect(await world.status('n1')).toMatchObject({ ready: true, notReadyBecause: [] })
    },
    MINUTES,
  )

  test(
    '100 pods at once get 100 addresses of each family',
    async () => {
      const pods = Array.from({ length: 100 }, (_, at) => `p${at}`)
      await using world = await World.start('hundred', { nodes: ['n1'], pods })
      const added = await Promise.all(pods.map((pod) => world.add('n1', pod)))
      expect(new Set(added.map(({ ipv4 }) => ipv4)).size).toBe(100)
      expect(new Set(added.map(({ ipv6 }) => ipv6)).size).toBe(100)
      const [first, last] = [added[0], added[99]]
      await world.reaches('p0', last?.ipv4 ?? '')
      await world.reaches('p99', first?.ipv6 ?? '')
      await Promise.all(pods.map((pod) => world.remove('n1', pod)))
      await world.leavesNothing('n1')
    },
    2 * MINUTES,
  )

  test(
    'kill -9 at any moment of an ADD, then a start and DEL: nothing is left',
    async () => {
      await using world = await World.start('kill', { nodes: ['n1'], pods: ['p1', 'p2'] })
      const node = world.node('n1')
      await world.add('n1', 'p2') // warms up, and must survive it all
      for (const afterMs of [0, 1, 2, 3, 4, 5, 6, 8, 10, 14]) {
        const adding = node.call('ADD', world.call('p1')).then(
          () => 'added',
          (cause: Error) => cause.message,
        )
        await new Promise((resolve) => setTimeout(resolve, afterMs + 5)) // the plugin itself takes a few to start
        await node.kill()
        await node.launch()
        await adding
        await world.remove('n1', 'p1')
        const own = (await world.pods('n1')).filter(({ state }) => state !== 'released').map(({ containerId }) => containerId)
        expect(own).toEqual(['p2'])
        expect((await world.net.ip('p1', '-br link show')).includes('eth0')).toBe(false)
      }
      await world.remove('n1', 'p2')
      await world.leavesNothing('n1')
    },
    3 * MINUTES,
  )

  test(
    'while the store is away a pod gets an address that was claimed ahead, and DEL is done; the store hears of both later',
    async () => {
      await using world = await World.start('away', { nodes: ['n1'], pods: ['p1', 'p2'] })
      await world.add('n1', 'p1')
      await until('both addresses of p1 are in the store', async () => (await allocationsIn(world.store)).length === 2)
      const bringBack = takeAway(world.store)
      const second = await world.add('n1', 'p2')
      await world.reaches('n1', second.ipv4)
      await world.remove('n1', 'p1')
      expect((await world.net.ip('p1', '-br link show')).includes('eth0')).toBe(false)
      expect((await world.pods('n1')).map(({ containerId, state }) => [containerId, state])).toEqual([
        ['p1', 'released'],
        ['p2', 'attached'],
      ])
      bringBack()
      await until(
        'the store knows p2 alone',
        async () => {
          const handles = (await allocationsIn(world.store)).map((line) => line.split(' ')[1])
          return handles.length === 2 && handles.every((handle) => handle === 'fibula.p2.eth0')
        },
        { explain: () => world.node('n1').log() },
      )
      await world.remove('n1', 'p2')
      await world.leavesNothing('n1')
    },
    2 * MINUTES,
  )

  test(
    'a release that the store has not heard of outlives the agent',
    async () => {
      await using world = await World.start('later', { nodes: ['n1'], pods: ['p1'] })
      await world.add('n1', 'p1')
      await until('both addresses are in the store', async () => (await allocationsIn(world.store)).length === 2)
      const bringBack = takeAway(world.store)
      await world.remove('n1', 'p1')
      await world.node('n1').kill()
      bringBack()
      await world.node('n1').launch()
      await world.leavesNothing('n1')
    },
    MINUTES,
  )

  test(
    'after a reboot the addresses of the pods of before are free again',
    async () => {
      await using world = await World.start('reboot', { nodes: ['n1'], pods: ['p1'] })
      const lost = { containerId: 'lost', netns: '/run/netns/fib-reboot-lost' }
      await exec('ip', ['netns', 'add', 'fib-reboot-lost'])
      await world.node('n1').add(lost)
      await world.add('n1', 'p1')
      await world.node('n1').kill()
      await exec('ip', ['netns', 'del', 'fib-reboot-lost'])
      await world.net.ip('p1', 'link del eth0') // this one still has its namespace: only its DEL may free its addresses
      await world.node('n1').launch()
      await until('the one without a namespace is forgotten', async () => (await world.pods('n1')).length === 1)
      expect((await world.pods('n1')).map(({ containerId, state }) => [containerId, state])).toEqual([['p1', 'attached']])
      await until('it is told of', async () => (await world.status('n1')).problems.length > 0)
      const { problems } = await world.status('n1')
      expect(problems).toEqual([
        expect.objectContaining({ subject: 'Pod/p1', message: expect.stringMatching(/its interface fib\w+ is gone/) }),
      ])
      await world.node('n1').remove(lost)
      await world.remove('n1', 'p1')
      await world.leavesNothing('n1')
      await until('nothing is wrong any more', async () => (await world.status('n1')).problems.length === 0)
    },
    MINUTES,
  )

  test(
    'links that bear our name and are no pod’s are removed at a start, and nobody else’s are',
    async () => {
      await using world = await World.start('strays', { nodes: ['n1'], pods: ['p1'] })
      const { ipv4 } = await world.add('n1', 'p1')
      await world.node('n1').kill()
      await world.net.ipBatch('n1', [
        'link add fib0123456789a type veth peer name stray',
        'link add fibers type veth peer name others',
        'link set fib0123456789a up',
      ])
      await world.node('n1').launch()
      const links = await world.net.ip('n1', '-br link show')
      expect(links).not.toMatch(/fib0123456789a/)
      expect(links).toMatch(/fibers/)
      await world.reaches('n1', ipv4)
    },
    MINUTES,
  )

  test(
    'a state directory that was lost costs no pod its network: the pods of before stay, and go with their DEL',
    async () => {
      await using world = await World.start('lost', { nodes: ['n1'], pods: ['p1', 'p2'] })
      const { ipv4, ipv6 } = await world.add('n1', 'p1')
      await until('both addresses are in the store', async () => (await allocationsIn(world.store)).length === 2)
      await world.node('n1').kill()
      fs.rmSync(world.node('n1').stateFolder, { recursive: true })
      await world.node('n1').launch()
      await until('kernel routes are synced and swept', async () => {
        const { ready, routes } = await world.status('n1')
        return ready && routes.desired === routes.inKernel
      })
      for (const address of [ipv4, ipv6]) await world.reaches('n1', address)
      await until('it is told of', async () => (await world.status('n1')).problems.length > 0)
      expect((await world.status('n1')).problems).toEqual([
        expect.objectContaining({ subject: 'CNI', message: expect.stringMatching(/of 1 pods/) }),
      ])
      const second = await world.add('n1', 'p2')
      expect([second.ipv4 === ipv4, second.ipv6 === ipv6]).toEqual([false, false])
      await world.remove('n1', 'p1')
      await world.remove('n1', 'p2')
      await world.leavesNothing('n1')
      await until('nothing is wrong any more', async () => (await world.status('n1')).problems.length === 0)
    },
    MINUTES,
  )

  test(
    'pods that run follow the MTU of the uplink',
    async () => {
      await using world = await World.start('mtu', { nodes: ['n1'], pods: ['p1', 'p2'] })
      await world.net.ip('n1', 'route add default via 10.0.0.254')
      await world.add('n1', 'p1')
      const mtuIn = async (pod: string): Promise<number> => Number(/mtu (\d+)/.exec(await world.net.ip(pod, 'link show eth0'))?.[1])
      expect(await mtuIn('p1')).toBe(1_500)
      await world.net.ip('n1', 'link set eth0 mtu 1400')
      await until('p1 has the new MTU', async () => (await mtuIn('p1')) === 1_400)
      await world.add('n1', 'p2')
      expect(await mtuIn('p2')).toBe(1_400)
      await world.net.ip('n1', 'link set eth0 mtu 1500')
      for (const pod of ['p1', 'p2']) await until(`${pod} has the old MTU again`, async () => (await mtuIn(pod)) === 1_500)
      await world.node('n1').kill() // the next agent knows what the pods were given, not only what they began with
      await world.node('n1').launch()
      await world.net.ip('n1', 'link set eth0 mtu 1400')
      for (const pod of ['p1', 'p2']) await until(`${pod} follows the next agent too`, async () => (await mtuIn(pod)) === 1_400)
    },
    MINUTES,
  )

  test(
    'where FORWARD drops by policy pods still reach one another',
    async () => {
      await using world = await World.make('drop', { nodes: ['n1'], pods: ['p1', 'p2'] })
      for (const tool of ['iptables', 'ip6tables']) await world.net.exec('n1', tool, ['-w', '-P', 'FORWARD', 'DROP'])
      await world.node('n1').launch()
      await world.add('n1', 'p1')
      const second = await world.add('n1', 'p2')
      for (const address of [second.ipv4, second.ipv6]) await world.reaches('p1', address)
    },
    MINUTES,
  )

  test(
    'pods of a pool with natOutgoing leave the pools with the node’s address, and reach nodes with their own; a change takes effect live',
    async () => {
      const pools = (natOutgoing: boolean) => [
        pool('pods', '10.244.0.0/16', { natOutgoing }),
        pool('pods6', 'fd00:244::/112', { natOutgoing }),
      ]
      await using world = await World.start('nat', { nodes: ['n1'], pods: ['p1'], others: ['x'], pools: pools(true) })
      const { ipv4, ipv6 } = await world.add('n1', 'p1')
      for (const address of ['10.0.0.101', 'fd00::101']) await world.reaches('p1', address) // x has no route back to pods
      world.write('pools', pools(false))
      const isMasqueraded = async (): Promise<boolean> =>
        (await world.net.exec('n1', 'iptables-save', ['-t', 'nat'])).stdout.includes('MASQUERADE')
      await until('there is no masquerade any more', async () => !(await isMasqueraded()))
      await world.net.ipBatch('x', ['route add 10.244.0.0/16 via 10.0.0.11', 'route add fd00:244::/112 via fd00::11'])
      for (const address of [ipv4, ipv6]) await world.reaches('x', address)
    },
    MINUTES,
  )
})

/** The error object that a plugin printed. */
async function faultOf(work: Promise<unknown>): Promise<unknown> {
  try {
    return { answered: await work }
  } catch (cause) {
    const failed = cause instanceof Error && cause.cause instanceof ExecError ? cause.cause : cause
    if (!(failed instanceof ExecError)) throw cause
    return JSON.parse(failed.stdout)
  }
}

function checkEnvironment(world: World, pod: string): Readonly<Record<string, string>> {
  const { containerId, netns } = world.call(pod)
  const CNI_PATH = path.dirname(SHIM)
  return { CNI_COMMAND: 'CHECK', CNI_CONTAINERID: containerId, CNI_NETNS: netns, CNI_IFNAME: 'eth0', CNI_PATH }
}

/** With the result that ADD gave. */
function checkInput(world: World, pod: string, { ipv4, ipv6 }: { readonly ipv4: string; readonly ipv6: string }): string {
  const ips = [`${ipv4}/32`, `${ipv6}/128`].map((address) => ({ address, interface: 0 }))
  const prevResult = { cniVersion: '1.0.0', interfaces: [{ name: 'eth0', sandbox: world.call(pod).netns }], ips }
  return JSON.stringify({ cniVersion: '1.0.0', name: 'fibula', type: 'fibula', socket: world.node('n1').socket, prevResult })
}

/** Takes the folder of manifests away, as when a mount is lost; returns what puts it back. */
function takeAway(folder: string): () => void {
  const away = `${folder}.away`
  fs.renameSync(folder, away)
  fs.writeFileSync(folder, '') // so that nobody makes it anew
  return () => {
    fs.unlinkSync(folder)
    fs.renameSync(away, folder)
  }
}
