// cnitool on a node: calls a chain of plugins as every runtime built on libcni does, with results cached on disk, prevResult,
// runtimeConfig from capabilities, and DEL in reverse order.
import fs from 'node:fs'
import path from 'node:path'
import { CNITOOL, DEBIAN_PLUGINS } from '../../support/tools/index.ts'
import type { Cluster } from './cluster.ts'
import { type ClusterNode, type CniResult, type Conflist, SHIM } from './node.ts'

export type Capabilities = Readonly<Record<string, unknown>>

export class CniTool {
  readonly #cluster: Cluster
  readonly #node: ClusterNode
  readonly #folder: string

  constructor(cluster: Cluster, node: ClusterNode) {
    this.#cluster = cluster
    this.#node = node
    this.#folder = cluster.scratch(`cnitool-${node.name}`)
    for (const each of ['net.d', 'cache']) fs.mkdirSync(path.join(this.#folder, each))
  }

  /** Offers a network to `run`. */
  write(conflist: Conflist): void {
    fs.writeFileSync(path.join(this.#folder, 'net.d', `${conflist.name}.conflist`), JSON.stringify(conflist))
  }

  async add(network: string, netns: string, capabilities: Capabilities = {}): Promise<CniResult> {
    return JSON.parse(await this.run('add', network, netns, capabilities)) as CniResult
  }

  /** Standard output. Rejects with what the plugin said. */
  async run(
    command: 'add' | 'check' | 'del' | 'gc' | 'status',
    network: string,
    netns: string,
    capabilities: Capabilities = {},
  ): Promise<string> {
    // libcni keeps results in /var/lib/cni, whatever one tells it: a folder of the node is put there for this process alone.
    const script = 'mkdir -p /var/lib/cni; mount --bind "$1" /var/lib/cni; shift; exec "$@"'
    const cached = path.join(this.#folder, 'cache')
    const args = ['-m', '--propagation', 'slave', 'sh', '-e', '-c', script, 'cnitool', cached, CNITOOL, command, network, netns]
    const env = {
      PATH: process.env['PATH'],
      CNI_PATH: `${path.dirname(SHIM)}:${DEBIAN_PLUGINS}`,
      NETCONFPATH: path.join(this.#folder, 'net.d'),
      CAP_ARGS: JSON.stringify(capabilities),
    }
    return (await this.#cluster.net.exec(this.#node.name, 'unshare', args, { env })).stdout
  }
}
