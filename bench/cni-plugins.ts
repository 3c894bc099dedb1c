// The CNI plugins that are measured: Fibula's, served by the agent that ships, and Debian's bridge with host-local.
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { exec } from '../src/lib/exec.ts'
import { RunningDut, startIn } from './dut/dut.ts'
import { MEMORY, makeScratchDirectory } from './namespaces.ts'
import { pause } from './scenarios/measurement.ts'
import { type Bed, DUT_ASN } from './scenarios/topology.ts'

/** A plugin ready to be called in the DUT's namespace. */
export type Installed = AsyncDisposable & {
  readonly program: string
  /** CNI_PATH. */
  readonly path: string
  /** The network configuration, as the runtime hands it to the plugin. */
  readonly config: object
  readonly addressesEach: number
}

export type CniPlugin = {
  readonly name: string
  /** Why it cannot take part on this machine; null: it can. */
  missing(): string | null
  install(bed: Bed): Promise<Installed>
}

const DEBIAN_PLUGINS = '/usr/lib/cni'
const CNI_VERSION = '1.0.0' // the newest that Debian's plugins speak
const PODS_V4 = '100.64.0.0/16' // shared address space (RFC 6598): no test network of these benchmarks

const PODS_V6 = '2001:2:0:8000::/112'
const NODE = 'dut'
const READY_MS = 60_000
/** What `make build` leaves. */
export const SHIM = fileURLToPath(new URL('../dist/cni/fibula', import.meta.url))

export type FibulaBuild = {
  /** What stands before `agent`. */
  readonly command: readonly string[]
  /** The plugin. */
  readonly shim: string
}

/** The agent that ships, on a folder of manifests, and its plugin. */
export function fibulaCni({ command, shim }: FibulaBuild, families: 'IPv4' | 'dual stack'): CniPlugin {
  return {
    name: families === 'IPv4' ? 'fibula' : `fibula, ${families}`,
    missing: () => (existsSync(shim) ? null : "there is no plugin: 'make build' first"),
    async install(bed) {
      const folder = (name: string): string => join(bed.directory, name)
      const socket = folder('cni.sock')
      // The folder stands for an API server: that writes, and waits for, the disk of another machine.
      const store = makeScratchDirectory(MEMORY)
      writeFileSync(join(store, 'bench.yaml'), manifests(families))
      const agent = ['agent', '--node', NODE, '--store', `dir:${store}`, '--run-dir', folder('run'), '--cni-socket', socket]
      const setup = { namespace: bed.dutNamespace, directory: bed.directory }
      const { child, log } = startIn(setup, 'fibula', [...command, ...agent, '--metrics-port', '0'])
      const running = new RunningDut([child], [log])
      const end = async (): Promise<void> => {
        await running[Symbol.asyncDispose]()
        rmSync(store, { recursive: true, force: true })
      }
      const config = { cniVersion: CNI_VERSION, name: 'bench', type: 'fibula', socket }
      try {
        await ready(bed.dutNamespace, shim, config, running)
      } catch (error) {
        await end()
        throw error
      }
      return {
        program: shim,
        path: DEBIAN_PLUGINS,
        config,
        addressesEach: families === 'IPv4' ? 1 : 2,
        [Symbol.asyncDispose]: end,
      }
    },
  }
}

/** Everything that is not needed to give pods addresses stays at its default. */
function manifests(families: 'IPv4' | 'dual stack'): string {
  const apiVersion = 'fibula.network/v1alpha1'
  const pool = (name: string, cidr: string): object => ({ apiVersion, kind: 'IPPool', metadata: { name }, spec: { cidr } })
  const annotations = { 'fibula.network/ipv4-address': '198.18.1.1/24', 'fibula.network/ipv6-address': '2001:2:0:1::1/64' }
  const all = [
    { apiVersion: 'v1', kind: 'Node', metadata: { name: NODE, annotations } },
    { apiVersion, kind: 'BGPConfiguration', metadata: { name: 'default' }, spec: { asNumber: DUT_ASN } },
    pool('pods-v4', PODS_V4),
    ...(families === 'IPv4' ? [] : [pool('pods-v6', PODS_V6)]),
  ]
  return all.map((manifest) => stringify(manifest)).join('---\n')
}

/** Resolves when STATUS (CNI specification 1.1.0) says that pods can have a network. */
async function ready(namespace: string, shim: string, config: object, agent: RunningDut): Promise<void> {
  const input = JSON.stringify({ ...config, cniVersion: '1.1.0' })
  const env = { PATH: process.env['PATH'], CNI_COMMAND: 'STATUS', CNI_PATH: DEBIAN_PLUGINS }
  const deadlineMs = performance.now() + READY_MS
  for (;;) {
    try {
      await Promise.race([exec('ip', ['netns', 'exec', namespace, shim], { env, input }), agent.failure])
      return
    } catch (error) {
      if (performance.now() > deadlineMs) throw new Error(`${(error as Error).message}\n${agent.lastWords()}`, { cause: error })
      await pause(100)
    }
  }
}

/** Debian's containernetworking-plugins: a bridge, and addresses from files. Its defaults, but for no masquerading, which is more work. */
export const bridge: CniPlugin = {
  name: 'bridge + host-local',
  missing: () => (existsSync(join(DEBIAN_PLUGINS, 'bridge')) ? null : 'containernetworking-plugins is not installed'),
  install(bed) {
    const config = {
      cniVersion: CNI_VERSION,
      name: 'bench',
      type: 'bridge',
      bridge: 'cni0',
      isGateway: true,
      ipMasq: false,
      ipam: {
        type: 'host-local',
        dataDir: join(bed.directory, 'host-local'),
        ranges: [[{ subnet: PODS_V4 }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    }
    return Promise.resolve({
      program: join(DEBIAN_PLUGINS, 'bridge'),
      path: DEBIAN_PLUGINS,
      config,
      addressesEach: 1,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    })
  },
}
