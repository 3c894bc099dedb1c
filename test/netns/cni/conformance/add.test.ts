// Statements 18 to 35: ADD.
import { expect, test } from '@jest/globals'
import { until } from '../../../support/poll.ts'
import type { Node } from './node.ts'
import { suiteOfBoth } from './suite.ts'

type Shown = {
  readonly ifname: string
  readonly mtu: number
  readonly address: string
  readonly flags: readonly string[]
  readonly addr_info: readonly {
    readonly local: string
    readonly prefixlen: number
    readonly scope: string
    readonly tentative?: boolean
  }[]
}

async function interfacesIn(node: Node, netns: string): Promise<readonly Shown[]> {
  return JSON.parse(await node.inPod(netns, '-json address show'))
}

suiteOfBoth('ADD', [], ({ node, plugin }, name) => {
  test('makes what its result says: interface, MAC, MTU, addresses usable at once, host end [cni 18, 22, 23, 26]', async () => {
    const netns = await node().newPod()
    const { json } = await plugin().run('ADD', { netns })
    const [host, pod] = json?.interfaces ?? []
    const eth0 = (await interfacesIn(node(), netns)).find(({ ifname }) => ifname === 'eth0')
    expect(eth0?.flags).toContain('UP')
    expect({ mac: eth0?.address, mtu: eth0?.mtu }).toEqual({ mac: pod?.mac, mtu: pod?.mtu })
    expect(pod?.sandbox).toBe(netns)
    expect(host?.sandbox).toBeUndefined()
    const global = eth0?.addr_info.filter(({ scope }) => scope === 'global') ?? []
    expect(global.map(({ local, prefixlen }) => `${local}/${prefixlen}`).sort()).toEqual(json?.ips?.map(({ address }) => address).sort())
    expect(global.some(({ tentative }) => tentative === true)).toBe(false)
    expect(json?.ips?.map((each) => each.interface)).toEqual([1, 1])
    const onHost: readonly Shown[] = JSON.parse(await node().net.ip('host', `-json link show ${host?.name}`))
    expect(onHost[0]?.address).toBe(host?.mac)
    for (const { address } of json?.ips ?? []) await node().net.exec('host', 'ping', ['-c1', '-W10', address.split('/')[0] ?? ''])
    await plugin().run('DEL', { netns })
  })

  test('pods reach one another, in both families, by the gateways of the result [cni 23, 24, 26]', async () => {
    const [a, b] = [await node().newPod(), await node().newPod()]
    const ofA = await plugin().run('ADD', { netns: a, containerId: 'a' })
    const ofB = await plugin().run('ADD', { netns: b, containerId: 'b' })
    for (const { address } of ofB.json?.ips ?? []) await node().execInPod(a, 'ping', ['-c1', '-W10', address.split('/')[0] ?? ''])
    for (const route of ofA.json?.routes ?? []) {
      const shown = await node().inPod(a, `${route.dst.includes(':') ? '-6 ' : ''}route show default`)
      expect(shown).toContain(`via ${route.gw}`)
    }
    await plugin().run('DEL', { netns: a, containerId: 'a' })
    await plugin().run('DEL', { netns: b, containerId: 'b' })
  })

  test('a name that is taken in the namespace: an error, and what has it stays [cni 19]', async () => {
    const netns = await node().newPod()
    const before = await node().leftovers()
    await node().inPod(netns, 'link add eth0 type bridge')
    const had = await node().inPod(netns, 'address show eth0')
    const { exitStatus, json } = await plugin().run('ADD', { netns })
    expect(exitStatus).toBe(1)
    expect(json).toMatchObject({ code: 101, msg: expect.stringContaining('eth0') })
    expect(await node().inPod(netns, 'address show eth0')).toBe(had)
    await node().untilAs(before)
  })

  test('no such namespace: code 3, nothing left [cni 20]', async () => {
    const before = await node().leftovers()
    expect((await plugin().run('ADD', { netns: '/run/netns/nowhere' })).json).toMatchObject({
      code: 3,
      msg: expect.stringContaining('/run/netns/nowhere'),
    })
    await node().untilAs(before)
  })

  test('the version of the answer is that of the request, field by field [cni 21, 22, 24, 25]', async () => {
    for (const cniVersion of ['0.3.1', '0.4.0', '1.0.0', '1.1.0']) {
      const netns = await node().newPod()
      const { json } = await plugin().run('ADD', { netns, over: { cniVersion, dns: { nameservers: ['10.96.0.10'] } } })
      expect(json?.cniVersion).toBe(cniVersion)
      expect(json?.interfaces?.[1]?.mtu).toBe(cniVersion === '1.1.0' ? 1480 : undefined)
      expect(json?.ips?.[0]?.version).toBe(cniVersion.startsWith('0.') ? '4' : undefined)
      expect(json?.dns).toEqual({ nameservers: ['10.96.0.10'] })
      await plugin().run('DEL', { netns, over: { cniVersion } })
    }
  })

  test('a prevResult of any supported version is extended, never rejected; without one it works too [cni 27, 28, 29]', async () => {
    for (const version of ['0.3.1', '0.4.0', '1.0.0', '1.1.0']) {
      const netns = await node().newPod()
      const ips = [{ ...(version.startsWith('0.') ? { version: '4' } : {}), address: '127.0.0.1/8', interface: 0 }]
      const prevResult = { cniVersion: version, interfaces: [{ name: 'lo', sandbox: netns }], ips, routes: [{ dst: '198.51.100.0/24' }] }
      const { json } = await plugin().run('ADD', { netns, over: { prevResult } })
      expect(json?.interfaces?.map(({ name }) => name)).toEqual(['lo', expect.stringMatching(/^fib/), 'eth0'])
      expect(json?.ips?.map((each) => each.interface)).toEqual([0, 2, 2])
      expect(json?.routes?.[0]).toEqual({ dst: '198.51.100.0/24' })
      await plugin().run('DEL', { netns, over: { prevResult: json } })
    }
  })

  test('what fails at any step leaves the node as it was [cni 31]', async () => {
    const netns = await node().newPod()
    const before = await node().leftovers()
    for (const failing of ['beforeAttach', 'afterAttach', 'afterAdmit'] as const) {
      node().at = (moment) => {
        if (moment === failing) throw new Error('broken')
      }
      expect((await plugin().run('ADD', { netns })).json?.msg).toContain('broken')
      await node().untilAs(before)
      expect((await interfacesIn(node(), netns)).map(({ ifname }) => ifname)).toEqual(['lo'])
    }
    node().at = () => {}
    expect((await plugin().run('ADD', { netns })).exitStatus).toBe(0)
    await plugin().run('DEL', { netns })
    await node().untilAs(before)
  })

  test('kill -9 of the plugin at any moment of ADD, then DEL: nothing left [cni 31, 42]', async () => {
    const netns = await node().newPod()
    const before = await node().leftovers()
    for (const moment of ['beforeAttach', 'afterAttach', 'afterAdmit'] as const) {
      const killed = new AbortController()
      node().at = (at) => {
        if (at === moment) killed.abort()
      }
      await plugin().run('ADD', { netns, signal: killed.signal })
      node().at = () => {}
      expect((await plugin().run('DEL', { netns })).exitStatus).toBe(0)
      await node().untilAs(before)
    }
  })

  test('the agent killed at any moment of ADD: the next one, or DEL, leaves nothing [cni 31, 42]', async () => {
    const netns = await node().newPod()
    const before = await node().leftovers()
    for (const moment of ['beforeAttach', 'afterAttach', 'afterAdmit'] as const)
      for (const withDel of [true, false]) {
        const reached = Promise.withResolvers<void>()
        node().at = (at) => {
          if (at === moment) reached.resolve()
          return at === moment ? new Promise<void>((resolve) => setImmediate(() => void node().killAgent().then(resolve))) : undefined
        }
        const added = plugin().run('ADD', { netns })
        await reached.promise
        expect((await added).json?.code).toBe(11)
        node().at = () => {}
        await node().startAgent()
        if (withDel) expect((await plugin().run('DEL', { netns })).exitStatus).toBe(0)
        await node().untilAs(before)
      }
  })

  test('a second ADD is refused and harms nothing [cni 32]', async () => {
    const netns = await node().newPod()
    const before = await node().leftovers()
    const { json } = await plugin().run('ADD', { netns })
    const made = await node().leftovers()
    expect((await plugin().run('ADD', { netns })).json?.code).toBe(101)
    await node().untilAs(made)
    for (const { address } of json?.ips ?? []) await node().net.exec('host', 'ping', ['-c1', '-W10', address.split('/')[0] ?? ''])
    await plugin().run('DEL', { netns })
    await node().untilAs(before)
  })

  test('another interface of the same container comes and goes by itself [cni 33]', async () => {
    const netns = await node().newPod()
    await plugin().run('ADD', { netns })
    const one = await node().leftovers()
    const second = await plugin().run('ADD', { netns, ifName: 'net1' })
    expect(second.exitStatus).toBe(0)
    expect((await interfacesIn(node(), netns)).map(({ ifname }) => ifname).sort()).toEqual(['eth0', 'lo', 'net1'])
    await plugin().run('DEL', { netns, ifName: 'net1' })
    await node().untilAs(one)
    await plugin().run('DEL', { netns })
  })

  const many = name === 'shim' ? 100 : 20 // each of the others is a Node process
  test('many at once: distinct addresses, all of them deleted again [cni 34, 60]', async () => {
    const before = await node().leftovers()
    const namespaces: string[] = []
    for (let at = 0; at < many; at++) namespaces.push(await node().newPod())
    const all = (command: string) => Promise.all(namespaces.map((netns, at) => plugin().run(command, { netns, containerId: `many${at}` })))
    const added = await all('ADD')
    expect(added.map(({ exitStatus }) => exitStatus)).toEqual(namespaces.map(() => 0))
    expect(new Set(added.flatMap(({ json }) => json?.ips?.map(({ address }) => address) ?? [])).size).toBe(2 * many)
    expect((await all('DEL')).every(({ exitStatus }) => exitStatus === 0)).toBe(true)
    await node().untilAs(before)
    for (const netns of namespaces) await node().removePod(netns)
  })

  test('returns only when the pod’s policy is in [cni 35]', async () => {
    const netns = await node().newPod()
    const admitted = Promise.withResolvers<void>()
    let isAdmitting = false
    node().at = (moment) => {
      if (moment !== 'afterAdmit') return undefined
      isAdmitting = true
      return admitted.promise
    }
    let isAnswered = false
    const adding = plugin()
      .run('ADD', { netns })
      .finally(() => {
        isAnswered = true
      })
    await until('the gate is asked', () => isAdmitting)
    expect(node().records()).toEqual(['c1/eth0 assigned'])
    expect(isAnswered).toBe(false)
    admitted.resolve()
    expect((await adding).exitStatus).toBe(0)
    node().at = () => {}
    await plugin().run('DEL', { netns })
  })

  test('requested addresses and MAC are honoured or refused [cni 58]', async () => {
    const netns = await node().newPod()
    const runtimeConfig = { ips: ['10.244.99.9/16', 'fd00:244::9999'], mac: '0a:58:0a:f4:63:09' }
    const { json } = await plugin().run('ADD', { netns, over: { runtimeConfig } })
    expect(json?.ips?.map(({ address }) => address)).toEqual(['10.244.99.9/32', 'fd00:244::9999/128'])
    expect(json?.interfaces?.[1]?.mac).toBe('0a:58:0a:f4:63:09')
    const other = await node().newPod()
    expect((await plugin().run('ADD', { netns: other, containerId: 'c2', over: { runtimeConfig } })).json).toMatchObject({
      code: 102,
      msg: expect.stringContaining('10.244.99.9'),
    })
    expect(
      (await plugin().run('ADD', { netns: other, containerId: 'c2', over: { runtimeConfig: { ips: ['203.0.113.1'] } } })).json?.code,
    ).toBe(102)
    await plugin().run('DEL', { netns })
  })
})
