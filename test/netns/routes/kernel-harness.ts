// A throwaway namespace with two links, and the netlink backend inside it.
import { NetlinkRouteBackend, type NetlinkRouteBackendOptions } from '../../../src/routes/index.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import type { ForeignRoute, KernelHarness } from '../../support/route-backend-contract.ts'

export type RealKernel = KernelHarness & { readonly net: Netns; readonly backend: NetlinkRouteBackend }

/** The node is called `host`; eth0 leads to eth0-far, eth1 to eth1-far, in the same namespace. */
export async function openKernel(options: NetlinkRouteBackendOptions = {}): Promise<RealKernel> {
  const net = await buildNetns('routes', {
    nodes: ['host'],
    stubs: [
      { node: 'host', name: 'eth0', addresses: ['10.0.0.1/24', 'fd00::1/64'] },
      { node: 'host', name: 'eth1', addresses: ['10.0.1.1/24', 'fd01::1/64'] },
    ],
  })
  const backend = net.run('host', () => new NetlinkRouteBackend(options))
  const indexes = new Map(backend.listLinks().links.map(({ name, index }) => [name, index]))
  return {
    net,
    backend,
    eth0: indexes.get('eth0') ?? 0,
    eth1: indexes.get('eth1') ?? 0,
    async foreign(verb: string, { prefix, via, metric, protocol }: ForeignRoute): Promise<void> {
      await net.ip('host', `route ${verb} ${prefix} via ${via} metric ${metric} proto ${protocol}`)
    },
    async setLink(name, state): Promise<void> {
      await net.ip('host', `link set ${name} ${state}`)
    },
    async address(verb, name, address): Promise<void> {
      await net.ip('host', `address ${verb} ${address} dev ${name}${address.includes(':') && verb === 'add' ? ' nodad' : ''}`)
    },
    async [Symbol.asyncDispose](): Promise<void> {
      backend[Symbol.dispose]()
      await net[Symbol.asyncDispose]()
    },
  }
}
