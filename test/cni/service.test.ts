import { chmod } from 'node:fs/promises'
import { describe, expect, test } from '@jest/globals'
import { hostInterfaceOf } from '../../src/cni/index.ts'
import { JournalError } from '../../src/cni/journal.ts'
import { formatIp, ip } from '../../src/net/index.ts'
import { CONFIG, environment, MAC, NETNS, type Step, settle, World } from './world.ts'

const HOST = hostInterfaceOf({ containerId: 'c1', ifName: 'eth0' })
const POD_ARGS = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0;K8S_POD_UID=u1;Other=x'

describe('ADD', () => {
  test('returns host and pod end, both families, gateways and default routes [cni 18, 22, 23, 26]', async () => {
    await using world = await World.create()
    const { exitStatus, json } = await world.agent.call(environment('ADD'), CONFIG)
    expect(exitStatus).toBe(0)
    expect(json).toEqual({
      cniVersion: '1.1.0',
      interfaces: [
        { name: HOST, mac: 'ee:ee:ee:ee:ee:ee' },
        { name: 'eth0', mac: MAC, mtu: 1480, sandbox: NETNS },
      ],
      ips: [
        { interface: 1, address: '10.244.0.2/32', gateway: '169.254.1.1' },
        { interface: 1, address: 'fd00:244::2/128', gateway: 'fe80::ecee:eeff:feee:eeee' },
      ],
      routes: [
        { dst: '0.0.0.0/0', gw: '169.254.1.1' },
        { dst: '::/0', gw: 'fe80::ecee:eeff:feee:eeee' },
      ],
      dns: {},
    })
    expect(world.agent.journal.all().map(({ state }) => state)).toEqual(['attached'])
    expect([...world.gates]).toEqual([HOST])
    expect(world.agent.ended).toEqual([{ command: 'ADD', code: null, durationMs: 0 }])
  })

  test('passes pod, namespace labels, annotations and handle to IPAM [cni 14]', async () => {
    await using world = await World.create()
    world.pods.set('shop/cart-0', {
      annotations: { 'fibula.network/ip-addrs': '["10.244.9.9"]', 'fibula.network/ipv4-pools': '["fast", "10.9.0.0/16"]' },
      namespaceLabels: { team: 'a' },
    })
    await world.agent.call({ ...environment('ADD'), CNI_ARGS: POD_ARGS }, CONFIG)
    expect(world.agent.requests).toEqual([
      {
        handle: 'fibula.c1.eth0',
        pod: { namespace: 'shop', name: 'cart-0' },
        namespaceLabels: { team: 'a' },
        requested: [ip('10.244.9.9')],
        pools: { ipv4: ['fast', '10.9.0.0/16'], ipv6: null },
      },
    ])
  })

  test('runtimeConfig.ips stands above the annotation, runtimeConfig.mac reaches the link, mtu is the configured one [cni 58]', async () => {
    await using world = await World.create()
    world.pods.set('shop/cart-0', { annotations: { 'fibula.network/ip-addrs': '["10.244.9.9"]' }, namespaceLabels: null })
    const runtimeConfig = { ips: ['10.244.3.4/24', 'fd00::7'], mac: '0A:00:00:00:00:01', portMappings: [] }
    const { json } = await world.agent.call({ ...environment('ADD'), CNI_ARGS: POD_ARGS }, { ...CONFIG, runtimeConfig, mtu: 1400 })
    expect(world.agent.requests[0]?.requested.map(formatIp)).toEqual(['10.244.3.4', 'fd00::7'])
    expect(world.links.get(HOST)).toMatchObject({ mac: '0a:00:00:00:00:01', mtu: 1400 })
    expect(json?.interfaces[1]).toMatchObject({ mac: '0a:00:00:00:00:01', mtu: 1400 })
  })

  test('a malformed annotation is named, and nothing is taken', async () => {
    await using world = await World.create()
    world.pods.set('shop/cart-0', { annotations: { 'fibula.network/ipv6-pools': 'fast' }, namespaceLabels: null })
    const { json } = await world.agent.call({ ...environment('ADD'), CNI_ARGS: POD_ARGS }, CONFIG)
    expect(json).toMatchObject({ code: 105 })
    expect(json?.msg).toContain('fibula.network/ipv6-pools')
    expect(world.leftovers()).toEqual([])
  })

  test('a second ADD of the same attachment is refused and the first stays as it is [cni 32]', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD'), CONFIG)
    const before = world.leftovers()
    const { exitStatus, json } = await world.agent.call(environment('ADD'), CONFIG)
    expect(exitStatus).toBe(1)
    expect(json).toMatchObject({ cniVersion: '1.1.0', code: 101 })
    expect(world.leftovers()).toEqual(before)
  })

  test('of two at the same time one wins, and GC may run after both', async () => {
    await using world = await World.create()
    const replies = await Promise.all([0, 1].map(() => world.agent.call(environment('ADD'), CONFIG)))
    expect(replies.map(({ exitStatus }) => exitStatus)).toEqual([0, 1])
    await world.agent.call(environment('GC'), { ...CONFIG, 'cni.dev/valid-attachments': [] })
    await settle(() => world.leftovers().length === 0)
  })

  test('another interface of the same container is an attachment of its own [cni 33]', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD'), CONFIG)
    await world.agent.call(environment('ADD', 'c1', 'net1'), CONFIG)
    await world.agent.call(environment('DEL', 'c1', 'net1'), CONFIG)
    await settle(() => world.agent.allocated.size === 1)
    expect([...world.links.keys()]).toEqual([HOST])
  })

  test('a result of plugins before us is kept, in order, and ours comes behind it [cni 27, 28]', async () => {
    await using world = await World.create()
    const prevResult = {
      cniVersion: '0.4.0',
      interfaces: [{ name: 'lo', sandbox: NETNS }],
      ips: [{ version: '4', address: '127.0.0.1/8', interface: 0 }],
      routes: [{ dst: '10.0.0.0/8' }],
      dns: { nameservers: ['10.96.0.10'] },
    }
    const { json } = await world.agent.call(environment('ADD'), { ...CONFIG, prevResult })
    expect(json?.interfaces.map(({ name }) => name)).toEqual(['lo', HOST, 'eth0'])
    expect(json?.ips.map((each) => [each.interface, each.address])).toEqual([
      [0, '127.0.0.1/8'],
      [2, '10.244.0.2/32'],
      [2, 'fd00:244::2/128'],
    ])
    expect(json?.ips[0]).not.toHaveProperty('version')
    expect(json?.routes[0]).toEqual({ dst: '10.0.0.0/8' })
    expect(json?.dns).toEqual({ nameservers: ['10.96.0.10'] })
  })

  test.each([
    ['exhausted', 102],
    ['noPool', 102],
    ['refused', 102],
    ['taken', 102],
    ['unavailable', 11],
  ] as const)('IPAM says %s: code %i with its words [cni 9]', async (kind, code) => {
    await using world = await World.create()
    world.agent.assignFault = { kind, message: 'pool pods: 64 of 64 addresses in use: add a pool' }
    const { json } = await world.agent.call(environment('ADD'), CONFIG)
    expect(json).toEqual({ cniVersion: '1.1.0', code, msg: 'pool pods: 64 of 64 addresses in use: add a pool' })
    expect(world.leftovers()).toEqual([])
  })

  test.each([
    ['namespaceGone', 3],
    ['sameNamespace', 4],
    ['interfaceExists', 101],
    ['failed', 100],
  ] as const)('wiring says %s: code %i, and everything is given back [cni 12, 19, 20, 31]', async (kind, code) => {
    await using world = await World.create()
    world.agent.wiringFault = { kind, message: 'EPERM' }
    const { json } = await world.agent.call(environment('ADD'), CONFIG)
    expect(json?.code).toBe(code)
    await settle(() => world.leftovers().length === 0)
  })

  const STEPS: readonly Step[] = ['lookUp', 'assign', 'put', 'attach', 'admit']
  test.each(STEPS.flatMap((step) => [false, true].map((after) => [step, after] as const)))(
    'a failure at %s (after it took effect: %s) leaves nothing [cni 31]',
    async (failing, failsAfter) => {
      await using world = await World.create()
      let left = 1
      world.agent.onStep = (step, after) => {
        if (step === failing && after === failsAfter && left-- > 0) throw new Error('broken')
      }
      const { exitStatus, json } = await world.agent.call({ ...environment('ADD'), CNI_ARGS: POD_ARGS }, CONFIG)
      expect(exitStatus).toBe(1)
      expect(json?.msg).toContain('broken')
      await settle(() => world.leftovers().length === 0)
      world.agent.onStep = () => {}
      expect((await world.agent.call(environment('ADD'), CONFIG)).exitStatus).toBe(0)
    },
  )

  test('the record `attached` cannot be written: code 5 naming the remedy, and all is undone [cni 31]', async () => {
    await using world = await World.create()
    let puts = 0
    world.agent.onStep = (step, after) => {
      if (step === 'put' && !after && puts++ === 1) throw new JournalError('cannot write the state directory: ENOSPC; free space', null)
    }
    const { json } = await world.agent.call(environment('ADD'), CONFIG)
    expect(json).toMatchObject({ code: 5, msg: 'cannot write the state directory: ENOSPC; free space' })
    await settle(() => world.leftovers().length === 0)
  })

  test('what could not even be undone is, by the next ADD [cni 31, 42]', async () => {
    await using world = await World.create()
    world.agent.onStep = (step, after) => {
      if (step === 'admit' && !after) throw new Error('no policy')
      if (step === 'detach') throw new Error('EBUSY')
    }
    expect((await world.agent.call(environment('ADD'), CONFIG)).json?.msg).toContain('no policy')
    expect(world.agent.journal.all().map(({ state }) => state)).toEqual(['assigned'])
    world.agent.onStep = () => {}
    expect((await world.agent.call(environment('ADD'), CONFIG)).exitStatus).toBe(0)
    expect(world.leftovers()).toHaveLength(4)
  })

  test('past its deadline it is given up with code 11 and undone', async () => {
    await using world = await World.create()
    let admitting = false
    world.agent.onStep = (step) => {
      if (step !== 'admit' || admitting) return undefined
      admitting = true
      return new Promise((resolve) => {
        world.agent.clock.after(60_001, () => resolve(undefined))
      })
    }
    const added = world.agent.call(environment('ADD'), CONFIG)
    await settle(() => admitting)
    world.agent.clock.advance(60_001)
    const { json } = await added
    expect(json).toMatchObject({ code: 11, msg: 'ADD given up: not finished within 60 s' })
    world.agent.onStep = () => {}
    await settle(() => world.leftovers().length === 0)
    expect(world.agent.clock.armed).toBe(0)
  })

  test('a plugin that is killed takes its ADD with it', async () => {
    await using world = await World.create()
    const gone = new AbortController()
    world.agent.onStep = (step, after) => {
      if (step === 'attach' && after) gone.abort(new Error('the plugin has gone'))
    }
    await world.agent.call(environment('ADD'), CONFIG, gone.signal)
    await settle(() => world.leftovers().length === 0)
  })

  test('fifty at once get distinct addresses, with no more at work than allowed [cni 34]', async () => {
    await using world = await World.create()
    const replies = await Promise.all(Array.from({ length: 100 }, (_, at) => world.agent.call(environment('ADD', `c${at}`), CONFIG)))
    const given = replies.map(({ json }) => json?.ips[0]?.address)
    expect(new Set(given).size).toBe(100)
  })

  test('after a DEL whose addresses the store has yet to learn of, ADD waits for that', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD'), CONFIG)
    world.agent.storeGoes()
    await world.agent.call(environment('DEL'), CONFIG)
    const again = world.agent.call(environment('ADD'), CONFIG)
    world.agent.storeReturns()
    expect((await again).json?.ips[0]?.address).toBe('10.244.0.3/32')
  })
})

describe('DEL', () => {
  test('removes link, gate and addresses, and prints nothing; again and again [cni 11, 36, 37]', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD'), CONFIG)
    for (let time = 0; time < 3; time++) {
      expect(await world.agent.call(environment('DEL'), CONFIG)).toEqual({ exitStatus: 0, stdout: '', json: null })
      await settle(() => world.leftovers().length === 0)
    }
  })

  test('without any ADD it succeeds and leaves nothing [cni 38]', async () => {
    await using world = await World.create()
    expect((await world.agent.call(environment('DEL', 'never'), CONFIG)).exitStatus).toBe(0)
    await settle(() => world.leftovers().length === 0)
  })

  test.each([[''], ['/run/netns/gone']])('with the namespace %j it releases all the same [cni 39]', async (netns) => {
    await using world = await World.create()
    await world.agent.call(environment('ADD'), CONFIG)
    world.namespaces.clear()
    expect((await world.agent.call(environment('DEL', 'c1', 'eth0', netns), CONFIG)).exitStatus).toBe(0)
    await settle(() => world.leftovers().length === 0)
  })

  test('a prevResult of another container, or a malformed one, changes nothing [cni 40, 41]', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD', 'other'), CONFIG)
    await world.agent.call(environment('ADD'), CONFIG)
    const prevResult = { cniVersion: '1.1.0', ips: [{ address: '10.244.0.2/32' }], interfaces: 'x' }
    expect((await world.agent.call(environment('DEL'), { ...CONFIG, prevResult, mtu: 'wrong', ipam: { type: 'x' } })).exitStatus).toBe(0)
    await settle(() => world.agent.allocated.size === 1)
    expect([...world.agent.allocated.keys()]).toEqual(['fibula.other.eth0'])
  })

  test('answers while the store is away; the addresses go back when it returns [cni 43]', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD'), CONFIG)
    world.agent.storeGoes()
    expect((await world.agent.call(environment('DEL'), CONFIG)).exitStatus).toBe(0)
    expect((await world.agent.call(environment('DEL'), CONFIG)).exitStatus).toBe(0)
    expect(world.agent.journal.all().map(({ state }) => state)).toEqual(['released'])
    world.agent.storeReturns()
    await settle(() => world.leftovers().length === 0)
  })

  test('what the store has not learnt of is told by the next agent [cni 43]', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD'), CONFIG)
    world.agent.storeGoes()
    await world.agent.call(environment('DEL'), CONFIG)
    await world.restart({ isStoreAway: true })
    expect(world.leftovers()).toEqual(['addresses of fibula.c1.eth0: 10.244.0.2,fd00:244::2', 'record c1/eth0 released'])
    world.agent.storeReturns()
    await settle(() => world.leftovers().length === 0)
  })

  test('a release that fails is tried again, later and later', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD'), CONFIG)
    let failures = 0
    world.agent.onStep = (step, after) => {
      if (step === 'release' && !after && failures++ < 3) throw new Error('conflict')
    }
    await world.agent.call(environment('DEL'), CONFIG)
    for (let time = 1; time <= 3; time++) {
      await settle(() => failures === time && world.agent.clock.armed === 1)
      world.agent.clock.advance(60_000)
    }
    await settle(() => world.leftovers().length === 0)
    expect(world.agent.clock.armed).toBe(0)
  })

  test('a link that does not go away: an error, the record stays, and the next DEL finishes [cni 42]', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD'), CONFIG)
    world.agent.onStep = (step) => {
      if (step === 'detach') throw new Error('EBUSY')
    }
    expect((await world.agent.call(environment('DEL'), CONFIG)).json).toMatchObject({ code: 100, msg: 'removing the link: EBUSY' })
    world.agent.onStep = () => {}
    expect((await world.agent.call(environment('DEL'), CONFIG)).exitStatus).toBe(0)
    await settle(() => world.leftovers().length === 0)
  })

  test('a full disk does not keep a pod: DEL answers when IPAM has the addresses', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD'), CONFIG)
    world.agent.onStep = (step) => {
      if (step === 'put') throw new JournalError('ENOSPC', null)
    }
    expect((await world.agent.call(environment('DEL'), CONFIG)).exitStatus).toBe(0)
    expect(world.leftovers()).toEqual([])
  })

  test('a read-only state directory: code 5, and no address is freed that the next start would still hold', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD'), CONFIG)
    await chmod(world.directory, 0o500)
    world.agent.onStep = (step) => {
      if (step === 'put' || step === 'remove') throw new JournalError('EROFS', null)
    }
    expect((await world.agent.call(environment('DEL'), CONFIG)).json).toMatchObject({ code: 5, msg: 'EROFS' })
    expect(world.agent.allocated.size).toBe(1)
    await chmod(world.directory, 0o700)
    world.agent.onStep = () => {}
    expect((await world.agent.call(environment('DEL'), CONFIG)).exitStatus).toBe(0)
    await settle(() => world.leftovers().length === 0)
  })

  test('is finished although its plugin has gone', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD'), CONFIG)
    const gone = new AbortController()
    gone.abort()
    await world.agent.call(environment('DEL'), CONFIG, gone.signal)
    await settle(() => world.leftovers().length === 0)
  })
})

describe('CHECK', () => {
  async function added(): Promise<{ world: World; prevResult: unknown }> {
    const world = await World.create()
    return { world, prevResult: (await world.agent.call(environment('ADD'), CONFIG)).json }
  }

  test('right after ADD all is well, and nothing is printed or changed [cni 45, 49, 50]', async () => {
    const { world, prevResult } = await added()
    await using _world = world
    const before = world.leftovers()
    expect(await world.agent.call(environment('CHECK'), { ...CONFIG, prevResult })).toEqual({ exitStatus: 0, stdout: '', json: null })
    expect(world.leftovers()).toEqual(before)
  })

  test('what wiring finds is said [cni 46, 47, 48]', async () => {
    const { world, prevResult } = await added()
    await using _world = world
    world.agent.checkFaults = ['eth0 is down', 'no route to 169.254.1.1']
    const { json } = await world.agent.call(environment('CHECK'), { ...CONFIG, prevResult })
    expect(json).toMatchObject({ code: 103, msg: 'eth0 is not as ADD left it: eth0 is down; no route to 169.254.1.1' })
  })

  test('an address of prevResult that the pod does not hold, or lacks, is said [cni 46]', async () => {
    const { world, prevResult } = await added()
    await using _world = world
    const changed = structuredClone(prevResult) as { ips: { address: string }[] }
    if (changed.ips[0] !== undefined) changed.ips[0].address = '10.244.0.77/32'
    const { json } = await world.agent.call(environment('CHECK'), { ...CONFIG, prevResult: changed })
    expect(json?.msg).toContain('10.244.0.77')
    expect(json?.msg).toContain('10.244.0.2')
  })

  test('an attachment of which the node knows nothing fails [cni 48]', async () => {
    const { world, prevResult } = await added()
    await using _world = world
    const { json } = await world.agent.call(environment('CHECK', 'c2'), { ...CONFIG, prevResult })
    expect(json).toMatchObject({ code: 103 })
  })

  test('what later plugins of the chain have added is no fault [cni 47]', async () => {
    const { world, prevResult } = await added()
    await using _world = world
    const extended = structuredClone(prevResult) as { interfaces: unknown[]; routes: unknown[] }
    extended.interfaces.push({ name: 'ifb0' })
    extended.routes.push({ dst: '192.0.2.0/24' })
    expect((await world.agent.call(environment('CHECK'), { ...CONFIG, prevResult: extended })).exitStatus).toBe(0)
  })
})

describe('STATUS', () => {
  test('ready: nothing printed; not ready: 50; running pods too: 51; IPAM without addresses: 50 [cni 51, 52]', async () => {
    await using world = await World.create()
    const status = () => world.agent.call({ CNI_COMMAND: 'STATUS' }, CONFIG)
    expect(await status()).toEqual({ exitStatus: 0, stdout: '', json: null })
    world.agent.unreadiness = { reason: 'not synced', impairsRunningPods: false }
    expect((await status()).json).toEqual({ cniVersion: '1.1.0', code: 50, msg: 'not synced' })
    world.agent.unreadiness = { reason: 'dataplane stuck', impairsRunningPods: true }
    expect((await status()).json).toMatchObject({ code: 51, msg: 'dataplane stuck' })
    world.agent.unreadiness = null
    world.agent.ipamUnready = 'pool pods is exhausted'
    expect((await status()).json).toMatchObject({ code: 50, msg: 'pool pods is exhausted' })
  })

  test('is logged when it changes, not every time a runtime asks', async () => {
    await using world = await World.create()
    const status = () => world.agent.call({ CNI_COMMAND: 'STATUS' }, CONFIG)
    await status()
    for (const reason of ['not synced', 'not synced', 'no pools']) {
      world.agent.unreadiness = { reason, impairsRunningPods: false }
      await status()
    }
    world.agent.unreadiness = null
    for (let time = 0; time < 2; time++) await status()
    expect(world.agent.logged).toEqual(['cni.status.unready', 'cni.status.unready', 'cni.status.ready'])
  })

  test('when it is bad, ADD and DEL are tried all the same [cni 53]', async () => {
    await using world = await World.create()
    world.agent.unreadiness = { reason: 'not synced', impairsRunningPods: true }
    expect((await world.agent.call(environment('ADD'), CONFIG)).exitStatus).toBe(0)
    expect((await world.agent.call(environment('DEL'), CONFIG)).exitStatus).toBe(0)
  })
})

describe('GC', () => {
  const gc = (world: World, valid: readonly { containerID: string; ifname: string }[], name = 'fibula') =>
    world.agent.call({ CNI_COMMAND: 'GC', CNI_PATH: '/x' }, { ...CONFIG, name, 'cni.dev/valid-attachments': valid })

  test('keeps what is listed by container and interface, removes the rest of this network, again and again [cni 54, 55, 56]', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD', 'keep'), CONFIG)
    await world.agent.call(environment('ADD', 'keep', 'net1'), CONFIG)
    await world.agent.call(environment('ADD', 'lost'), CONFIG)
    await world.agent.call(environment('ADD', 'elsewhere'), { ...CONFIG, name: 'other' })
    for (let time = 0; time < 2; time++) {
      expect(await gc(world, [{ containerID: 'keep', ifname: 'eth0' }])).toEqual({ exitStatus: 0, stdout: '', json: null })
      await settle(() => world.agent.journal.all().length === 2)
      expect([...world.agent.allocated.keys()].sort()).toEqual(['fibula.keep.eth0', 'other.elsewhere.eth0'])
    }
    expect((await gc(world, [])).exitStatus).toBe(0)
    await settle(() => world.agent.journal.all().length === 1)
  })

  test('goes on past what it cannot remove, and says so [cni 56]', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD', 'a'), CONFIG)
    await world.agent.call(environment('ADD', 'b'), CONFIG)
    let left = 1
    world.agent.onStep = (step) => {
      if (step === 'detach' && left-- > 0) throw new Error('EBUSY')
    }
    const { json } = await gc(world, [])
    expect(json).toMatchObject({ code: 104, msg: '1 of 2 attachments could not be removed; run GC again' })
    expect(json?.details).toContain('EBUSY')
    expect(world.links.size).toBe(1)
  })

  test('waits for a DEL that runs, and leaves alone what is being added [cni 60]', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD', 'old'), CONFIG)
    const held: (() => void)[] = []
    world.agent.onStep = (step, after) =>
      after && (step === 'attach' || step === 'detach') ? new Promise<void>((resolve) => held.push(resolve)) : undefined
    const adding = world.agent.call(environment('ADD', 'new'), CONFIG)
    const deleting = world.agent.call(environment('DEL', 'old'), CONFIG)
    await settle(() => held.length === 2)
    world.agent.onStep = (step) => {
      if (step === 'detach') throw new Error('removed already')
    }
    const collecting = gc(world, [])
    for (const go of held) go()
    const replies = await Promise.all([adding, deleting, collecting])
    expect(replies.map(({ exitStatus }) => exitStatus)).toEqual([0, 0, 0])
    await settle(() => world.agent.journal.all().length === 1)
    expect([...world.agent.allocated.keys()]).toEqual(['fibula.new.eth0'])
  })
})

test('GC that comes when ADD has all but answered leaves its pod alone [cni 60]', async () => {
  await using world = await World.create()
  let collecting: Promise<unknown> = Promise.resolve()
  let puts = 0
  world.agent.onStep = (step, after) => {
    if (step !== 'put' || !after || ++puts !== 2) return
    collecting = world.agent.call(environment('GC'), { ...CONFIG, 'cni.dev/valid-attachments': [] })
  }
  expect((await world.agent.call(environment('ADD'), CONFIG)).exitStatus).toBe(0)
  expect(await collecting).toMatchObject({ exitStatus: 0 })
  expect(world.agent.journal.all().map(({ state }) => state)).toEqual(['attached'])
})

test('VERSION needs nothing and changes nothing [cni 15, 16, 17]', async () => {
  await using world = await World.create()
  const supportedVersions = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']
  expect((await world.agent.call({ CNI_COMMAND: 'VERSION' }, '')).json).toEqual({ cniVersion: '1.1.0', supportedVersions })
  expect((await world.agent.call({ CNI_COMMAND: 'VERSION' }, { cniVersion: '7.0.0' })).json).toEqual({
    cniVersion: '7.0.0',
    supportedVersions,
  })
  expect(world.leftovers()).toEqual([])
})

test('a stopping agent ends its ADDs with code 11 and lets a DEL finish', async () => {
  await using world = await World.create()
  await world.agent.call(environment('ADD', 'old'), CONFIG)
  const held: (() => void)[] = []
  world.agent.onStep = (step, after) =>
    after && (step === 'attach' || step === 'detach') ? new Promise<void>((resolve) => held.push(resolve)) : undefined
  const adding = world.agent.call(environment('ADD', 'new'), CONFIG)
  const deleting = world.agent.call(environment('DEL', 'old'), CONFIG)
  await settle(() => held.length === 2)
  world.agent.onStep = () => {}
  const stopped = world.agent.service[Symbol.asyncDispose]()
  for (const go of held) go()
  await stopped
  expect((await adding).json).toMatchObject({ code: 11, msg: 'ADD given up: the agent is stopping' })
  expect((await deleting).exitStatus).toBe(0)
  expect(world.links.size).toBe(0)
})
