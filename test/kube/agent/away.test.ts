// The API server goes away, freezes, and is not there when the node boots: packets, sessions and pods do not notice.
import fs from 'node:fs'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { holds, until } from '../../support/poll.ts'
import { Prober } from '../../support/prober.ts'
import { describeWith } from '../../support/tier.ts'
import { BEHIND, NODE, PASSWORD, PROGRAMS, SHIM, World } from './world.ts'

const START_MS = 400_000
const LONG_MS = 400_000

describeWith(PROGRAMS, 'while the API server is away', () => {
  let world: World
  beforeAll(async () => {
    world = await World.start()
    await world.bird()
    await world.peerWithTor()
    await world.launch()
    await world.established()
    await world.report('the node is ready', ({ status }) => status?.conditions.every((each) => each.status === 'True') ?? false)
  }, START_MS)
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]()
  }, START_MS)

  test(
    'killed, frozen, and back: no packet is lost, no session ends, and what changed meanwhile is taken over',
    async () => {
      const { since } = await world.established()
      await using prober = await Prober.start(world.net, { node: NODE, address: BEHIND.node }, { node: 'tor', address: BEHIND.tor })
      world.kube.signal('SIGKILL')
      await until('the agent says so', async () => (await world.status()).problems.some(({ subject }) => subject === 'API server'))
      expect([await world.probe('healthz'), await world.probe('readyz')]).toEqual([200, 200])
      await world.kube.restart()
      world.kube.signal('SIGSTOP')
      await holds('the session stays up', 3_000, async () => (await world.peer('tor')).state === 'Established')
      world.kube.signal('SIGCONT')
      await world.peerWithTor({ description: 'written after it came back' })
      await until('the change is taken over', async () => (await world.peer('tor')).description !== '', { deadlineMs: 180_000 })
      await until('nothing is wrong any more', async () => (await world.status()).problems.length === 0, { deadlineMs: 180_000 })
      expect((await world.peer('tor')).since).toBe(since)
      await prober.sendMore(100)
      for (const { sent, lost } of await prober.finish()) expect([sent > 100, lost]).toEqual([true, 0])
    },
    LONG_MS,
  )

  describeWith([SHIM, 'ping'], 'pods', () => {
    const reaches = (from: string, address: string) =>
      until(`${from} reaches ${address}`, () => world.net.exec(from, 'ping', ['-n', '-q', '-c', '1', '-W', '1', address]), {
        explain: () => world.log().slice(-3_000),
      })
    const allocated = async (): Promise<readonly string[]> => {
      const blocks = await world.admin.list({ kind: 'IPAMBlock' })
      return blocks.flatMap(({ spec }) => spec.allocations.map(({ address, handle }) => `${address} ${handle}`)).sort()
    }
    const hasAlone = (wanted: string) =>
      until(`the blocks have ${wanted === '' ? 'nobody' : wanted}`, async () => (await allocated()).join() === wanted, {
        deadlineMs: 180_000,
        explain: () => world.log().slice(-3_000),
      })

    test(
      'come from what was claimed ahead, and go; the API server hears of both when it is back',
      async () => {
        const first = await world.add('p1')
        await until('the block has it', async () => (await allocated()).includes(`${first} fibula.p1.eth0`))
        await reaches('tor', first)
        world.kube.signal('SIGKILL')
        const second = await world.add('p2')
        await reaches('tor', second)
        await world.cni('DEL', 'p1')
        expect(await world.net.ip('p1', '-br link show')).not.toContain('eth0')
        await world.kube.restart()
        await hasAlone(`${second} fibula.p2.eth0`)
        await world.cni('DEL', 'p2')
        await hasAlone('')
      },
      LONG_MS,
    )

    test(
      'start on a node that boots meanwhile: addresses, routes and BGP come from what it remembers',
      async () => {
        await world.reboot()
        world.kube.signal('SIGKILL')
        await world.launch()
        await world.established()
        const address = await until('a pod is given an address', () => world.add('p3'), { everyMs: 1_000 })
        await reaches('tor', address)
        await world.kube.restart()
        await hasAlone(`${address} fibula.p3.eth0`)
        await world.cni('DEL', 'p3')
        await hasAlone('')
        await until('the store is what it goes by', async () => (await world.status()).ready, { deadlineMs: 180_000 })
      },
      LONG_MS,
    )
  })

  test(
    'an agent that is killed, and started again with the API server there and without it, costs no packet either time',
    async () => {
      await until('what is known is on the disk', () => fs.existsSync(`${world.folder('state')}/inputs.json`))
      await using prober = await Prober.start(world.net, { node: NODE, address: BEHIND.node }, { node: 'tor', address: BEHIND.tor })
      await world.kill()
      await world.launch()
      await world.established()
      await until('it is ready', async () => (await world.status()).ready, { deadlineMs: 180_000 })
      // A helper drops what is still stale when the session is lost again (RFC 4724 §4.2): the first restart has to be over.
      const isOver = async (): Promise<boolean> => (await world.peer('tor')).endOfRib.sent.length > 0
      await until('the restart is over', isOver, { deadlineMs: 180_000 })
      await world.kill()
      world.kube.signal('SIGKILL')
      await world.launch()
      await world.established()
      await until('the second restart is over', isOver, { deadlineMs: 180_000 })
      await prober.sendMore(100)
      for (const { sent, lost } of await prober.finish()) expect([sent > 100, lost]).toEqual([true, 0])
      await world.kube.restart()
      await until('the store is what it goes by', async () => (await world.status()).ready, { deadlineMs: 180_000 })
    },
    LONG_MS,
  )

  test(
    'a node that boots meanwhile peers by what it knew last, password included; then it goes over to the store, without a flap',
    async () => {
      const cache = `${world.folder('state')}/inputs.json`
      await until('what is known is on the disk', () => fs.readFileSync(cache, 'utf8').includes('written after it came back'), {
        deadlineMs: 180_000,
      })
      expect(fs.statSync(cache).mode & 0o777).toBe(0o600)
      await world.reboot()
      world.kube.signal('SIGKILL')
      await world.launch()
      const { since } = await world.established()
      const isOwn = (prefix: string): boolean => prefix.startsWith('10.244.')
      await until('it originates its own block', async () => (await world.status()).originated.some(isOwn))
      const status = await world.status()
      expect(status.problems).toEqual(expect.arrayContaining([expect.objectContaining({ severity: 'warning', subject: 'store' })]))
      expect([status.ready, await world.probe('healthz'), await world.probe('readyz')]).toEqual([false, 200, 503])
      await until('its router has a way to it', async () => (await world.net.ip('tor', `route show ${BEHIND.node}`)).includes('10.0.0.11'))
      await world.kube.restart()
      await until('the store is what it goes by', async () => (await world.status()).ready, { deadlineMs: 180_000 })
      await until('nothing is wrong any more', async () => (await world.status()).problems.length === 0, { deadlineMs: 180_000 })
      const after = await world.peer('tor')
      expect([after.since, after.flaps, after.established]).toEqual([since, 0, 1])
      expect(world.log()).not.toContain(PASSWORD)
    },
    LONG_MS,
  )

  test(
    'what another node knew is no use: such a file is ignored, and says so in the log',
    async () => {
      await world.reboot()
      const cache = `${world.folder('state')}/inputs.json`
      fs.writeFileSync(cache, fs.readFileSync(cache, 'utf8').replace(`"node":"${NODE}"`, '"node":"n2"'))
      world.kube.signal('SIGKILL')
      await world.launch()
      await until('it has looked', () => world.log().includes('agent.cache.ignored'))
      expect(await world.peers()).toEqual([])
      await world.kube.restart()
      await world.established()
    },
    LONG_MS,
  )
})
