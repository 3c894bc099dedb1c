// What the conformance tests of the network policy API are about (ClusterNetworkPolicy), in our words, and some they leave out.
import { clusterPolicy, type Expectation, named, networkPolicy, ns, pod, type Scenario } from './scenario.ts'

const subject = { namespaces: named('x') }
const namespaces = (name: string): object => ({ namespaces: named(name) })
const rule = (action: 'Accept' | 'Deny' | 'Pass', direction: 'from' | 'to', peer: object, ...protocols: readonly object[]): object => ({
  action,
  [direction]: [peer],
  ...(protocols.length === 0 ? {} : { protocols }),
})
const number = (protocol: 'tcp' | 'udp' | 'sctp', port: number): object => ({ [protocol]: { destinationPort: { number: port } } })
const DENY_IN = networkPolicy('x/deny', { podSelector: {}, policyTypes: ['Ingress'] })
const DENY_OUT = networkPolicy('x/deny', { podSelector: {}, policyTypes: ['Egress'] })
const from = (name: string, port: string, passes: boolean): Expectation => [`${name}/*`, 'x/*', port, passes]
const to = (name: string, port: string, passes: boolean): Expectation => ['x/*', `${name}/*`, port, passes]

/** By protocol: one port accepted before all is denied, in either direction. */
const byProtocol = (['tcp', 'udp', 'sctp'] as const).flatMap((protocol): readonly Scenario[] => {
  const port = `${protocol.toUpperCase()}:80`
  return [
    {
      title: `ingress of ${protocol}, tier Admin`,
      steps: [
        {
          does: 'accept one port, deny the rest',
          policies: [
            clusterPolicy('p', 'Admin', 10, {
              subject,
              ingress: [rule('Accept', 'from', namespaces('y'), number(protocol, 80)), rule('Deny', 'from', namespaces('y'))],
            }),
          ],
          expect: [from('y', '*', false), from('y', port, true)],
        },
        {
          does: 'the other way round: the first decides',
          policies: [
            clusterPolicy('p', 'Admin', 10, {
              subject,
              ingress: [rule('Deny', 'from', namespaces('y')), rule('Accept', 'from', namespaces('y'), number(protocol, 80))],
            }),
          ],
          expect: [from('y', '*', false)],
        },
        {
          does: 'deny one port only',
          policies: [clusterPolicy('p', 'Admin', 10, { subject, ingress: [rule('Deny', 'from', namespaces('y'), number(protocol, 80))] })],
          expect: [from('y', port, false)],
        },
      ],
    },
    {
      title: `egress of ${protocol}, tier Admin`,
      steps: [
        {
          does: 'accept one port, deny the rest',
          policies: [
            clusterPolicy('p', 'Admin', 10, {
              subject,
              egress: [rule('Accept', 'to', namespaces('y'), number(protocol, 80)), rule('Deny', 'to', namespaces('y'))],
            }),
          ],
          expect: [to('y', '*', false), to('y', port, true)],
        },
        {
          does: 'deny one port of some pods only',
          policies: [
            clusterPolicy('p', 'Admin', 10, {
              subject,
              egress: [rule('Deny', 'to', { pods: { namespaceSelector: ns('y', 'z'), podSelector: pod('a') } }, number(protocol, 80))],
            }),
          ],
          expect: [
            ['x/*', 'y/a', port, false],
            ['x/*', 'z/a', port, false],
          ],
        },
      ],
    },
    {
      title: `${protocol} in tier Baseline`,
      steps: [
        {
          policies: [
            clusterPolicy('default', 'Baseline', 0, {
              subject,
              ingress: [rule('Accept', 'from', namespaces('y'), number(protocol, 80)), rule('Deny', 'from', namespaces('y'))],
              egress: [rule('Deny', 'to', namespaces('z'), number(protocol, 80))],
            }),
          ],
          expect: [from('y', '*', false), from('y', port, true), to('z', port, false)],
        },
      ],
    },
  ]
})

export const CLUSTER_POLICY_SCENARIOS: readonly Scenario[] = [
  ...byProtocol,
  {
    title: 'no isolation by itself: what no rule matches is free',
    steps: [
      {
        policies: [
          clusterPolicy('p', 'Admin', 10, {
            subject,
            ingress: [rule('Accept', 'from', namespaces('y'))],
            egress: [rule('Deny', 'to', namespaces('z'))],
          }),
        ],
        expect: [to('z', '*', false)],
      },
    ],
  },
  {
    title: 'Accept of tier Admin goes before an isolating NetworkPolicy',
    steps: [
      {
        policies: [DENY_IN, clusterPolicy('p', 'Admin', 10, { subject, ingress: [rule('Accept', 'from', namespaces('y'))] })],
        expect: [['*', 'x/*', '*', false], from('y', '*', true)],
      },
      {
        does: 'egress',
        policies: [
          DENY_OUT,
          clusterPolicy('p', 'Admin', 10, { subject, egress: [rule('Accept', 'to', namespaces('y'), number('tcp', 80))] }),
        ],
        expect: [['x/*', '*', '*', false], to('y', 'TCP:80', true)],
      },
    ],
  },
  {
    title: 'Deny of tier Admin goes before a NetworkPolicy that admits',
    steps: [
      {
        policies: [
          networkPolicy('x/allow', { podSelector: {}, policyTypes: ['Ingress'], ingress: [{}] }),
          clusterPolicy('p', 'Admin', 10, { subject, ingress: [rule('Deny', 'from', namespaces('y'))] }),
        ],
        expect: [from('y', '*', false)],
      },
    ],
  },
  {
    title: 'Pass of tier Admin: the NetworkPolicies decide, else the baseline',
    steps: [
      {
        policies: [
          clusterPolicy('p', 'Admin', 10, {
            subject,
            ingress: [rule('Pass', 'from', namespaces('y')), rule('Deny', 'from', { namespaces: {} })],
          }),
          networkPolicy('x/allow', {
            podSelector: pod('a'),
            policyTypes: ['Ingress'],
            ingress: [{ ports: [{ protocol: 'TCP', port: 80 }] }],
          }),
        ],
        expect: [['*', 'x/*', '*', false], from('y', '*', true), ['y/*', 'x/a', '*', false], ['y/*', 'x/a', 'TCP:80', true]],
      },
      {
        does: 'no NetworkPolicy: the baseline',
        policies: [
          clusterPolicy('p', 'Admin', 10, { subject, ingress: [rule('Pass', 'from', { namespaces: {} })] }),
          clusterPolicy('default', 'Baseline', 0, { subject, ingress: [rule('Deny', 'from', namespaces('y'))] }),
        ],
        expect: [from('y', '*', false)],
      },
      {
        does: 'Pass skips the other policies of its tier, too',
        policies: [
          clusterPolicy('p', 'Admin', 10, { subject, ingress: [rule('Pass', 'from', namespaces('y'))] }),
          clusterPolicy('q', 'Admin', 11, { subject, ingress: [rule('Deny', 'from', { namespaces: {} })] }),
        ],
        expect: [['*', 'x/*', '*', false], from('y', '*', true)],
      },
    ],
  },
  {
    title: 'NetworkPolicies go before the baseline, per direction',
    steps: [
      {
        policies: [
          networkPolicy('x/allow', { podSelector: pod('a'), policyTypes: ['Ingress'], ingress: [{}] }),
          clusterPolicy('default', 'Baseline', 0, { subject, ingress: [rule('Deny', 'from', { namespaces: {} })] }),
        ],
        expect: [
          ['*', 'x/*', '*', false],
          ['*', 'x/a', '*', true],
        ],
      },
      {
        does: 'one for egress leaves ingress to the baseline',
        policies: [
          networkPolicy('x/allow', { podSelector: pod('a'), policyTypes: ['Egress'], egress: [{}] }),
          clusterPolicy('default', 'Baseline', 0, {
            subject,
            ingress: [rule('Deny', 'from', { namespaces: {} })],
            egress: [rule('Deny', 'to', namespaces('z'))],
          }),
        ],
        expect: [['*', 'x/*', '*', false], to('z', '*', false), ['x/a', 'z/*', '*', true]],
      },
    ],
  },
  {
    title: 'priority: the smaller number decides',
    steps: [
      {
        policies: [
          clusterPolicy('a', 'Admin', 100, { subject, ingress: [rule('Accept', 'from', namespaces('y'))] }),
          clusterPolicy('b', 'Admin', 20, { subject, ingress: [rule('Deny', 'from', namespaces('y'))] }),
        ],
        expect: [from('y', '*', false)],
      },
      {
        does: 'numbers change',
        policies: [
          clusterPolicy('a', 'Admin', 9, { subject, ingress: [rule('Accept', 'from', namespaces('y'))] }),
          clusterPolicy('b', 'Admin', 20, { subject, ingress: [rule('Deny', 'from', namespaces('y'))] }),
        ],
        expect: [],
      },
    ],
  },
  {
    title: 'actions change',
    steps: (['Deny', 'Accept', 'Pass', 'Deny'] as const).map((action) => ({
      does: action,
      policies: [clusterPolicy('p', 'Admin', 10, { subject, egress: [rule(action, 'to', namespaces('y'))] })],
      expect: action === 'Deny' ? [to('y', '*', false)] : [],
    })),
  },
  {
    title: 'egress accepted by the client, denied by the server',
    steps: [
      {
        policies: [
          clusterPolicy('client', 'Admin', 10, { subject, egress: [rule('Accept', 'to', namespaces('y'))] }),
          clusterPolicy('server', 'Admin', 20, { subject: { namespaces: named('y') }, ingress: [rule('Deny', 'from', namespaces('x'))] }),
        ],
        expect: [to('y', '*', false)],
      },
    ],
  },
  {
    title: 'subjects and peers by pods and labels of namespaces',
    steps: [
      {
        policies: [
          clusterPolicy('p', 'Admin', 10, {
            subject: { pods: { namespaceSelector: ns('x', 'y'), podSelector: pod('a') } },
            ingress: [rule('Deny', 'from', { pods: { namespaceSelector: ns('z'), podSelector: pod('b', 'c') } })],
          }),
        ],
        expect: ['x/a', 'y/a'].flatMap((target) => ['z/b', 'z/c'].map((source): Expectation => [source, target, '*', false])),
      },
      {
        does: 'a namespace gets the label',
        namespaceLabels: { y: { ns: 'z' } },
        policies: [clusterPolicy('p', 'Admin', 10, { subject, ingress: [rule('Deny', 'from', { namespaces: ns('z') })] })],
        expect: [from('y', '*', false), from('z', '*', false)],
      },
    ],
  },
  {
    title: 'ranges of ports, and names of ports',
    steps: [
      {
        policies: [
          clusterPolicy('p', 'Admin', 10, {
            subject,
            egress: [rule('Deny', 'to', namespaces('y'), { tcp: { destinationPort: { range: { start: 81, end: 90 } } } })],
          }),
        ],
        expect: [to('y', 'TCP:81', false)],
      },
      {
        does: 'by name',
        policies: [
          clusterPolicy('p', 'Admin', 10, {
            subject,
            ingress: [
              rule('Accept', 'from', namespaces('y'), { destinationNamedPort: 'serve-80-tcp' }),
              rule('Deny', 'from', namespaces('y')),
            ],
          }),
        ],
        expect: [from('y', '*', false), from('y', 'TCP:80', true)],
      },
      {
        does: 'every port of a protocol',
        policies: [
          clusterPolicy('p', 'Admin', 10, { subject, ingress: [rule('Deny', 'from', namespaces('y'), { udp: {} }, number('tcp', 80))] }),
        ],
        expect: [from('y', 'UDP', false), from('y', 'TCP:80', false)],
      },
    ],
  },
  {
    title: 'egress to networks',
    steps: [
      {
        policies: (of) => [
          clusterPolicy('p', 'Admin', 10, {
            subject,
            egress: [
              rule('Accept', 'to', { networks: [`${of('y/b').ipv4}/32`, `${of('y/b').ipv6}/128`] }, number('tcp', 80)),
              rule('Deny', 'to', { networks: ['0.0.0.0/0', '::/0'] }),
            ],
          }),
        ],
        expect: [
          ['x/*', '*', '*', false],
          ['x/*', 'y/b', 'TCP:80', true],
        ],
      },
    ],
  },
  {
    title: 'a peer that this version does not know',
    steps: [
      {
        policies: [
          clusterPolicy('accepts-unknown', 'Admin', 10, { subject, egress: [rule('Accept', 'to', { domainNames: ['example.com'] })] }),
        ],
        expect: [],
      },
      {
        does: 'denies all where the rule denies',
        policies: [clusterPolicy('denies-unknown', 'Admin', 10, { subject, egress: [rule('Deny', 'to', { clouds: ['all'] })] })],
        expect: [['x/*', '*', '*', false]],
      },
    ],
  },
]
