// The CNI plugins that are measured: Fibula's, served by the agent that ships, and Debian's bridge with host-local.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Bed } from './scenarios/topology.ts'

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
