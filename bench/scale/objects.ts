// The objects of a large cluster, as an API server takes them: about as long as real ones are, and every one a bit different.

/** One write: an object, and its status if that is written apart. */
export type Made = {
  readonly collection: string
  readonly body: { readonly metadata: { readonly name: string; readonly [field: string]: unknown }; readonly [field: string]: unknown }
  readonly status?: object
}

export type ClusterSize = {
  readonly pods: number
  readonly services: number
  readonly nodes: number
  readonly namespaces: number
  /** NetworkPolicies: while there are any, an agent follows the pods of all nodes. */
  readonly policies: number
}

export function nodeName(at: number): string {
  return `node-${at}`
}

export function namespacesOf({ namespaces }: ClusterSize): readonly Made[] {
  return teams(namespaces).map((name) => ({ collection: '/api/v1/namespaces', body: { metadata: { name } } }))
}

/** Without one no pod is admitted. */
export function serviceAccountsOf({ namespaces }: ClusterSize): readonly Made[] {
  return teams(namespaces).map((name) => ({
    collection: `/api/v1/namespaces/${name}/serviceaccounts`,
    body: { metadata: { name: 'default' } },
  }))
}

function teams(count: number): readonly string[] {
  return Array.from({ length: count }, (_, at) => `team-${at}`)
}

/** A Node with the images, conditions and annotations that a kubelet and a cloud give it: about 6 kB with who wrote what. */
export function nodes(count: number, routeReflectors = 0): readonly Made[] {
  return Array.from({ length: count }, (_, at) => ({
    collection: '/api/v1/nodes',
    body: {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name: nodeName(at),
        labels: {
          'kubernetes.io/hostname': nodeName(at),
          'kubernetes.io/os': 'linux',
          'kubernetes.io/arch': 'amd64',
          'topology.kubernetes.io/zone': `zone-${at % 3}`,
          rack: `rack-${Math.floor(at / 40)}`,
          ...(at < routeReflectors ? { 'route-reflector': 'true' } : {}),
        },
        annotations: {
          'node.alpha.kubernetes.io/ttl': '0',
          'volumes.kubernetes.io/controller-managed-attach-detach': 'true',
          'csi.volume.kubernetes.io/nodeid': `{"csi.example.com":"${nodeName(at)}"}`,
          ...(at < routeReflectors ? { 'fibula.network/route-reflector-cluster-id': `10.255.0.${1 + at}` } : {}),
        },
      },
      spec: { podCIDRs: [`10.${128 + (at >> 8)}.${at & 255}.0/24`] },
    },
    status: nodeStatus(at, 0),
  }))
}

/** What a kubelet reports every five minutes, whether anything has changed or not. */
export function nodeStatus(at: number, beat: number): object {
  const lastHeartbeatTime = new Date(Date.UTC(2030, 0, 1) + beat * 1000).toISOString().replace('.000', '')
  const condition = (type: string, status: string, reason: string) => ({
    type,
    status,
    reason,
    message: `kubelet has ${reason}`,
    lastHeartbeatTime,
    lastTransitionTime: '2030-01-01T00:00:00Z',
  })
  return {
    addresses: [
      { type: 'InternalIP', address: addressOfNode(at) },
      { type: 'Hostname', address: nodeName(at) },
    ],
    capacity: { cpu: '64', memory: '263714520Ki', pods: '110', 'ephemeral-storage': '515010Mi' },
    allocatable: { cpu: '63', memory: '259520216Ki', pods: '110', 'ephemeral-storage': '487318Mi' },
    conditions: [
      condition('MemoryPressure', 'False', 'KubeletHasSufficientMemory'),
      condition('DiskPressure', 'False', 'KubeletHasNoDiskPressure'),
      condition('PIDPressure', 'False', 'KubeletHasSufficientPID'),
      condition('Ready', 'True', 'KubeletReady'),
    ],
    nodeInfo: {
      machineID: 'a'.repeat(32),
      systemUUID: 'b'.repeat(36),
      bootID: 'c'.repeat(36),
      kernelVersion: '6.12.0',
      osImage: 'Debian GNU/Linux 13 (trixie)',
      containerRuntimeVersion: 'containerd://2.1.0',
      kubeletVersion: 'v1.36.3',
      kubeProxyVersion: '',
      operatingSystem: 'linux',
      architecture: 'amd64',
    },
    images: Array.from({ length: 20 }, (_, image) => ({
      names: [`registry.example.com/team/app-${image}@sha256:${'d'.repeat(64)}`, `registry.example.com/team/app-${image}:v1.${image}.0`],
      sizeBytes: 100_000_000 + image,
    })),
  }
}

export function addressOfNode(at: number): string {
  return `172.16.${at >> 8}.${at & 255}`
}

export function pods({ pods: count, nodes: nodeCount, namespaces }: ClusterSize): readonly Made[] {
  return Array.from({ length: count }, (_, at) => {
    const [app, namespace] = [`app-${at % 300}`, `team-${at % namespaces}`]
    const address = `10.${128 + ((at >> 16) & 63)}.${(at >> 8) & 255}.${at & 255}`
    const labels = { app, 'app.kubernetes.io/name': app, 'app.kubernetes.io/instance': `${app}-${namespace}`, tier: `tier-${at % 5}` }
    return {
      collection: `/api/v1/namespaces/${namespace}/pods`,
      body: {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: `${app}-7d4b9c6f5d-${at}`, namespace, labels, annotations: { 'prometheus.io/scrape': 'true' } },
        spec: {
          nodeName: nodeName(at % nodeCount),
          automountServiceAccountToken: false,
          containers: [
            {
              name: 'main',
              image: `registry.example.com/team/${app}:v1.2.3`,
              ports: [
                { name: 'http', containerPort: 8080 },
                { name: 'metrics', containerPort: 9090 },
              ],
              env: Array.from({ length: 8 }, (_unused, variable) => ({ name: `VARIABLE_${variable}`, value: `value-${variable}` })),
              resources: { requests: { cpu: '10m', memory: '16Mi' }, limits: { memory: '64Mi' } },
              readinessProbe: { httpGet: { path: '/ready', port: 'http' }, periodSeconds: 10 },
            },
          ],
        },
      },
      status: {
        phase: 'Running',
        conditions: ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) => ({
          type,
          status: 'True',
          lastTransitionTime: '2030-01-01T00:00:00Z',
        })),
        hostIP: addressOfNode(at % nodeCount),
        podIP: address,
        podIPs: [{ ip: address }],
        startTime: '2030-01-01T00:00:00Z',
        containerStatuses: [
          {
            name: 'main',
            ready: true,
            restartCount: 0,
            started: true,
            image: `registry.example.com/team/${app}:v1.2.3`,
            imageID: `registry.example.com/team/${app}@sha256:${'e'.repeat(64)}`,
            containerID: `containerd://${'f'.repeat(64)}`,
            state: { running: { startedAt: '2030-01-01T00:00:00Z' } },
          },
        ],
      },
    }
  })
}

/** Services with one EndpointSlice of ten endpoints each. */
export function services({ services: count, pods: podCount, nodes: nodeCount, namespaces }: ClusterSize): readonly Made[] {
  return Array.from({ length: count }, (_, at): readonly Made[] => {
    const [name, namespace] = [`service-${at}`, `team-${at % namespaces}`]
    const endpoints = Array.from({ length: 10 }, (_unused, endpoint) => {
      const pod = (at * 10 + endpoint) % podCount
      return {
        addresses: [`10.${128 + ((pod >> 16) & 63)}.${(pod >> 8) & 255}.${pod & 255}`],
        conditions: { ready: true, serving: true, terminating: false },
        nodeName: nodeName(pod % nodeCount),
        targetRef: { kind: 'Pod', namespace, name: `app-${pod % 300}-7d4b9c6f5d-${pod}` },
      }
    })
    const ports = [{ name: 'http', port: 8080, protocol: 'TCP' }]
    return [
      {
        collection: `/api/v1/namespaces/${namespace}/services`,
        body: {
          metadata: { name, labels: { app: name } },
          spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
        },
      },
      {
        collection: `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`,
        body: { metadata: { name: `${name}-x`, labels: { 'kubernetes.io/service-name': name } }, addressType: 'IPv4', endpoints, ports },
      },
    ]
  }).flat()
}

/** Each admits two applications of its own namespace, and one of another, to one port of a third. */
export function policies({ policies: count, namespaces }: ClusterSize): readonly Made[] {
  return Array.from({ length: count }, (_, at) => {
    const app = (offset: number): string => `app-${(at + offset) % 300}`
    const namespace = `team-${at % namespaces}`
    const other = { matchLabels: { 'kubernetes.io/metadata.name': `team-${(at + 1) % namespaces}` } }
    return {
      collection: `/apis/networking.k8s.io/v1/namespaces/${namespace}/networkpolicies`,
      body: {
        metadata: { name: `policy-${at}` },
        spec: {
          podSelector: { matchLabels: { app: app(0) } },
          ingress: [
            {
              from: [
                { podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: [app(1), app(2)] }] } },
                { namespaceSelector: other, podSelector: { matchLabels: { app: app(3) } } },
              ],
              ports: [{ port: 'http' }],
            },
          ],
        },
      },
    }
  })
}
