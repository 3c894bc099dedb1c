// docs/bgp.md, word for word: its manifests, its BIRD and its FRR configuration make a rack that works.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { expect, test } from '@jest/globals'
import type { PeerStatus } from '../../../src/bgp/status.ts'
import { exec } from '../../../src/lib/exec.ts'
import { fibula } from '../../support/agent.ts'
import { runFolder } from '../../support/daemons/daemon.ts'
import { frrOwner, listens } from '../../support/daemons/frr.ts'
import { bird, frr } from '../../support/daemons/index.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { NetnsProcess } from '../../support/netns-process.ts'
import { until, untilEqual } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { ClusterNode, SHIM } from '../pods/node.ts'

const PAGE = fs.readFileSync(path.resolve(import.meta.dirname, '../../../docs/bgp.md'), 'utf8')

/** The fenced block of the page that begins with this comment. */
function block(name: string): string {
  const found = [...PAGE.matchAll(/^```[a-z]*\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text).find((text) => text.startsWith(name))
  if (found === undefined) throw new Error(`docs/bgp.md has no block that begins with ${name}`)
  return found
}

const NODES = ['node-1', 'node-2']
const POOLS = `apiVersion: fibula.network/v1alpha1
kind: IPPool
metadata: { name: pods }
spec: { cidr: 10.244.0.0/16 }
---
apiVersion: fibula.network/v1alpha1
kind: IPPool
metadata: { name: pods6 }
spec: { cidr: "fd00:244::/48" }
`

function nodeManifest(name: string, at: number): string {
  const annotations = { 'fibula.network/ipv4-address': `10.0.0.${at + 11}/24`, 'fibula.network/ipv6-address': `fd00::${at + 11}/64` }
  return JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name, annotations, labels: { rack: 'a' } } })
}

async function peersOf(net: Netns, node: ClusterNode): Promise<readonly PeerStatus[]> {
  const [command = ''] = fibula.programs
  const { stdout } = await net.exec(node.name, '/bin/sh', ['-c', `${command} bgp peers -o json --run-dir ${node.runFolder} || true`])
  return JSON.parse(stdout) as readonly PeerStatus[]
}

describeWith([...fibula.programs, ...bird.programs, ...frr.programs, SHIM], 'docs/bgp.md', () => {
  test('every session comes up, the ToRs have the blocks of both nodes, the nodes have the loopbacks of both ToRs', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fib-docs-'))
    const file = (name: string, text?: string): string => {
      const at = path.join(folder, name)
      if (text !== undefined) fs.writeFileSync(at, text)
      return at
    }
    const hosts = { 'tor-a1': 1, 'tor-a2': 2, 'node-1': 11, 'node-2': 12 }
    const ends = Object.entries(hosts).map(([node, host]) => ({ node, name: 'eth0', addresses: [`10.0.0.${host}/24`, `fd00::${host}/64`] }))
    await using net = await buildNetns('docs', { nodes: Object.keys(hosts), switches: [{ name: 'rack', ends }] })
    const running: NetnsProcess[] = []
    const run = (node: string, command: string, args: readonly string[]): NetnsProcess => {
      const started = new NetnsProcess(net, node, command, args, file(`${node}-${path.basename(command)}.log`))
      running.push(started)
      return started
    }
    const frrFolder = runFolder('frr')
    const store = file('store')
    fs.mkdirSync(store)
    fs.writeFileSync(path.join(store, 'nodes.yaml'), NODES.map(nodeManifest).join('\n---\n'))
    fs.writeFileSync(path.join(store, 'pools.yaml'), POOLS)
    fs.writeFileSync(path.join(store, 'bgp.yaml'), block('# bgp.yaml'))
    const nodes = NODES.map((name) => new ClusterNode(net, name, { folder, store, wrap: [] }))
    const logs = (): string => [...nodes.map((node) => node.log()), ...running.map((each) => each.log())].join('\n---\n')
    try {
      run('tor-a1', 'bird', ['-f', '-c', file('bird.conf', block('# bird.conf')), '-s', file('bird.ctl')])
      const startFrr = (program: 'zebra' | 'bgpd', configuration: string): void => {
        const conf = path.join(frrFolder, `${program}.conf`)
        fs.writeFileSync(conf, configuration)
        for (const each of [frrFolder, conf]) fs.chownSync(each, ...frrOwner())
        const own = ['-u', 'frr', '-g', 'frr', '-P', '0', '-f', conf, '-i', path.join(frrFolder, `${program}.pid`), '--log', 'stdout']
        const shared = ['--vty_socket', frrFolder, '-z', path.join(frrFolder, 'zserv.api')]
        run('tor-a2', `/usr/lib/frr/${program}`, [...own, ...shared, ...(program === 'bgpd' ? ['-p', '179'] : [])])
      }
      startFrr('zebra', '')
      await until('zebra listens', () => listens(path.join(frrFolder, 'zserv.api')), { explain: logs })
      startFrr('bgpd', block('! frr.conf'))
      await Promise.all(nodes.map((node) => node.launch()))

      for (const node of nodes) {
        const wanted = ['tor-a1', 'tor-a2'].map((name) => [name, 'Established', true])
        await untilEqual(
          `${node.name} has its sessions`,
          wanted,
          async () =>
            (await peersOf(net, node))
              .filter(({ name }) => name.startsWith('tor-'))
              .map(({ name, state, capabilities }) => [name, state, capabilities.negotiated.some((each) => /graceful restart/i.test(each))])
              .sort(),
          { explain: logs },
        )
      }
      const birdc = (command: string): Promise<string> =>
        exec('birdc', ['-s', file('bird.ctl'), ...command.split(' ')]).then(({ stdout }) => stdout)
      const vtysh = (command: string): Promise<string> =>
        exec('vtysh', ['--vty_socket', frrFolder, '-c', command]).then(({ stdout }) => stdout)
      const shown = async (): Promise<string> => {
        const texts = [await birdc('show route'), await vtysh('show bgp ipv4 unicast'), await vtysh('show bgp ipv6 unicast')]
        return texts.join('\n')
      }
      for (const [what, pattern, times] of [
        ['tor-a1 (BIRD) has a block of each node and family', /^(10\.244\.[\d.]+\/26|fd00:244:[\da-f:]*\/122) .*unicast \[node/gm, 4],
        ['tor-a2 (FRR) has a block of each node and family', /^ ?\*>? +(10\.244\.[\d.]+\/26|fd00:244:[\da-f:]*\/122)/gm, 4],
      ] as const) {
        await until(what, async () => ((await shown()).match(pattern) ?? []).length === times, { explain: logs })
      }
      for (const name of NODES) {
        await untilEqual(
          `${name} has the loopbacks of the fabric and no more`,
          ['10.255.0.1 via 10.0.0.1', '10.255.0.2 via 10.0.0.2'],
          async () =>
            (await net.ip(name, 'route show proto 179'))
              .split('\n')
              .flatMap((line) => /^(\d\S*) via (\S+)/.exec(line)?.slice(1, 3).join(' via ') ?? [])
              .filter((route) => !route.startsWith('10.244.'))
              .sort(),
          { explain: logs },
        )
      }
      expect(await net.ip('node-1', 'route show default')).toBe('')
    } finally {
      await Promise.all([...nodes.map((node) => node.kill()), ...running.map((each) => each.end('SIGKILL'))])
      for (const each of [folder, frrFolder]) fs.rmSync(each, { recursive: true, force: true })
    }
  }, 300_000)
})
