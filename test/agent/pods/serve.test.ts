// IPAM, journal, CNI and a dataplane that is a fake, joined as the agent joins them, and asked through the socket.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { OPEN_GATE, type PodHost, type Pods } from '../../../src/agent/pods/index.ts'
import { servePods } from '../../../src/agent/pods/serve.ts'
import { decodeResponse, encodeRequest } from '../../../src/cni/frame.ts'
import type { PodLink, PodWiring } from '../../../src/cni/index.ts'
import { type BlockStore, BlockStoreError } from '../../../src/ipam/index.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { ok } from '../../../src/lib/result.ts'
import { formatIp, parseMac } from '../../../src/net/index.ts'
import { createBlockStore, MemoryStore } from '../../../src/store/index.ts'
import { ipamConfig, poolConfig } from '../../ipam/world.ts'
import { until } from '../../support/poll.ts'

const MAC = parseMac('0a:58:0a:f4:00:02')
const CONFIG = ipamConfig([poolConfig('pods', '10.244.0.0/24')])

let folder: string
let store: MemoryStore
/** Host ends in the fake kernel. */
let links: Map<string, PodLink>
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fibula-pods-'))
  store = new MemoryStore()
  links = new Map()
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const wiring: PodWiring = {
  attach(link) {
    links.set(link.hostInterface, link)
    if (MAC === null) throw new Error('not a MAC')
    return Promise.resolve(ok({ mac: MAC, hostMac: MAC, hostIndex: 7 }))
  },
  detach({ hostInterface }) {
    links.delete(hostInterface)
    return Promise.resolve()
  },
  check: () => Promise.resolve([]),
  mtu: () => 1500,
}

type Started = { readonly pods: Pods; readonly socket: string; readonly confDir: string; readonly adopted: readonly PodLink[] }

async function start(unreadiness: () => string | null = () => null, over: Partial<PodHost> = {}): Promise<Started> {
  const cni = { socket: join(folder, 'cni.sock'), stateDir: join(folder, 'state'), confDir: join(folder, 'net.d'), binDirs: [] }
  let adopted: readonly PodLink[] = []
  let served: Pods | null = null
  const host: PodHost = {
    node: 'n1',
    log: silentLog,
    clock: systemClock,
    random: Math.random,
    cni,
    blocks: createBlockStore(store),
    podSource: { lookUp: () => Promise.resolve(null) },
    wiring,
    gate: OPEN_GATE,
    adopt({ links: known, isStateNew }) {
      adopted = known
      const missing = known.map(({ hostInterface }) => hostInterface).filter((name) => !links.has(name))
      return Promise.resolve({ strays: [], missing, unknown: isStateNew ? [...links.values()] : [] })
    },
    unreadiness,
    changed: () => served?.lookAgain(),
    ...over,
  }
  const pods = await servePods(host)
  served = pods
  return { pods, socket: cni.socket, confDir: cni.confDir, adopted }
}

/** What the plugin does: one request, one answer. */
function call(
  socket: string,
  command: string,
  containerId = 'c1',
  netns = '/proc/self/ns/net',
): Promise<{ readonly exitStatus: number; readonly stdout: string }> {
  const variables = new Map([
    ['CNI_COMMAND', command],
    ['CNI_CONTAINERID', containerId],
    ['CNI_NETNS', netns],
    ['CNI_IFNAME', 'eth0'],
    ['CNI_PATH', '/opt/cni/bin'],
  ])
  const stdin = new TextEncoder().encode(JSON.stringify({ cniVersion: '1.1.0', name: 'fibula', type: 'fibula' }))
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const client = connect(socket)
    client.on('data', (chunk) => chunks.push(chunk)).on('error', reject)
    client.on('end', () => {
      const answer = decodeResponse(Buffer.concat(chunks))
      if (answer === null) reject(new Error('cut short'))
      else resolve(answer)
    })
    client.write(encodeRequest({ variables, stdin }))
  })
}

const addressesOf = (pods: Pods): readonly string[] => pods.addresses().map(formatIp)

describe('pods of a node', () => {
  test('from ADD to DEL: what is shown, and what is left', async () => {
    const { pods, socket } = await start()
    await using _pods = pods
    pods.configure(CONFIG)
    const { exitStatus, stdout } = await call(socket, 'ADD')
    expect(exitStatus).toBe(0)
    const [address = ''] = addressesOf(pods)
    expect(JSON.parse(stdout)).toMatchObject({ ips: [{ address: `${address}/32` }] })
    expect([pods.attached(), links.size]).toEqual([1, 1])
    expect(pods.pods()).toMatchObject([
      {
        containerId: 'c1',
        interface: 'eth0',
        state: 'attached',
        since: expect.stringMatching(/^\d{4}-/),
        addresses: [{ address, pool: 'pods', borrowed: false }],
      },
    ])
    await until('the block knows of it', () => pods.ipam().blocks[0]?.allocated === 1)
    expect(pods.ipam()).toMatchObject({
      ready: true,
      pools: [{ name: 'pods', cidr: '10.244.0.0/24' }],
      blocks: [{ pool: 'pods', state: 'Confirmed', allocated: 1 }],
    })
    expect(pods.figures().requests).toEqual([{ command: 'ADD', code: null, count: 1 }])
    await call(socket, 'DEL')
    expect([addressesOf(pods), links.size]).toEqual([[], 0])
    await until('the record is gone', () => pods.pods().length === 0)
  })

  test('STATUS says why the node is not ready, first the rest of the agent, then IPAM', async () => {
    let reason: string | null = 'routes are not there yet'
    const { pods, socket, confDir } = await start(() => reason)
    await using _pods = pods
    expect(await call(socket, 'STATUS')).toMatchObject({
      exitStatus: 1,
      stdout: expect.stringMatching(/"code":50.*routes are not there yet/),
    })
    reason = null
    pods.configure({ ...CONFIG, pools: [] })
    await until('IPAM has looked', () => pods.notReadyBecause()?.includes('there is no IPPool'))
    expect((await call(socket, 'STATUS')).stdout).toMatch(/"code":50.*there is no IPPool/)
    expect(existsSync(confDir)).toBe(false)
    pods.configure(CONFIG)
    await until('STATUS is fine', async () => (await call(socket, 'STATUS')).exitStatus === 0)
    await until('the runtime is told', () => existsSync(confDir) && readdirSync(confDir).includes('10-fibula.conflist'))
    const { plugins } = JSON.parse(readFileSync(join(confDir, '10-fibula.conflist'), 'utf8'))
    expect(plugins).toEqual([expect.objectContaining({ type: 'fibula', socket })])
  })

  test('a conflist that cannot be written is a problem, and pods are served all the same', async () => {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'net.d'), '') // a file where the folder should be
    const { pods, socket } = await start()
    await using _pods = pods
    pods.configure(CONFIG)
    await until('it is told', () => pods.problems().some(({ subject }) => subject === 'CNI configuration'))
    expect((await call(socket, 'ADD')).exitStatus).toBe(0)
  })

  test('an end waits for a conflist that is being written: nothing of it is written afterwards', async () => {
    const binDir = join(folder, 'bin')
    mkdirSync(binDir)
    // A plugin that is asked what it speaks, and does not answer before it may.
    writeFileSync(
      join(binDir, 'portmap'),
      `#!/bin/sh\ntouch ${folder}/asked\nuntil [ -e ${folder}/answer ]; do sleep 0.01; done\necho '{}'\n`,
    )
    chmodSync(join(binDir, 'portmap'), 0o755)
    const confDir = join(folder, 'net.d')
    const cni = { socket: join(folder, 'cni.sock'), stateDir: join(folder, 'state'), confDir, binDirs: [binDir] }
    const { pods, socket } = await start(() => null, { cni })
    pods.configure(CONFIG)
    await until('the plugin is asked', () => existsSync(join(folder, 'asked')))
    let isEnded = false
    const ended = pods[Symbol.asyncDispose]().then(() => {
      isEnded = true
      return existsSync(join(confDir, '10-fibula.conflist'))
    })
    expect((await call(socket, 'VERSION')).exitStatus).toBe(0) // meanwhile it serves
    expect(isEnded).toBe(false)
    writeFileSync(join(folder, 'answer'), '')
    expect(await ended).toBe(true)
    await expect(call(socket, 'VERSION')).rejects.toThrow()
  })

  test('after a start the pods of before are known to the dataplane, to IPAM and to people before anything is answered', async () => {
    const first = await start()
    first.pods.configure(CONFIG)
    await call(first.socket, 'ADD', 'c1')
    await call(first.socket, 'ADD', 'c2')
    const before = addressesOf(first.pods).toSorted()
    await first.pods[Symbol.asyncDispose]()
    const second = await start()
    await using _pods = second.pods
    expect(second.adopted.flatMap(({ addresses }) => addresses.map(formatIp)).sort()).toEqual(before)
    expect(addressesOf(second.pods).toSorted()).toEqual(before)
    second.pods.configure(CONFIG)
    await call(second.socket, 'ADD', 'c3')
    expect(new Set(addressesOf(second.pods)).size).toBe(3)
  })

  test('where the state directory was lost, its pods stay and are told, and their addresses are nobody else’s until DEL', async () => {
    const first = await start()
    first.pods.configure(CONFIG)
    await call(first.socket, 'ADD')
    const [lost = ''] = addressesOf(first.pods)
    await until('the store knows of it', () => first.pods.ipam().unwritten === 0)
    await first.pods[Symbol.asyncDispose]()
    rmSync(join(folder, 'state'), { recursive: true })
    const { pods, socket } = await start()
    await using _pods = pods
    pods.configure(CONFIG)
    expect(pods.problems()).toMatchObject([
      { severity: 'error', subject: 'CNI', message: expect.stringMatching(/no record in .* of 1 pods/) },
    ])
    await call(socket, 'ADD', 'c2')
    expect(addressesOf(pods)).not.toContain(lost)
    expect((await call(socket, 'DEL')).exitStatus).toBe(0)
    await until('its address is free', async () => {
      const used = (await store.list({ kind: 'IPAMBlock' })).flatMap(({ spec }) => spec.allocations.map(({ address }) => address))
      return used.length > 0 && !used.includes(lost)
    })
    expect(pods.problems()).toEqual([])
  })

  test('the MTU that a running pod was given outlives the agent', async () => {
    const first = await start()
    first.pods.configure(CONFIG)
    await call(first.socket, 'ADD')
    first.pods.resized({ containerId: 'c1', ifName: 'eth0' }, 1480)
    first.pods.resized({ containerId: 'unknown', ifName: 'eth0' }, 1480) // has gone meanwhile
    await first.pods[Symbol.asyncDispose]()
    const second = await start()
    await using _pods = second.pods
    expect(second.adopted.map(({ mtu }) => mtu)).toEqual([1480])
  })

  test('the store is away at a start: pods have what was left of the reserve, and the blocks show them when it is back', async () => {
    {
      const { pods, socket } = await start()
      await using _pods = pods
      pods.configure(CONFIG)
      await call(socket, 'ADD')
      await until('the block knows of it', () => pods.ipam().blocks[0]?.allocated === 1)
    }
    const blocks = createBlockStore(store)
    let isAway = true
    const here = <T>(work: () => Promise<T>): Promise<T> =>
      isAway ? Promise.reject(new BlockStoreError('UNAVAILABLE', 'connection refused')) : work()
    const away: BlockStore = {
      listOf: (...args) => here(() => blocks.listOf(...args)),
      listIn: (...args) => here(() => blocks.listIn(...args)),
      get: (...args) => here(() => blocks.get(...args)),
      create: (...args) => here(() => blocks.create(...args)),
      update: (...args) => here(() => blocks.update(...args)),
      delete: (...args) => here(() => blocks.delete(...args)),
    }
    const { pods, socket } = await start(() => null, { blocks: away })
    await using _pods = pods
    pods.configure(CONFIG)
    expect((await call(socket, 'STATUS')).exitStatus).toBe(0)
    expect((await call(socket, 'ADD', 'c2')).exitStatus).toBe(0)
    expect(new Set(addressesOf(pods)).size).toBe(2)
    isAway = false
    await until('the block knows of both', () => pods.ipam().blocks[0]?.allocated === 2)
  })

  test('a pod whose link and namespace are both gone is given up at a start; one that has its namespace is told', async () => {
    const first = await start()
    first.pods.configure(CONFIG)
    await call(first.socket, 'ADD', 'gone', join(folder, 'no-such-namespace'))
    await call(first.socket, 'ADD', 'cut')
    await first.pods[Symbol.asyncDispose]()
    links.clear()
    const { pods } = await start()
    await using _pods = pods
    pods.configure(CONFIG)
    await until('the one is forgotten', () => pods.pods().length === 1)
    expect(pods.pods()).toMatchObject([{ containerId: 'cut', state: 'attached' }])
    expect(pods.problems()).toMatchObject([
      {
        severity: 'error',
        subject: 'Pod/cut',
        message: expect.stringMatching(/is gone, so nothing reaches 10\.244\.\d+\.\d+; delete the pod/),
      },
    ])
    const blocks = await store.list({ kind: 'IPAMBlock' })
    await until('its address is free', async () => {
      const used = (await store.list({ kind: 'IPAMBlock' })).flatMap(({ spec }) => spec.allocations)
      return used.length === 1
    })
    expect(blocks).toHaveLength(1)
  })

  test('while another agent answers on the socket nothing of its pods is touched', async () => {
    const first = await start()
    await using _pods = first.pods
    first.pods.configure(CONFIG)
    await call(first.socket, 'ADD')
    let adoptions = 0
    const adopt: PodHost['adopt'] = () => {
      adoptions++
      return Promise.resolve({ strays: [], missing: [], unknown: [] })
    }
    await expect(start(() => null, { adopt })).rejects.toThrow(/another agent already answers/)
    expect([adoptions, links.size]).toEqual([0, 1])
    expect((await call(first.socket, 'DEL')).exitStatus).toBe(0)
  })

  test('a state directory that cannot be used is an error that names it', async () => {
    writeFileSync(join(folder, 'state'), '')
    await expect(start()).rejects.toThrow(/state directory/)
  })
})
