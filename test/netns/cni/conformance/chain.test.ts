// Statements 57 and 58, and 27 to 29 with real partners: chains with Debian's loopback, tuning, portmap and bandwidth.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { CONFLIST_FILE, findChained, renderConflist, writeConflist } from '../../../../src/cni/index.ts'
import { exec } from '../../../../src/lib/exec.ts'
import { until } from '../../../support/poll.ts'
import { NODE_ADDRESSES, type Node } from './node.ts'
import { type Conflist, Runtime } from './runtime.ts'
import { suiteOfBoth } from './suite.ts'

const DEBIAN = '/usr/lib/cni'
const ECHO = `
const answer = 'pod ' + process.argv[1]
require('node:net').createServer((socket) => socket.on('error', () => {}).end(answer)).listen(80, '::', () => console.log('ready'))
for (const family of ['udp4', 'udp6']) {
  const socket = require('node:dgram').createSocket({ type: family, ipv6Only: family === 'udp6' })
  socket.on('message', (_, from) => socket.send(answer, from.port, from.address)).bind(53)
}`

/** Asks over TCP or UDP from inside a namespace; the answer, or the empty text if none comes. */
async function ask(netns: string, protocol: 'tcp' | 'udp', address: string, port: number): Promise<string> {
  const script = `exec 3<>/dev/${protocol}/${address}/${port} && { [ ${protocol} = tcp ] || echo x >&3; } && timeout 20 head -c 6 <&3`
  try {
    return (await exec('nsenter', [`--net=${netns}`, 'timeout', '30', 'bash', '-c', script])).stdout
  } catch {
    return ''
  }
}

suiteOfBoth('chain', [`${DEBIAN}/portmap`, `${DEBIAN}/bandwidth`, `${DEBIAN}/tuning`, 'iptables', 'tc', 'bash'], ({ node, folder }) => {
  const hostNetns = (): string => node().net.pathOf('host')
  const runtime = (list: Conflist): Runtime => new Runtime(list, { binDirs: [folder(), DEBIAN], hostNetns: hostNetns() })

  /** The list as the agent writes it on a host with these plugins. */
  async function ourList(theNode: Node): Promise<Conflist> {
    const directory = await mkdtemp(join(tmpdir(), 'fibula-net.d-'))
    try {
      await writeConflist(directory, renderConflist({ socketPath: theNode.socket, ...(await findChained([DEBIAN])) }))
      return JSON.parse(await readFile(join(directory, CONFLIST_FILE), 'utf8'))
    } finally {
      await rm(directory, { recursive: true })
    }
  }

  test('our list runs on this host: the highest version all speak, plugins in order, DEL backwards [cni 57]', async () => {
    const before = await node().leftovers()
    const run = runtime(await ourList(node()))
    expect(run.version).toBe('1.0.0')
    const container = { containerId: 'plain', netns: await node().newPod(), ifName: 'eth0' }
    const { exitStatus, json } = await run.add(container)
    expect(exitStatus).toBe(0)
    expect(json?.ips).toHaveLength(2)
    expect((await run.check(container))[0]?.exitStatus).toBe(0) // of Debian's, portmap fails in dual stack, bandwidth crashes unless used
    expect((await run.del(container)).map(({ exitStatus }) => exitStatus)).toEqual([0, 0, 0])
    await node().untilAs(before)
  })

  test('port mappings: TCP and UDP, both families, from outside, from the node, from the pod itself; gone after DEL [cni 58]', async () => {
    const before = await node().leftovers()
    const run = runtime(await ourList(node()))
    const netns = await node().newPod()
    const container = { containerId: 'mapped', netns, ifName: 'eth0' }
    const portMappings = [
      { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
      { hostPort: 5353, containerPort: 53, protocol: 'udp' },
    ]
    expect(await run.add(container, { portMappings })).toMatchObject({ exitStatus: 0 })
    const server = node().spawnInPod(netns, process.execPath, ['-e', ECHO, 'ok'])
    await until('the pod listens', async () => {
      const sockets = (await node().execInPod(netns, 'ss', ['-Hlntu'])).stdout
      return sockets.includes(':80 ') && (sockets.match(/:53 /g) ?? []).length === 2 // of both families
    })
    const outside = node().net.pathOf('outside')
    for (const address of NODE_ADDRESSES) {
      expect([address, 'outside tcp', await ask(outside, 'tcp', address, 8080)]).toEqual([address, 'outside tcp', 'pod ok'])
      expect([address, 'outside udp', await ask(outside, 'udp', address, 5353)]).toEqual([address, 'outside udp', 'pod ok'])
      expect([address, 'node tcp', await ask(hostNetns(), 'tcp', address, 8080)]).toEqual([address, 'node tcp', 'pod ok'])
      expect([address, 'hairpin tcp', await ask(netns, 'tcp', address, 8080)]).toEqual([address, 'hairpin tcp', 'pod ok'])
    }
    server.kill('SIGKILL')
    expect((await run.check(container, { portMappings }))[0]?.exitStatus).toBe(0)
    await run.del(container, { portMappings })
    expect(await node().leftovers()).not.toContain('8080')
    await until('address and record are gone', async () => (await node().leftovers()).includes('mapped') === false)
    expect(before).not.toContain('8080')
  })

  test('bandwidth: a shaper on the host end both ways, gone after DEL [cni 58]', async () => {
    const run = runtime(await ourList(node()))
    const container = { containerId: 'shaped', netns: await node().newPod(), ifName: 'eth0' }
    const bandwidth = { ingressRate: 8_000_000, ingressBurst: 800_000, egressRate: 4_000_000, egressBurst: 400_000 }
    const { json, stdout } = await run.add(container, { bandwidth })
    expect(stdout).toContain('interfaces')
    const host = json?.interfaces?.[0]?.name ?? ''
    const shown = (await node().net.exec('host', 'tc', ['qdisc', 'show'])).stdout
    expect(shown).toMatch(new RegExp(`tbf .* dev ${host} .*rate 8Mbit`))
    expect(shown).toMatch(/tbf .* dev bwp\w+ .*rate 4Mbit/)
    expect((await run.check(container, { bandwidth })).map(({ exitStatus }) => exitStatus)).toEqual([0, 0, 0])
    await run.del(container, { bandwidth })
    expect((await node().net.exec('host', 'tc', ['qdisc', 'show'])).stdout).not.toContain('tbf')
    expect(await node().net.ip('host', '-brief link')).not.toMatch(new RegExp(`bwp|${host}`))
  })

  test('behind loopback and before tuning: the result keeps all of them, in order; CHECK tolerates what tuning changed [cni 27, 28, 29, 47]', async () => {
    const list: Conflist = {
      cniVersion: '1.0.0',
      name: 'fibula',
      plugins: [
        { type: 'loopback' },
        { type: 'fibula', socket: node().socket },
        { type: 'tuning', mtu: 1400, allmulti: true, sysctl: { 'net.core.somaxconn': '500' } },
      ],
    }
    const run = runtime(list)
    const netns = await node().newPod()
    const container = { containerId: 'tuned', netns, ifName: 'eth0' }
    const { exitStatus, json } = await run.add(container)
    expect(exitStatus).toBe(0)
    expect(json?.interfaces?.map(({ name }) => name)).toEqual(['lo', expect.stringMatching(/^fib/), 'eth0'])
    const ours = json?.ips?.filter((each) => each.interface === 2) ?? []
    expect(ours).toHaveLength(2)
    expect(await node().inPod(netns, 'link show eth0')).toMatch(/ALLMULTI.* mtu 1400/)
    for (const { address } of ours) await node().net.exec('host', 'ping', ['-c1', '-W10', address.split('/')[0] ?? ''])
    expect((await run.check(container)).map(({ exitStatus }) => exitStatus)).toEqual([0, 0, 0])
    expect((await run.del(container)).map(({ exitStatus }) => exitStatus)).toEqual([0, 0, 0])
  })

  test('a later plugin of the chain that fails: the runtime’s DEL leaves nothing [cni 31, 42]', async () => {
    const before = await node().leftovers()
    const list: Conflist = {
      cniVersion: '1.0.0',
      name: 'fibula',
      plugins: [
        { type: 'fibula', socket: node().socket },
        { type: 'tuning', sysctl: { 'net.no.such': '1' } },
      ],
    }
    const run = runtime(list)
    const container = { containerId: 'failing', netns: await node().newPod(), ifName: 'eth0' }
    expect((await run.add(container)).exitStatus).not.toBe(0)
    expect((await run.del(container)).at(-1)?.exitStatus).toBe(0)
    await node().untilAs(before)
  })

  test('only declared and supplied capabilities reach the plugin, and never `capabilities` itself [cni 58]', async () => {
    const run = runtime(await ourList(node()))
    const container = { containerId: 'wishing', netns: await node().newPod(), ifName: 'eth0' }
    const { json } = await run.add(container, { ips: ['10.244.55.5'], mac: '0a:58:0a:00:00:05', dns: { servers: [] } })
    expect(json?.ips?.[0]?.address).toBe('10.244.55.5/32')
    expect(json?.interfaces?.[1]?.mac).toBe('0a:58:0a:00:00:05')
    await run.del(container)
  })
})
