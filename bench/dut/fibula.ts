// Fibula as it ships: `bin/fibula agent` as a router (or a route reflector) on a folder of manifests.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { type Dut, type DutPeer, type DutSetup, firstLine, RunningDut, startIn } from './dut.ts'

const NODE = 'dut'
const API_VERSION = 'fibula.network/v1alpha1'
/** What `make build` leaves. */
export const LAUNCHER: readonly string[] = [fileURLToPath(new URL('../../bin/fibula', import.meta.url))]

/** Fibula as started by this command (program, then arguments before `agent`); with `profiles`, a CPU profile a thread is left in that folder. */
export function fibula(command: readonly string[], profiles: string | null): Dut {
  const [program = '', ...args] = command
  return {
    name: 'fibula',
    version: () => firstLine(program, [...args, '--version']),
    start(setup) {
      const store = join(setup.directory, 'store')
      mkdirSync(store)
      writeFileSync(join(store, 'bench.yaml'), fibulaManifests(setup))
      const agent = ['agent', '--node', NODE, '--store', `dir:${store}`, '--run-dir', join(setup.directory, 'run')]
      const env = profiles === null ? process.env : { ...process.env, NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${resolve(profiles)}` }
      const { child, log } = startIn(setup, 'fibula', [...command, ...agent], env)
      return Promise.resolve(new RunningDut([child], [log], profiles === null ? 'SIGKILL' : 'SIGTERM'))
    },
  }
}

/** Everything that is not needed to say who peers with whom stays at its default. */
export function fibulaManifests(setup: DutSetup): string {
  const configuration = {
    apiVersion: API_VERSION,
    kind: 'BGPConfiguration',
    metadata: { name: 'default' },
    spec: { asNumber: setup.asn, mode: 'Router', nodeToNodeMesh: { enabled: false }, holdTime: '240s', installRoutes: setup.installRoutes },
  }
  const annotations = {
    'fibula.network/router-id': setup.routerId,
    ...(setup.reflect ? { 'fibula.network/route-reflector-cluster-id': setup.routerId } : {}),
  }
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: NODE, annotations } }
  return [configuration, node, ...setup.peers.map(bgpPeer)].map((manifest) => stringify(manifest)).join('---\n')
}

function bgpPeer(peer: DutPeer, index: number): object {
  const spec = { node: NODE, peerIP: peer.address, asNumber: peer.asn, addressFamilies: peer.families, passive: true, holdTime: '240s' }
  return { apiVersion: API_VERSION, kind: 'BGPPeer', metadata: { name: `bench-${index}` }, spec }
}
