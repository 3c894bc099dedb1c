// Statements 45 to 56: CHECK, STATUS, GC.
import { expect, test } from '@jest/globals'
import type { Execution } from './plugins.ts'
import { suiteOfBoth } from './suite.ts'

suiteOfBoth('CHECK', [], ({ node, plugin }) => {
  async function added(
    containerId = 'c1',
  ): Promise<{ readonly netns: string; readonly result: Execution['json']; check(): Promise<Execution>; remove(): Promise<void> }> {
    const netns = await node().newPod()
    const result = (await plugin().run('ADD', { netns, containerId })).json
    return {
      netns,
      result,
      check: () => plugin().run('CHECK', { netns, containerId, over: { prevResult: result } }),
      remove: async () => void (await plugin().run('DEL', { netns, containerId })),
    }
  }

  test('right after ADD it succeeds, prints nothing and changes nothing [cni 45, 49, 50]', async () => {
    const pod = await added()
    const before = await node().leftovers()
    expect(await pod.check()).toMatchObject({ exitStatus: 0, stdout: '' })
    expect(await node().leftovers()).toBe(before)
    await pod.remove()
  })

  test('an interface that is down, lacks an address, or is gone is said [cni 46]', async () => {
    for (const [damage, said] of [
      ['link set eth0 down', 'eth0'],
      ['address flush dev eth0 scope global', '10.244.'],
      ['link del eth0', 'eth0'],
    ] as const) {
      const pod = await added()
      await node().inPod(pod.netns, damage)
      expect((await pod.check()).json).toMatchObject({ code: 103, msg: expect.stringContaining(said) })
      await pod.remove()
    }
  })

  test('a route of ours that is gone is said; others and settings of later plugins are tolerated [cni 47]', async () => {
    const pod = await added()
    await node().inPod(pod.netns, 'route add 198.51.100.0/24 dev eth0')
    await node().inPod(pod.netns, 'link set eth0 mtu 1400')
    await node().inPod(pod.netns, 'address add 203.0.113.7/32 dev eth0')
    expect(await pod.check()).toMatchObject({ exitStatus: 0, stdout: '' })
    await node().inPod(pod.netns, 'route del default')
    expect((await pod.check()).json).toMatchObject({ code: 103, msg: expect.stringContaining('route') })
    await pod.remove()
  })

  test('what is missing on the node’s side is said: host end, host route, reservation [cni 48]', async () => {
    const pod = await added()
    const [v4 = ''] = pod.result?.ips?.map(({ address }) => address) ?? []
    const host = pod.result?.interfaces?.[0]?.name ?? ''
    await node().net.ip('host', `route del ${v4}`)
    expect((await pod.check()).json).toMatchObject({ code: 103, msg: expect.stringContaining(v4.slice(0, -3)) })
    await node().net.ip('host', `link set ${host} down`)
    expect((await pod.check()).json).toMatchObject({ code: 103, msg: expect.stringContaining(host) })
    await pod.remove()
    expect((await pod.check()).json).toMatchObject({ code: 103, msg: expect.stringContaining('no attachment') })
  })

  test('prevResult is needed, and a version that has CHECK [cni 49]', async () => {
    const pod = await added()
    expect((await plugin().run('CHECK', { netns: pod.netns })).json?.code).toBe(7)
    expect((await plugin().run('CHECK', { netns: pod.netns, over: { cniVersion: '0.3.1', prevResult: {} } })).json?.code).toBe(1)
    await pod.remove()
  })
})

suiteOfBoth('STATUS', [], ({ node, plugin }) => {
  test('needs version 1.1.0 and no variables; says ready by saying nothing [cni 51, 52]', async () => {
    for (const cniVersion of ['0.4.0', '1.0.0']) expect((await plugin().run('STATUS', { over: { cniVersion } })).json?.code).toBe(1)
    expect(await plugin().raw({ CNI_COMMAND: 'STATUS' }, JSON.stringify(node().config))).toMatchObject({ exitStatus: 0, stdout: '' })
  })

  test('not ready: 50, with pods impaired 51, pools exhausted 50; without side effects [cni 52, 53]', async () => {
    const before = await node().leftovers()
    node().unreadiness = { reason: 'waiting for the first list of pools', impairsRunningPods: false }
    expect((await plugin().run('STATUS')).json).toMatchObject({ cniVersion: '1.1.0', code: 50, msg: 'waiting for the first list of pools' })
    node().unreadiness = { reason: 'no route is written', impairsRunningPods: true }
    expect((await plugin().run('STATUS')).json).toMatchObject({ code: 51 })
    node().unreadiness = null
    node().configurePools([])
    expect((await plugin().run('STATUS')).json?.code).toBe(50)
    node().configurePools()
    expect(await node().leftovers()).toBe(before)
  })

  test('ADD and DEL are tried when STATUS is bad [cni 53]', async () => {
    node().unreadiness = { reason: 'not yet', impairsRunningPods: true }
    const netns = await node().newPod()
    expect((await plugin().run('ADD', { netns })).exitStatus).toBe(0)
    expect((await plugin().run('DEL', { netns })).exitStatus).toBe(0)
    node().unreadiness = null
  })
})

suiteOfBoth('GC', [], ({ node, plugin }) => {
  const gc = (valid: unknown): Promise<Execution> => plugin().run('GC', { over: { 'cni.dev/valid-attachments': valid } })

  test('removes what is not listed by container and interface, of this network only; again and again [cni 54, 55, 56]', async () => {
    const netns = await node().newPod()
    await plugin().run('ADD', { netns, containerId: 'keep' })
    await plugin().run('ADD', { netns, containerId: 'theirs', ifName: 'net9', over: { name: 'other' } })
    const kept = await node().leftovers()
    await plugin().run('ADD', { netns, containerId: 'keep', ifName: 'net1' })
    await plugin().run('ADD', { netns, containerId: 'lost', ifName: 'net2' })
    for (let time = 0; time < 2; time++) {
      expect(await gc([{ containerID: 'keep', ifname: 'eth0' }])).toMatchObject({ exitStatus: 0, stdout: '' })
      await node().untilAs(kept)
    }
    expect((await gc(undefined)).json?.code).toBe(7)
    expect((await gc('all')).json?.code).toBe(7)
    await node().untilAs(kept)
    expect(await gc([])).toMatchObject({ exitStatus: 0, stdout: '' })
    expect(
      node()
        .records()
        .filter((record) => !record.endsWith('released')),
    ).toEqual(['theirs/net9 attached'])
    await plugin().run('DEL', { netns, containerId: 'theirs', ifName: 'net9', over: { name: 'other' } })
  })

  test('of an attachment whose namespace is gone it removes the rest [cni 54]', async () => {
    const before = await node().leftovers()
    const netns = await node().newPod()
    await plugin().run('ADD', { netns })
    await node().removePod(netns)
    expect((await gc([])).exitStatus).toBe(0)
    await node().untilAs(before)
  })

  test('a single failure is reported and the rest is done [cni 56]', async () => {
    const netns = await node().newPod()
    const before = await node().leftovers()
    await plugin().run('ADD', { netns, containerId: 'a', ifName: 'net1' })
    await plugin().run('ADD', { netns, containerId: 'b', ifName: 'net2' })
    let left = 1
    node().at = (moment) => {
      if (moment === 'afterDetach' && left-- > 0) throw new Error('broken')
    }
    expect((await gc([])).json).toMatchObject({ code: 104, details: expect.stringContaining('broken') })
    node().at = () => {}
    expect((await gc([])).exitStatus).toBe(0)
    await node().untilAs(before)
  })

  test('in the midst of ADDs and DELs it takes none of what is being added [cni 60]', async () => {
    const before = await node().leftovers()
    const namespaces = await Promise.all(Array.from({ length: 10 }, () => node().newPod()))
    const adding = namespaces.map((netns, at) => plugin().run('ADD', { netns, containerId: `g${at}` }))
    const collecting = Array.from({ length: 3 }, () => gc(namespaces.map((_, at) => ({ containerID: `g${at}`, ifname: 'eth0' }))))
    for (const { exitStatus } of await Promise.all([...adding, ...collecting])) expect(exitStatus).toBe(0)
    expect(
      node()
        .records()
        .filter((record) => record.endsWith('attached')),
    ).toHaveLength(10)
    await Promise.all([gc([]), ...namespaces.map((netns, at) => plugin().run('DEL', { netns, containerId: `g${at}` }))])
    await node().untilAs(before)
  })
})
