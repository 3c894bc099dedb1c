// The network we are compared with: Debian's bridge and host-local plugins, and static routes on the router. It also proves the
// harness: what fails with it is not ours.
import fs from 'node:fs'
import path from 'node:path'
import type { Fabric } from './fabric.ts'
import type { Dual } from './layout.ts'
import type { Node } from './node.ts'

export async function useBridge(fabric: Fabric, nodes: readonly Node[]): Promise<void> {
  await fabric.staticRoutes()
  for (const node of nodes) fs.writeFileSync(path.join(node.cniConfigurations, '10-bridge.conflist'), bridgeConflist(node.spec.podRange))
}

/** A CNI configuration list that gives pods addresses of these ranges. */
export function bridgeConflist({ ipv4, ipv6 }: Dual): string {
  const bridge = {
    type: 'bridge',
    bridge: 'cni0',
    isGateway: true,
    hairpinMode: true,
    ipam: { type: 'host-local', ranges: [[{ subnet: ipv4 }], [{ subnet: ipv6 }]], routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }] },
  }
  return JSON.stringify({
    cniVersion: '1.0.0',
    name: 'bridge',
    plugins: [bridge, { type: 'portmap', capabilities: { portMappings: true } }],
  })
}
