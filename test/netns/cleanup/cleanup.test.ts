// A node that Fibula leaves: nothing of ours in the kernel and on the disk, everything of others' as it was, and nothing to do the
// second time.
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from '@jest/globals'
import type { CleanupReport } from '../../../src/agent/index.ts'
import { ExecError } from '../../../src/lib/exec.ts'
import { describeWith } from '../../support/tier.ts'
import { PROGRAMS, pool, World } from '../agent/world.ts'
import { SHIM } from '../pods/node.ts'

const MINUTES = 180_000
const ROOT = path.resolve(import.meta.dirname, '../../..')
const MAIN = path.join(ROOT, 'src/cli/main.ts')
const NODE = path.join(ROOT, 'scripts/node')
const TOOLS = ['iptables-nft', 'iptables-legacy', 'ipset']

/** With rules, sets and routes of every sort, and others' things among them. */
async function busyNode(): Promise<World> {
  const pools = [pool('pods', '10.244.0.0/16', { natOutgoing: true }), pool('pods6', 'fd00:244::/112', { natOutgoing: true })]
  const world = await World.start('cleanup', { nodes: ['n1', 'n2'], pods: ['p1', 'p2'], pools })
  const ip = (command: string): Promise<string> => world.net.ip('n1', command)
  const others = [
    'route add 198.51.100.0/24 via 10.0.0.12 proto static',
    'link add fibre0 type veth peer name fibre1',
    'link set fibre0 up',
  ]
  for (const command of others) await ip(command)
  await world.net.exec('n1', 'iptables-nft', ['-w', '-N', 'OTHERS'])
  await world.net.exec('n1', 'iptables-nft', ['-w', '-A', 'FORWARD', '-s', '203.0.113.1', '-j', 'OTHERS'])
  await world.net.exec('n1', 'iptables-legacy', ['-w', '-N', 'fib-of-old'])
  await world.net.exec('n1', 'iptables-legacy', ['-w', '-N', 'OTHERS'])
  await world.net.exec('n1', 'ipset', ['create', 'others', 'hash:ip'])
  const bin = binFolder(world)
  fs.mkdirSync(bin)
  fs.writeFileSync(path.join(bin, 'bridge'), '')
  fs.writeFileSync(path.join(world.node('n1').confFolder, '99-others.conf'), '{}')
  fs.writeFileSync(path.join(world.node('n1').confFolder, '.10-fibula.conflist.7.new'), 'of an agent that was killed')
  await fibula(world, ['install-cni', '--bin-dir', bin, '--plugin', SHIM])
  for (const pod of ['p1', 'p2']) await world.add('n1', pod)
  return world
}

function binFolder(world: World): string {
  return path.join(path.dirname(world.store), 'bin')
}

async function fibula(world: World, args: readonly string[]): Promise<string> {
  return (await world.net.exec('n1', NODE, ['--disable-warning=ExperimentalWarning', MAIN, ...args, '--output', 'json'])).stdout
}

async function cleanUp(world: World, ...more: readonly string[]): Promise<CleanupReport> {
  const { runFolder, stateFolder, confFolder } = world.node('n1')
  const folders = ['--run-dir', runFolder, '--state-dir', stateFolder, '--cni-conf-dir', confFolder, '--cni-bin-dir', binFolder(world)]
  return JSON.parse(await fibula(world, ['cleanup', ...folders, ...more])) as CleanupReport
}

/** Everything of ours that can be seen on the node, in the words of the tools. */
async function traces(world: World): Promise<readonly string[]> {
  const run = async (command: string, ...args: readonly string[]): Promise<readonly string[]> =>
    (await world.net.exec('n1', command, args)).stdout.split('\n')
  const [links, rules, sets, routes4, routes6] = await Promise.all([
    run('ip', '-br', 'link', 'show'),
    Promise.all(['iptables-nft', 'ip6tables-nft', 'iptables-legacy', 'ip6tables-legacy'].map((tool) => run(`${tool}-save`))),
    run('ipset', 'list', '-n'),
    run('ip', '-4', 'route', 'show', 'table', 'all', 'proto', '179'),
    run('ip', '-6', 'route', 'show', 'table', 'all', 'proto', '179'),
  ])
  return [
    ...links.filter((line) => line.startsWith('fib') && !/^fibre[01]@/.test(line)),
    ...rules.flat().filter((line) => /\bfib/.test(line)),
    ...sets.filter((line) => line.startsWith('fib')),
    ...routes4,
    ...routes6,
  ].filter((line) => line.trim() !== '')
}

describeWith([...PROGRAMS, ...TOOLS], 'a node that Fibula leaves', () => {
  test(
    'is as it was before: nothing of ours, everything of others’; refused while an agent runs, and idle the second time',
    async () => {
      await using world = await busyNode()
      const node = world.node('n1')
      expect((await traces(world)).length).toBeGreaterThan(20) // rules, sets, routes and links: there is something to do
      const refusal = await cleanUp(world).catch((cause: unknown) => cause)
      expect(refusal).toBeInstanceOf(ExecError)
      expect(String(refusal)).toContain('another agent already runs')
      expect(fs.readdirSync(node.confFolder)).toContain('10-fibula.conflist')

      await node.stop()
      // what stands in its place has its name, and a kernel without IP-in-IP can make it; an agent would have removed it
      await world.net.ip('n1', 'link add fibipip type bridge')
      const report = await cleanUp(world)
      expect(report).toMatchObject({ isClean: true })
      expect(report.steps.filter(({ removed }) => removed === 0)).toEqual([])
      expect(await traces(world)).toEqual([])
      expect(fs.readdirSync(node.confFolder)).toEqual(['99-others.conf'])
      expect(fs.readdirSync(binFolder(world))).toEqual(['bridge'])
      expect([node.runFolder, node.stateFolder].filter((folder) => fs.existsSync(folder))).toEqual([])

      expect(await world.net.ip('n1', '-4 route show proto static')).toContain('198.51.100.0/24 via 10.0.0.12')
      expect(await world.net.ip('n1', '-br link show')).toMatch(/^fibre0@/m)
      for (const tool of ['iptables-nft', 'iptables-legacy'])
        expect((await world.net.exec('n1', `${tool}-save`, [])).stdout).toContain(':OTHERS')
      expect((await world.net.exec('n1', 'iptables-nft-save', [])).stdout).toContain('-A FORWARD -s 203.0.113.1/32 -j OTHERS')
      expect((await world.net.exec('n1', 'ipset', ['list', '-n'])).stdout.trim()).toBe('others')

      expect((await cleanUp(world)).steps.filter(({ removed, faults }) => removed > 0 || faults.length > 0)).toEqual([])
    },
    MINUTES,
  )

  test(
    '--keep-pods leaves running pods their links, the routes to them and the record of their addresses',
    async () => {
      await using world = await busyNode()
      const node = world.node('n1')
      const [{ addresses } = { addresses: [] }] = await world.pods('n1')
      await node.stop()
      expect(await cleanUp(world, '--keep-pods')).toMatchObject({ isClean: true })
      for (const { address } of addresses) await world.reaches('n1', address)
      expect((await node.podTraces()).length).toBeGreaterThan(0)
      expect(node.journal()).toHaveLength(2)
      const left = await traces(world)
      expect(left.filter((line) => !/\bfib[0-9a-f]{11}\b/.test(line))).toEqual([]) // links, and routes by them
      expect(await cleanUp(world)).toMatchObject({ isClean: true })
      expect([...(await traces(world)), ...(await node.podTraces())]).toEqual([])
    },
    MINUTES,
  )
})
