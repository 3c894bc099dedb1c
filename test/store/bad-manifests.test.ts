// What people get wrong, and what they are told: each message names the field and what to do about it.
import { describe, expect, test } from '@jest/globals'
import { parseManifests } from '../../src/store/index.ts'

const OURS = 'apiVersion: fibula.network/v1alpha1'

function told(text: string): readonly string[] {
  return parseManifests(text, 'm.yaml').manifests.flatMap(({ result }) => (result.ok ? [] : result.error.map(({ message }) => message)))
}

const peer = (spec: string): string => `${OURS}\nkind: BGPPeer\nmetadata: { name: a }\nspec: { ${spec} }\n`
const router = (spec: string): string => peer(`peerIP: 10.0.0.1, asNumber: 65001, ${spec}`)
const config = (spec: string, name = 'default'): string =>
  `${OURS}\nkind: BGPConfiguration\nmetadata: { name: ${name} }\nspec: { ${spec} }\n`
const rule = (body: string, list = 'importV4'): string =>
  `${OURS}\nkind: BGPFilter\nmetadata: { name: a }\nspec: { ${list}: [{ ${body} }] }\n`
const pool = (spec: string): string => `${OURS}\nkind: IPPool\nmetadata: { name: a }\nspec: { ${spec} }\n`
const reservation = (spec: string): string => `${OURS}\nkind: IPReservation\nmetadata: { name: a }\nspec: ${spec}\n`
const ipam = (spec: string, name = 'default'): string => `${OURS}\nkind: IPAMConfiguration\nmetadata: { name: ${name} }\nspec: ${spec}\n`
const policy = (spec: string): string => `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: a }\nspec: { ${spec} }\n`

type Case = readonly [text: string, ...fragments: string[]]

const CASES: Readonly<Record<string, readonly Case[]>> = {
  'what an object is': [
    ['- 1\n', 'an object begins with apiVersion, kind and metadata'],
    ['just text\n', 'an object begins with apiVersion, kind and metadata'],
    [`${OURS}\nmetadata: { name: a }\n`, 'kind is missing; write one of BGPConfiguration, BGPPeer'],
    [`${OURS}\nkind: 7\n`, 'kind is missing'],
    [`${OURS}\nkind: BgpPeer\nmetadata: { name: a }\n`, 'kind "BgpPeer" is not one Fibula reads; did you mean BGPPeer?'],
    [`${OURS}\nkind: BGPPeers\nmetadata: { name: a }\n`, 'did you mean BGPPeer?'],
    [`${OURS}\nkind: IPPol\nmetadata: { name: a }\n`, 'did you mean IPPool?'],
    ['apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: a }\n', 'kind "Deployment" is not one Fibula reads', 'known kinds'],
    ['kind: BGPPeer\nmetadata: { name: a }\n', 'apiVersion is missing; write fibula.network/v1alpha1'],
    [
      'apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: { name: a }\n',
      'write fibula.network/v1alpha1',
      'docs/resources.md',
      'Calico',
    ],
    [
      'apiVersion: fibula.network/v1\nkind: BGPPeer\nmetadata: { name: a }\n',
      '"fibula.network/v1" is not right for BGPPeer',
      'write fibula.network/v1alpha1',
    ],
    ['apiVersion: v1\nkind: NetworkPolicy\nmetadata: { name: a }\n', 'write networking.k8s.io/v1'],
    [`${OURS}\nkind: BGPPeer\nspec: { peerIP: 10.0.0.1, asNumber: 1 }\n`, 'metadata is missing'],
    [`${OURS}\nkind: BGPPeer\nmetadata: {}\nspec: { peerIP: 10.0.0.1, asNumber: 1 }\n`, 'metadata.name is missing', 'Name of the object'],
    [
      `${OURS}\nkind: BGPPeer\nmetadata: { name: Tor_A }\nspec: { peerIP: 10.0.0.1, asNumber: 1 }\n`,
      'metadata.name: "Tor_A" is not a valid name; use lower-case letters',
    ],
    [
      `${OURS}\nkind: BGPPeer\nmetadata: { name: a, namespace: default }\nspec: { peerIP: 10.0.0.1, asNumber: 1 }\n`,
      'metadata.namespace',
      'belongs to the whole cluster; remove',
    ],
    [
      `${OURS}\nkind: BGPPeer\nmetadata: { name: a, label: {} }\nspec: { peerIP: 10.0.0.1, asNumber: 1 }\n`,
      'unknown field metadata.label; did you mean labels?',
    ],
    [
      `${OURS}\nkind: BGPPeer\nmetadata: { name: a, labels: { rack: 7 } }\nspec: { peerIP: 10.0.0.1, asNumber: 1 }\n`,
      'metadata.labels.rack: expected text, got 7; put it in quotes',
    ],
    [`${OURS}\nkind: BGPPeer\nmetadata: { name: a }\n`, 'spec is missing'],
    [`${OURS}\nkind: BGPPeer\nmetadata: { name: a }\nspec: [1]\n`, 'spec: expected a mapping, got a list'],
    [
      `${OURS}\nkind: BGPPeer\nmetadata: { name: a }\nspec: { peerIP: 10.0.0.1, asNumber: 1 }\nspecs: {}\n`,
      'unknown field specs; did you mean spec?',
    ],
    [
      `${OURS}\nkind: BGPPeer\nmetadata: { name: a }\nasNumber: 1\nspec: { peerIP: 10.0.0.1 }\n`,
      'asNumber belongs directly under spec: check the indentation',
    ],
  ],
  YAML: [
    ['a: [1\n', 'm.yaml, document 1, line', 'bracket'],
    ['a: 1\na: 2\n', 'line 2', 'written twice'],
    ['a: *b\n', 'line 1', 'alias'],
    ['a: &a [*a]\n', 'expands without bound'],
    ['['.repeat(20_000), 'nested too deeply'],
    ['a:\n\tb: 1\n', 'line 2', 'tab'],
    ['a: @b\n', 'line 1', 'put it in quotes'],
    ['a: "b\n', 'closing quote'],
    ['a: 1\n  b: 2\n', 'check the indentation'],
    ['? [1]\n: 2\n', 'field name is not text'],
    ['a: !!int x\n', 'm.yaml, document 1'],
    [
      'a: &x [1]\nb: &y [*x,*x,*x,*x,*x,*x,*x,*x,*x,*x]\nc: &z [*y,*y,*y,*y,*y,*y,*y,*y,*y,*y]\nd: [*z,*z,*z,*z,*z,*z,*z,*z,*z,*z]\n',
      'expands without bound',
    ],
    [
      `${router('')}---\n${peer('peerIP: 10.0.0.1, asNumber: x')}`,
      'm.yaml, document 2, line 9: BGPPeer/a: spec.asNumber: expected a whole number, got "x"',
    ],
    [
      `apiVersion: v1\nkind: List\nitems:\n- ${OURS}\n  kind: BGPPeer\n  metadata: { name: a }\n  spec: { peerIP: nowhere,\n    asNumber: 1 }\n`,
      'line 7: BGPPeer/a: spec.peerIP',
    ],
  ],
  'AS numbers': [
    [peer('peerIP: 10.0.0.1, asnumber: 65001'), 'unknown field spec.asnumber; did you mean asNumber?'],
    [peer('peerIP: 10.0.0.1'), 'spec.asNumber: a peer with peerIP needs its asNumber'],
    [peer('peerIP: 10.0.0.1, asNumber: 0'), 'spec.asNumber: 0 is out of range; it must be at least 1'],
    [peer('peerIP: 10.0.0.1, asNumber: 4294967296'), 'spec.asNumber: 4294967296 is out of range; it must be at most 4294967295'],
    [peer('peerIP: 10.0.0.1, asNumber: 23456'), 'spec.asNumber', 'AS_TRANS'],
    [peer('peerIP: 10.0.0.1, asNumber: "65001"'), 'spec.asNumber: expected a whole number, got "65001"; remove the quotes'],
    [peer('peerIP: 10.0.0.1, asNumber: "1.10"'), 'write it as one number: 65546'],
    [peer('peerIP: 10.0.0.1, asNumber: 1.10'), 'spec.asNumber: expected a whole number, got 1.1', 'one whole number'],
    [peer('peerIP: 10.0.0.1, asNumber: AS65001'), 'spec.asNumber: expected a whole number, got "AS65001"'],
  ],
  'who a peer is': [
    [peer('asNumber: 1'), 'spec.peerIP: exactly one of peerIP (a router) and peerSelector (nodes of the cluster)'],
    [peer('peerIP: 10.0.0.1, asNumber: 1, peerSelector: {}'), 'exactly one of peerIP'],
    [peer('peerSelector: {}, asNumber: 1'), 'asNumber does not go with peerSelector', 'remove it'],
    [router('node: n1, nodeSelector: {}'), 'node and nodeSelector exclude each other; keep one'],
    [peer('peerIP: tor-a, asNumber: 1'), 'spec.peerIP: "tor-a" is not a peer address; write it like 10.0.0.1'],
    [peer('peerIP: 10.0.0.1/24, asNumber: 1'), '"10.0.0.1/24" is not a peer address'],
    [peer('peerIP: "10.0.0.1:0", asNumber: 1'), 'is not a peer address'],
    [peer('peerIP: "10.0.0.1:70000", asNumber: 1'), 'is not a peer address'],
    [peer('peerIP: "fd00::1:179", asNumber: 1, reachableBy: fd00::2, port: 7'), 'unknown field spec.port', 'peerIP: 10.0.0.1:1179'],
    [peer('peerIP: fe80::1, asNumber: 1'), 'fe80::1%eth0'],
    [peer('peerIP: 10.0.0.1%eth0, asNumber: 1'), 'is not a peer address'],
    [peer('peerIP: fe80::1%eth0/1, asNumber: 1'), 'is not a peer address'],
    [peer('peerIP: 224.0.0.1, asNumber: 1'), 'is not a peer address'],
    [router('interface: eth0'), 'unknown field spec.interface; write the interface behind the address'],
    [router('nodeSelector: "rack == \'a\'"'), 'spec.nodeSelector: expected a mapping', 'matchLabels'],
    [router('nodeSelector: { rack: a }'), 'unknown field spec.nodeSelector.rack', 'matchLabels, matchExpressions'],
    [router('nodeSelector: { matchLabels: { "a b": x } }'), 'spec.nodeSelector.matchLabels["a b"]', 'is not a label key'],
    [router('nodeSelector: { matchLabels: { rack: "-a" } }'), 'is not a label value'],
    [
      router('nodeSelector: { matchExpressions: [{ key: rack, operator: in, values: [a] }] }'),
      '"in" is not one of In, NotIn, Exists, DoesNotExist; did you mean In?',
    ],
    [
      router('nodeSelector: { matchExpressions: [{ key: rack, operator: In }] }'),
      'matchExpressions[0].values: operators In and NotIn need at least one value',
    ],
    [
      router('nodeSelector: { matchExpressions: [{ key: rack, operator: Exists, values: [a] }] }'),
      'Exists and DoesNotExist take no values; remove them',
    ],
  ],
  'how a session is': [
    [router('holdTime: 9'), 'spec.holdTime: expected text, got 9; add the unit: 9s'],
    [router('holdTime: 9 seconds'), 'spec.holdTime: "9 seconds" is not a duration; write it like 90s'],
    [router('holdTime: 2s'), 'spec.holdTime: "2s" is out of range; it must be 0s, or 3s to 65535s'],
    [router('holdTime: 1500ms'), 'not a whole number of seconds'],
    [router('holdTime: 9s, keepaliveTime: 9s'), 'spec.keepaliveTime: keepaliveTime must be shorter than holdTime; leave it out'],
    [router('keepAliveTime: 3s'), 'unknown field spec.keepAliveTime; did you mean keepaliveTime?'],
    [router('ttlSecurity: 1, ebgpMultihop: 2'), 'ttlSecurity and ebgpMultihop exclude each other; keep one'],
    [router('ttlSecurity: 255'), 'spec.ttlSecurity: 255 is out of range; it must be at most 254'],
    [router('ebgpMultihop: true'), 'spec.ebgpMultihop: expected a whole number, got true'],
    [router('passive: "yes"'), 'spec.passive: expected true or false, got "yes"; write true or false, without quotes'],
    [router('password: secret1'), 'spec.password: expected a mapping, got text; put the password into a Secret'],
    [router('password: { secretKeyRef: { name: tor } }'), 'spec.password.secretKeyRef.key is missing'],
    [router('password: { secretKeyRef: { name: tor, key: p, namespace: x } }'), 'unknown field spec.password.secretKeyRef.namespace'],
    [
      router('addressFamilies: [ipv4-unicast]'),
      'spec.addressFamilies[0]: "ipv4-unicast" is not one of IPv4Unicast, IPv6Unicast',
      'did you mean IPv4Unicast?',
    ],
    [router('addressFamilies: IPv4Unicast'), 'spec.addressFamilies: expected a list, got "IPv4Unicast"; make it a list'],
    [router('addressFamilies: []'), 'spec.addressFamilies: must not be empty'],
    [router('addressFamilies: [IPv4Unicast, IPv4Unicast]'), 'names a family twice'],
    [router('role: customer'), 'did you mean Customer?'],
    [router('addPath: { send: all }'), 'spec.addPath.send: expected a whole number'],
    [router('addPath: true'), 'spec.addPath: expected a mapping, got true; its fields are receive, send'],
    [router('maxPrefixes: 1000'), 'spec.maxPrefixes: expected a mapping, got 1000; its fields are ipv4, ipv6, warnAtPercent, restartAfter'],
    [router('maxPrefixes: { ipv4: 0 }'), 'spec.maxPrefixes.ipv4: 0 is out of range'],
    [router('maxPrefixes: { warnAtPercent: 120 }'), 'spec.maxPrefixes.warnAtPercent: 120 is out of range; it must be at most 100'],
    [router('gracefulRestart: { restartTime: 2h }'), 'spec.gracefulRestart.restartTime: "2h" is out of range; it must be 0s to 4095s'],
    [router('maxRestartTime: 120s'), 'unknown field spec.maxRestartTime; write gracefulRestart: { restartTime: ... }'],
    [router('numAllowedLocalASNumbers: 1'), 'write allowLocalAS'],
    [router('keepOriginalNextHop: true'), 'write nextHopMode: Keep'],
    [router('nextHopMode: self'), 'did you mean Self?'],
    [router('reachableBy: fd00::1'), 'spec.reachableBy: reachableBy needs a peerIP of the same IP family'],
    [peer('peerSelector: {}, reachableBy: 10.0.0.2'), 'reachableBy needs a peerIP'],
    [router('sourceAddress: eth0'), 'spec.sourceAddress: "eth0" is neither Auto, UseNodeIP, None nor an IP address'],
    [router('sourceAddress: fd00::1'), 'sourceAddress as an IP address needs a peerIP of the same IP family'],
    [router('filters: no-default'), 'spec.filters: expected a list, got "no-default"; make it a list'],
    [router('filters: [No_Default]'), 'spec.filters[0]: "No_Default" is not a valid name'],
    [router('shutdown: true'), 'spec.shutdown: expected a mapping, got true'],
    [router(`shutdown: { message: "${'x'.repeat(256)}" }`), 'spec.shutdown.message', '255 octets'],
    [router('bfd: {}'), 'unknown field spec.bfd; it is not part of this version'],
    [router(`description: ${'x'.repeat(257)}`), 'spec.description: must have at most 256 characters, has 257'],
  ],
  BGPConfiguration: [
    [config('asNumber: 0'), 'spec.asNumber: 0 is out of range'],
    [config('nodeToNodeMeshEnabled: false'), 'write nodeToNodeMesh: { enabled: true } or { enabled: false }'],
    [config('nodeToNodeMesh: false'), 'spec.nodeToNodeMesh: expected a mapping, got false; its fields are enabled, password'],
    [config('mode: host'), 'did you mean Host?'],
    [config('logLevel: Verbose'), 'spec.logLevel: "Verbose" is not one of Trace, Debug, Info, Warn, Error'],
    [config('logSeverityScreen: Info'), 'write logLevel'],
    [config('listenPort: 0'), 'spec.listenPort: 0 is out of range; it must be at least 1'],
    [config('networks: [10.0.0.1]'), 'spec.networks[0]: "10.0.0.1" is not a prefix; add the prefix length'],
    [config('networks: [10.0.0.1/24]'), '"10.0.0.1/24" has host bits set; the prefix is 10.0.0.0/24'],
    [config('networks: [10.0.0.0/33]'), '"10.0.0.0/33" is not a prefix'],
    [config('networks: 10.0.0.0/8'), 'expected a list'],
    [config('serviceClusterIPs: [10.96.0.0/12]'), 'spec.serviceClusterIPs[0]: expected a mapping, got "10.96.0.0/12"; its fields are cidr'],
    [config('maximumPaths: 0'), 'spec.maximumPaths: 0 is out of range'],
    [config('holdTime: 10s, keepaliveTime: 20s'), 'keepaliveTime must be shorter than holdTime'],
    [config('nodeSelector: {}'), 'spec.nodeSelector: the object named default is for every node; remove nodeSelector'],
    [config('asNumber: 1', 'rack-a'), 'every BGPConfiguration but default needs a nodeSelector'],
    [config('communities: [{ name: a, value: "1:2" }, { name: a, value: "1:3" }]'), 'spec.communities: two communities have one name'],
    [
      config('communities: [{ name: a, value: "70000:1" }]'),
      'spec.communities[0].value: "70000:1" is not a community; write it like 64512:100',
    ],
    [config('communities: [{ name: a, value: "rt:1:2" }]'), 'is not a community'],
    [config('prefixAdvertisements: [{ cidr: 10.0.0.0/8 }]'), 'spec.prefixAdvertisements[0].communities is missing'],
    [config('prefixAdvertisements: [{ cidr: 10.0.0.0/8, communities: [] }]'), 'must not be empty'],
    [config('routerIDMode: Ipv4'), 'spec.routerIDMode: "Ipv4" is not one of Auto, Hash'],
  ],
  BGPFilter: [
    [rule('action: accept'), 'spec.importV4[0].action: "accept" is not one of Accept, Reject; did you mean Accept?'],
    [rule('cidr: 10.0.0.0/8, matchOperator: In'), 'spec.importV4[0].action is missing'],
    [rule('action: Accept, cidr: 10.0.0.0/8'), 'cidr and matchOperator go together; set both or neither'],
    [rule('action: Accept, cidr: fd00::/8, matchOperator: In'), '"fd00::/8" is not IPv4; only IPv4 prefixes belong here'],
    [rule('action: Accept, cidr: 10.0.0.0/8, matchOperator: In', 'exportV6'), 'spec.exportV6[0].cidr: "10.0.0.0/8" is not IPv6'],
    [rule('action: Accept, prefixLength: { max: 24 }'), 'prefixLength needs cidr and matchOperator In or NotIn'],
    [rule('action: Accept, cidr: 10.0.0.0/8, matchOperator: In, prefixLength: { min: 30, max: 24 }'), 'prefixLength holds no length'],
    [rule('action: Accept, cidr: 10.0.0.0/8, matchOperator: In, prefixLength: { min: 4 }'), 'prefixLength holds no length'],
    [rule('action: Accept, cidr: 10.0.0.0/8, matchOperator: In, prefixLength: { max: 33 }'), '33 is out of range; it must be at most 32'],
    [rule('action: Reject, operations: [{ setMED: { value: 1 } }]'), 'operations need action Accept'],
    [
      rule('action: Accept, operations: [{ setMED: { value: 1 }, removeMED: {} }]'),
      'spec.importV4[0].operations[0]: an operation does exactly one thing',
    ],
    [rule('action: Accept, operations: [{}]'), 'an operation does exactly one thing'],
    [rule('action: Accept, operations: [{ setPriority: { value: 1 } }]'), 'write setLocalPreference: { value: ... }'],
    [rule('action: Accept, operations: [{ prependASPath: { prefix: [] } }]'), 'must not be empty'],
    [rule('action: Accept, communities: { values: ["1:2:3:4"] }'), 'spec.importV4[0].communities.values[0]: "1:2:3:4" is not a community'],
    [rule('action: Accept, community: "1:2"'), 'unknown field spec.importV4[0].community; write communities: { values: [...] }'],
    [rule('action: Accept, peerType: ebgp'), 'did you mean eBGP?'],
    [rule('action: Accept', 'importv4'), 'unknown field spec.importv4; did you mean importV4?'],
    [rule('action: Accept, source: Remote'), '"Remote" is not one of RemotePeers, Local'],
  ],
  IPPool: [
    [pool(''), 'spec.cidr is missing; it is needed: The range'],
    [pool('cidr: 10.0.0.0'), 'spec.cidr: "10.0.0.0" is not a prefix; add the prefix length: 10.0.0.0/32 is the address alone'],
    [pool('cidr: 10.0.0.0/16, blockSize: 33'), 'blockSize must be 20 to 32 for an IPv4 pool'],
    [pool('cidr: fd00::/64, blockSize: 26'), '116 to 128 for an IPv6 pool'],
    [pool('cidr: 10.0.0.0/28'), 'the pool is smaller than one block'],
    [pool('cidr: 169.254.0.0/16'), 'link-local addresses cannot be routed'],
    [pool('cidr: 10.0.0.0/16, ipipMode: crosssubnet'), 'did you mean CrossSubnet?'],
    [pool('cidr: 10.0.0.0/16, vxlanMode: Always'), 'there is no VXLAN here'],
    [pool('cidr: 10.0.0.0/16, natoutgoing: true'), 'did you mean natOutgoing?'],
    [pool('cidr: 10.0.0.0/16, nodeSelector: all()'), 'write a label selector'],
    [pool('cidr: 10.0.0.0/16, allowedUses: [LoadBalancer, Workload]'), 'LoadBalancer excludes the other uses'],
    [pool('cidr: 10.0.0.0/16, allowedUses: [LoadBalancer], disableBGPExport: true'), 'must be advertised'],
    [pool('cidr: 10.0.0.0/16, assignmentMode: Auto'), 'spec.assignmentMode: "Auto" is not one of Automatic, Manual'],
  ],
  IPReservation: [
    [reservation('{}'), 'spec.reservedCIDRs is missing; it is needed'],
    [reservation('{ reservedCIDRs: [] }'), 'must not be empty'],
    [reservation('{ reservedCIDRs: [10.244.0.7] }'), 'add the prefix length: 10.244.0.7/32 is the address alone'],
    [reservation('{ reservedCIDRs: [10.244.0.7/24] }'), 'has host bits set; the prefix is 10.244.0.0/24'],
    [reservation('{ reservedCIDR: [10.244.0.7/32] }'), 'did you mean reservedCIDRs?'],
  ],
  IPAMConfiguration: [
    [ipam('{}', 'other'), 'the one IPAMConfiguration is named default'],
    [ipam('{ maxBlocksPerHost: 4 }'), 'maxBlocksPerHost needs strictAffinity: true', 'set strictAffinity or remove maxBlocksPerHost'],
    [ipam('{ maxBlocksPerHost: 0, strictAffinity: true }'), 'spec.maxBlocksPerHost', '1'],
    [ipam('{ ipCooldown: 1h }'), '"1h" is out of range; it must be 0s to 1200s'],
    [ipam('{ ipCooldownSeconds: 30 }'), 'write ipCooldown: 30s'],
  ],
  'core kinds': [
    [
      'apiVersion: v1\nkind: Secret\nmetadata: { name: a }\ndata: { password: s3cret! }\n',
      'data.password: not base64; put plain text under stringData',
    ],
    [
      'apiVersion: v1\nkind: Secret\nmetadata: { name: a }\nstringData: { password: 12345 }\n',
      'stringData.password: expected text, got a number; put it in quotes',
    ],
    [
      'apiVersion: v1\nkind: Node\nmetadata: { name: a, annotations: { fibula.network/asn: 65001 } }\n',
      'metadata.annotations["fibula.network/asn"]: expected text, got 65001; put it in quotes',
    ],
    [policy('podSelector: {}, ingres: []'), 'unknown field spec.ingres; did you mean ingress?'],
    [policy('ingress: [{ from: [{}] }]'), 'a peer needs a podSelector, a namespaceSelector or an ipBlock'],
    [policy('ingress: [{ from: [{ ipBlock: { cidr: 10.0.0.0/8 }, podSelector: {} }] }]'), 'ipBlock excludes the selectors'],
    [policy('ingress: [{ ports: [{ port: [1] }] }]'), 'spec.ingress[0].ports[0].port'],
    ['apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: { name: a }\n', 'addressType is missing'],
  ],
}

describe.each(Object.entries(CASES))('%s', (_, cases) => {
  const titled = cases.map(([text, ...fragments]) => [fragments.join(' … '), text, fragments] as const)
  test.each(titled)('%s', (_title, text, fragments) => {
    const messages = told(text)
    expect(messages.length).toBeGreaterThan(0)
    for (const message of messages) expect(message).toMatch(/^m\.yaml, document \d+, line \d+: /)
    for (const fragment of fragments) expect(messages.join('\n')).toContain(fragment)
  })
})

test('the table is as long as it has to be, and no case stands twice', () => {
  const texts = Object.values(CASES).flatMap((cases) => cases.map(([text]) => text))
  expect(texts.length).toBeGreaterThanOrEqual(80)
  expect(new Set(texts).size).toBe(texts.length)
})

test('one fault gives one message: what follows from it is not told as well', () => {
  expect(told(peer('peerIP: 10.0.0.1, asnumber: 65001'))).toHaveLength(1)
  expect(told(router('holdTime: nonsense, keepaliveTime: 3s'))).toHaveLength(1)
})

test('a file with a thousand faults does not tell them all', () => {
  const spec = Array.from({ length: 1000 }, (_, at) => `unknown${at}: 1`).join(', ')
  expect(told(router(spec)).length).toBeLessThanOrEqual(20)
})

test('text from a manifest is quoted and cut where it is shown', () => {
  const [message = ''] = told(router(`sourceAddress: "\\u001b[31m${'x'.repeat(500)}"`))
  expect(message).not.toContain('\u001b')
  expect(message.length).toBeLessThan(300)
})

test('a text beyond all measure is refused unread', () => {
  expect(told('x'.repeat(9 * 1024 * 1024))).toEqual(['m.yaml, document 1, line 1: larger than 8 MiB; split it into several files'])
})
