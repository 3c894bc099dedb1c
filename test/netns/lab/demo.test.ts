// The demo as `make lab` runs it; and the proof that its counting of lost packets can fail.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { crashAgent } from '../../../src/lab/experiments.ts'
import { awaitSessions, bringUp, type DemoReport, labPaths, Prober, takeDown } from '../../../src/lab/index.ts'
import { crashFailures } from '../../../src/lab/verdict.ts'
import { describeWith } from '../../support/tier.ts'
import { LabFolder, PROGRAM } from './program.ts'

const TIMEOUT_MS = 900_000 // FRR calls itself restarting for two minutes after its start, and that is waited for
const ROUTERS = [
  ['fibula', []],
  ['bird', ['bird', 'birdc']],
  ['frr', ['/usr/lib/frr/bgpd', '/usr/lib/frr/zebra', 'vtysh']],
  ['gobgp', ['gobgpd', 'gobgp']],
] as const

for (const [router, programs] of ROUTERS) {
  describeWith(['ip', 'nsenter', 'unshare', ...programs], `fibula lab demo --router ${router}`, () => {
    test(
      'sessions, pings, cut cables and killed agents: nothing is lost to a kill -9, and everybody noticed it',
      async () => {
        await using lab = new LabFolder()
        const { status, stdout, stderr } = await lab.fibula(['lab', 'demo', '--router', router, '-o', 'json'])
        const report: DemoReport =
          stdout === '' ? { failures: [stderr], sessions: [], routes: [], pings: [], cuts: [], crashes: [] } : JSON.parse(stdout)
        expect(report.failures).toEqual([])
        expect(status).toBe(0)
        expect(report.sessions).toHaveLength(24)
        expect(report.pings).toHaveLength(60)
        expect(report.cuts.map(({ hasMoved }) => hasMoved)).toEqual([true, true])
        expect(report.cuts.every(({ packetsBefore, packetsAfter }) => packetsBefore > 100 && packetsAfter < 20)).toBe(true)
        expect(report.crashes.map(({ speaker, lost }) => [speaker, lost])).toEqual(
          router === 'fibula'
            ? [
                ['node-1', 0],
                ['tor-a', 0],
              ]
            : [['node-1', 0]],
        )
        expect(report.crashes.every(({ sent }) => sent > 5000)).toBe(true)
      },
      TIMEOUT_MS,
    )
  })
}

describeWith(['ip', 'nsenter', 'unshare'], 'kill -9 without graceful restart', () => {
  test(
    'packets are lost, and the demo would say so',
    async () => {
      await using folder = new LabFolder()
      const paths = labPaths(folder.dir)
      const { signal } = new AbortController()
      const lab = await bringUp({ paths, topologyFile: null, routerKind: 'fibula', program: PROGRAM, command: 'test' }, () => {})
      try {
        for (const store of ['cluster', 'tor-a', 'tor-b']) {
          const file = join(paths.store(store), 'bgp.yaml')
          writeFileSync(file, readFileSync(file, 'utf8').replaceAll('enabled: true', 'enabled: false'))
        }
        await using prober = await Prober.open(lab.pods)
        await awaitSessions(lab, () => {}, signal)
        // A session keeps what it negotiated, so those of node-1 begin anew, until both ends have heard of the change.
        const offered = async (): Promise<boolean> =>
          (await offers(folder, 'tor-a', 'node-1-')).some((each) => each.startsWith('graceful restart'))
        for (let look = 0; look < 20 && (await offered()); look++) {
          for (const peer of ['node-1-v4', 'node-1-v6']) await folder.fibula(['bgp', 'reset', peer, '--node', 'tor-a'])
          await awaitSessions(lab, () => {}, signal)
        }
        expect(await offered()).toBe(false)
        await awaitSessions(lab, () => {}, signal)
        const crash = await crashAgent(lab, 'node-1', prober, signal)
        expect(crash.lost).toBeGreaterThan(0)
        expect(crashFailures(crash)).toEqual([expect.stringContaining('were lost to the kill -9 of node-1')])
      } finally {
        await takeDown(paths, () => {})
      }
    },
    TIMEOUT_MS,
  )
})

/** Capabilities that a speaker and those of its peers whose names begin so have offered one another. */
async function offers(folder: LabFolder, node: string, peer: string): Promise<readonly string[]> {
  const { stdout } = await folder.fibula(['bgp', 'peers', '--node', node, '-o', 'json'])
  const peers: readonly Offer[] = JSON.parse(stdout)
  return peers
    .filter(({ name }) => name.startsWith(peer))
    .flatMap(({ capabilities }) => [...capabilities.offered, ...capabilities.received])
}

type Offer = { readonly name: string; readonly capabilities: { readonly offered: readonly string[]; readonly received: readonly string[] } }
