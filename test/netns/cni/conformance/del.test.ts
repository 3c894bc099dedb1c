// Statements 36 to 44: DEL.
import { expect, test } from '@jest/globals'
import { until } from '../../../support/poll.ts'
import { suiteOfBoth } from './suite.ts'

suiteOfBoth('DEL', [], ({ node, plugin }) => {
  test('the host end is gone when it returns, the rest follows; the second and third succeed [cni 36, 37]', async () => {
    const netns = await node().newPod()
    const before = await node().leftovers()
    const { json } = await plugin().run('ADD', { netns })
    for (let time = 0; time < 3; time++) {
      expect(await plugin().run('DEL', { netns, over: { prevResult: json } })).toMatchObject({ exitStatus: 0, stdout: '' })
      expect(await node().net.ip('host', '-brief link')).not.toContain('fib')
    }
    await node().untilAs(before)
    expect(await node().inPod(netns, '-brief link')).not.toContain('eth0')
  })

  test('without ADD it succeeds [cni 38]', async () => {
    const netns = await node().newPod()
    const before = await node().leftovers()
    expect((await plugin().run('DEL', { netns, containerId: 'never' })).exitStatus).toBe(0)
    await node().untilAs(before)
  })

  test('without ADD it leaves an interface of that name alone', async () => {
    const netns = await node().newPod()
    await node().inPod(netns, 'link add eth0 type bridge')
    expect((await plugin().run('DEL', { netns, containerId: 'never' })).exitStatus).toBe(0)
    expect(await node().inPod(netns, '-brief link')).toContain('eth0')
  })

  test('with the namespace deleted, its path absent, or none named, it succeeds and releases [cni 39]', async () => {
    const before = await node().leftovers()
    for (const named of ['deleted', 'elsewhere', 'none'] as const) {
      const netns = await node().newPod()
      expect((await plugin().run('ADD', { netns })).exitStatus).toBe(0)
      if (named === 'deleted') await node().removePod(netns)
      const asked = { deleted: netns, elsewhere: '/run/netns/nowhere', none: '' }[named]
      expect((await plugin().run('DEL', { netns: asked })).exitStatus).toBe(0)
      await node().untilAs(before)
    }
  })

  test('without prevResult, or with that of another, it removes its own and nothing else [cni 40, 41]', async () => {
    const [a, b] = [await node().newPod(), await node().newPod()]
    const ofA = await plugin().run('ADD', { netns: a, containerId: 'a' })
    const onlyA = await node().leftovers()
    await plugin().run('ADD', { netns: b, containerId: 'b' })
    expect((await plugin().run('DEL', { netns: b, containerId: 'b', over: { prevResult: ofA.json } })).exitStatus).toBe(0)
    await node().untilAs(onlyA)
    for (const { address } of ofA.json?.ips ?? []) await node().net.exec('host', 'ping', ['-c1', '-W10', address.split('/')[0] ?? ''])
    expect((await plugin().run('DEL', { netns: a, containerId: 'a' })).exitStatus).toBe(0)
  })

  test('while the store is away it succeeds, and the addresses go back when the store does [cni 43]', async () => {
    const netns = await node().newPod()
    const before = await node().leftovers()
    await plugin().run('ADD', { netns })
    node().store.isAway = true
    expect((await plugin().run('DEL', { netns })).exitStatus).toBe(0)
    expect((await plugin().run('DEL', { netns })).exitStatus).toBe(0)
    expect(node().records()).toEqual(['c1/eth0 released'])
    node().store.isAway = false
    await node().untilAs(before)
  })

  test('while the store is away, with a restart of the agent in between [cni 43]', async () => {
    const netns = await node().newPod()
    const before = await node().leftovers()
    await plugin().run('ADD', { netns })
    await until('the store knows of it', () => node().store.allocations().length > 0)
    node().store.isAway = true
    await plugin().run('DEL', { netns })
    await node().killAgent()
    await node().startAgent()
    expect(node().records()).toEqual(['c1/eth0 released'])
    node().store.isAway = false
    await node().untilAs(before)
  })

  test('the agent killed in the midst of DEL: repeated, it leaves nothing [cni 42, 43]', async () => {
    const netns = await node().newPod()
    const before = await node().leftovers()
    await plugin().run('ADD', { netns })
    node().at = (moment) =>
      moment === 'afterDetach' ? new Promise<void>((resolve) => setImmediate(() => void node().killAgent().then(resolve))) : undefined
    expect(await plugin().run('DEL', { netns })).toMatchObject({ exitStatus: 1, json: { code: 11 } })
    node().at = () => {}
    await node().startAgent()
    expect((await plugin().run('DEL', { netns })).exitStatus).toBe(0)
    await node().untilAs(before)
  })

  test('when the pool and everything in the configuration has changed it succeeds all the same [cni 44]', async () => {
    const netns = await node().newPod()
    const before = await node().leftovers()
    await plugin().run('ADD', { netns })
    node().configurePools([])
    expect(
      (await plugin().run('DEL', { netns, over: { mtu: 'x', ipam: { type: 'y' }, runtimeConfig: 7, prevResult: 'z' } })).exitStatus,
    ).toBe(0)
    await node().untilAs(before)
    node().configurePools()
    await until('addresses again', () => node().hasAddresses())
  })
})
