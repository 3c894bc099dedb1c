// Fields that people bring from other systems under other names, and what to write instead.
import type { KindName } from './kinds/registry.ts'

type Hints = Readonly<Record<string, string>>

const CALICO_POOL: Hints = {
  vxlanMode: 'there is no VXLAN here: traffic is routed, or goes by ipipMode where the fabric has no route',
  ipip: 'write ipipMode: Never, CrossSubnet or Always',
  'nat-outgoing': 'write natOutgoing',
}

export const OTHER_NAMES: { readonly [K in KindName]?: Hints } = {
  BGPConfiguration: {
    nodeToNodeMeshEnabled: 'write nodeToNodeMesh: { enabled: true } or { enabled: false }',
    nodeMeshPassword: 'write nodeToNodeMesh: { password: { secretKeyRef: ... } }',
    nodeMeshMaxRestartTime: 'write gracefulRestart: { restartTime: ... }',
    maxRestartTime: 'write gracefulRestart: { restartTime: ... }',
    logSeverityScreen: 'write logLevel: Trace, Debug, Info, Warn or Error',
    localAS: 'write asNumber',
    localASN: 'write asNumber',
    keepAliveTime: 'did you mean keepaliveTime?',
    serviceLoadBalancerAggregation: 'it is not part of this version',
    ignoredInterfaces: 'it is not needed: interfaces are never advertised',
  },
  BGPPeer: {
    maxRestartTime: 'write gracefulRestart: { restartTime: ... }',
    numAllowedLocalASNumbers: 'write allowLocalAS',
    keepOriginalNextHop: 'write nextHopMode: Keep',
    peerASN: 'write asNumber',
    peerASNumber: 'write asNumber',
    remoteAS: 'write asNumber',
    myASN: 'write localASNumber',
    peerAddress: 'write peerIP',
    peerPort: 'write the port behind the address: peerIP: 10.0.0.1:1179, or [fd00::1]:1179',
    port: 'write the port behind the address: peerIP: 10.0.0.1:1179, or [fd00::1]:1179',
    interface: 'write the interface behind the address: peerIP: fe80::1%eth0',
    ebgpMultiHop: 'did you mean ebgpMultihop? It takes the TTL: 1 to 255',
    localWorkloadSelector: 'it is not part of this version',
    bfd: 'it is not part of this version',
    families: 'write addressFamilies: [IPv4Unicast, IPv6Unicast]',
    passwordSecret: 'write password: { secretKeyRef: { name: NAME, key: KEY } }',
  },
  BGPFilter: {
    interface: 'it is not part of this version',
    priority: 'write operations: [{ setLocalPreference: { value: ... } }] or match on communities',
    setPriority: 'write setLocalPreference: { value: ... }',
    community: 'write communities: { values: [...] }',
    setLocalPref: 'write setLocalPreference: { value: ... }',
    localPreference: 'write operations: [{ setLocalPreference: { value: ... } }]',
  },
  IPPool: CALICO_POOL,
  IPAMConfiguration: {
    ipCooldownSeconds: 'write ipCooldown: 30s',
    autoAllocateBlocks: 'it is not needed: a node claims blocks as it needs them, up to maxBlocksPerHost',
  },
}
