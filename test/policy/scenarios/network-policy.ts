// What upstream's end-to-end tests of NetworkPolicy are about, in our words.
import { type Expectation, named, networkPolicy, ns, pod, type Scenario } from './scenario.ts'

const TO_A: Expectation = ['*', 'x/a', '*', false]
const INTO_X: Expectation = ['*', 'x/*', '*', false]
const ingress = (podSelector: object, ...rules: readonly object[]): object => ({ podSelector, policyTypes: ['Ingress'], ingress: rules })
const egress = (podSelector: object, ...rules: readonly object[]): object => ({ podSelector, policyTypes: ['Egress'], egress: rules })
const on = (name: string, spec: object): object => networkPolicy(`x/${name}`, spec)
const tcp = (port: number | string): object => ({ protocol: 'TCP', port })

export const NETWORK_POLICY_SCENARIOS: readonly Scenario[] = [
  { title: 'default deny of ingress', steps: [{ policies: [on('deny', ingress({}))], expect: [INTO_X] }] },
  { title: 'default deny of egress', steps: [{ policies: [on('deny', egress({}))], expect: [['x/*', '*', '*', false]] }] },
  {
    title: 'default deny of everything',
    steps: [
      {
        policies: [on('deny', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] })],
        expect: [INTO_X, ['x/*', '*', '*', false]],
      },
    ],
  },
  {
    title: 'pods of the own namespace by podSelector',
    steps: [
      { policies: [on('allow', ingress(pod('a'), { from: [{ podSelector: pod('b') }] }))], expect: [TO_A, ['x/b', 'x/a', '*', true]] },
    ],
  },
  {
    title: 'everybody to one target of a denied namespace',
    steps: [{ policies: [on('deny', ingress({})), on('allow', ingress(pod('a'), {}))], expect: [INTO_X, ['*', 'x/a', '*', true]] }],
  },
  {
    title: 'pods of all namespaces by an empty namespaceSelector',
    steps: [
      { policies: [on('deny', ingress(pod('a'))), on('allow', ingress(pod('a'), { from: [{ namespaceSelector: {} }] }))], expect: [] },
    ],
  },
  {
    title: 'another namespace by namespaceSelector, not the own',
    steps: [
      { policies: [on('allow', ingress(pod('a'), { from: [{ namespaceSelector: ns('y') }] }))], expect: [TO_A, ['y/*', 'x/a', '*', true]] },
    ],
  },
  {
    title: 'podSelector with matchExpressions',
    steps: [
      {
        policies: [
          on(
            'allow',
            ingress(pod('a'), { from: [{ podSelector: { matchExpressions: [{ key: 'pod', operator: 'NotIn', values: ['c'] }] } }] }),
          ),
        ],
        expect: [TO_A, ['x/b', 'x/a', '*', true]],
      },
    ],
  },
  {
    title: 'namespaceSelector with matchExpressions',
    steps: [
      {
        policies: [on('allow', ingress(pod('a'), { from: [{ namespaceSelector: ns('y', 'z') }] }))],
        expect: [TO_A, ['y/*', 'x/a', '*', true], ['z/*', 'x/a', '*', true]],
      },
      {
        does: 'by what they are not',
        policies: [
          on(
            'allow',
            ingress(pod('a'), {
              from: [{ namespaceSelector: { matchExpressions: [{ key: 'ns', operator: 'NotIn', values: ['x', 'z'] }] } }],
            }),
          ),
        ],
        expect: [TO_A, ['y/*', 'x/a', '*', true]],
      },
    ],
  },
  {
    title: 'podSelector or namespaceSelector: two items',
    steps: [
      {
        policies: [on('allow', ingress(pod('a'), { from: [{ podSelector: pod('b') }, { namespaceSelector: ns('y') }] }))],
        expect: [TO_A, ['x/b', 'x/a', '*', true], ['y/*', 'x/a', '*', true]],
      },
    ],
  },
  {
    title: 'podSelector and namespaceSelector: one item',
    steps: [
      {
        policies: [on('allow', ingress(pod('a'), { from: [{ podSelector: pod('b'), namespaceSelector: ns('y') }] }))],
        expect: [TO_A, ['y/b', 'x/a', '*', true]],
      },
      {
        does: 'both with matchExpressions',
        policies: [on('allow', ingress(pod('a'), { from: [{ podSelector: pod('b', 'c'), namespaceSelector: ns('y', 'z') }] }))],
        expect: [TO_A, ...['y/b', 'y/c', 'z/b', 'z/c'].map((from): Expectation => [from, 'x/a', '*', true])],
      },
    ],
  },
  {
    title: 'any of several podSelectors',
    steps: [
      {
        policies: [on('allow', ingress(pod('a'), { from: [{ podSelector: pod('b') }, { podSelector: pod('c') }] }))],
        expect: [TO_A, ['x/*', 'x/a', '*', true]],
      },
    ],
  },
  {
    title: 'other namespaces denied, the own allowed',
    steps: [{ policies: [on('allow', ingress({}, { from: [{ podSelector: {} }] }))], expect: [INTO_X, ['x/*', 'x/*', '*', true]] }],
  },
  {
    title: 'the label that every namespace has',
    steps: [
      {
        policies: [on('allow', ingress(pod('a'), { from: [{ namespaceSelector: named('y') }] }))],
        expect: [TO_A, ['y/*', 'x/a', '*', true]],
      },
      {
        does: 'with matchExpressions',
        policies: [
          on(
            'allow',
            ingress(pod('a'), {
              from: [
                { namespaceSelector: { matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['y'] }] } },
              ],
            }),
          ),
        ],
        expect: [TO_A, ['x/*', 'x/a', '*', true], ['z/*', 'x/a', '*', true]],
      },
      {
        does: 'for egress',
        policies: [on('allow', egress(pod('a'), { to: [{ namespaceSelector: named('y') }] }))],
        expect: [
          ['x/a', '*', '*', false],
          ['x/a', 'y/*', '*', true],
        ],
      },
    ],
  },
  {
    title: 'one port',
    steps: [
      { policies: [on('allow', ingress(pod('a'), { ports: [tcp(81)] }))], expect: [TO_A, ['*', 'x/a', 'TCP:81', true]] },
      {
        does: 'and one namespace',
        policies: [on('allow', ingress(pod('a'), { from: [{ namespaceSelector: ns('y') }], ports: [tcp(81)] }))],
        expect: [TO_A, ['y/*', 'x/a', 'TCP:81', true]],
      },
    ],
  },
  {
    title: 'several ports',
    steps: [
      { policies: [on('allow', ingress(pod('a'), { ports: [tcp(80), tcp(81)] }))], expect: [TO_A, ['*', 'x/a', 'TCP', true]] },
      {
        does: 'of two policies, each with its peers',
        policies: [
          on('one', ingress(pod('a'), { from: [{ namespaceSelector: ns('y') }], ports: [tcp(80)] })),
          on('two', ingress(pod('a'), { from: [{ namespaceSelector: ns('z') }], ports: [tcp(81)] })),
        ],
        expect: [TO_A, ['y/*', 'x/a', 'TCP:80', true], ['z/*', 'x/a', 'TCP:81', true]],
      },
    ],
  },
  {
    title: 'a range of ports',
    steps: [
      {
        policies: [on('allow', ingress(pod('a'), { ports: [{ protocol: 'TCP', port: 81, endPort: 90 }] }))],
        expect: [TO_A, ['*', 'x/a', 'TCP:81', true]],
      },
      {
        does: 'for egress, all ports of UDP',
        policies: [on('allow', egress(pod('a'), { ports: [{ protocol: 'UDP', port: 1, endPort: 65_535 }] }))],
        expect: [
          ['x/a', '*', '*', false],
          ['x/a', '*', 'UDP', true],
        ],
      },
    ],
  },
  { title: 'allow everything', steps: [{ policies: [on('deny', ingress({})), on('allow', ingress({}, {}))], expect: [] }] },
  {
    title: 'a named port',
    steps: [
      { policies: [on('allow', ingress(pod('a'), { ports: [tcp('serve-81-tcp')] }))], expect: [TO_A, ['*', 'x/a', 'TCP:81', true]] },
      {
        does: 'from one namespace',
        policies: [on('allow', ingress(pod('a'), { from: [{ namespaceSelector: ns('y') }], ports: [tcp('serve-80-tcp')] }))],
        expect: [TO_A, ['y/*', 'x/a', 'TCP:80', true]],
      },
      {
        does: 'for egress',
        policies: [on('allow', egress(pod('a'), { ports: [tcp('serve-80-tcp')] }))],
        expect: [
          ['x/a', '*', '*', false],
          ['x/a', '*', 'TCP:80', true],
        ],
      },
      {
        does: 'of another protocol than the name has',
        policies: [on('allow', ingress(pod('a'), { ports: [{ protocol: 'UDP', port: 'serve-80-tcp' }] }))],
        expect: [TO_A],
      },
    ],
  },
  {
    title: 'an updated policy',
    steps: [
      { policies: [on('change', ingress(pod('a'), {}))], expect: [] },
      { does: 'denies now', policies: [on('change', ingress(pod('a')))], expect: [TO_A] },
      {
        does: 'admits one port now',
        policies: [on('change', ingress(pod('a'), { ports: [tcp(80)] }))],
        expect: [TO_A, ['*', 'x/a', 'TCP:80', true]],
      },
      { does: 'is deleted', policies: [], expect: [] },
    ],
  },
  {
    title: 'an updated namespace',
    steps: [
      { policies: [on('allow', ingress(pod('a'), { from: [{ namespaceSelector: ns('new') }] }))], expect: [TO_A] },
      {
        does: 'gets the label',
        namespaceLabels: { y: { ns: 'new' } },
        policies: [on('allow', ingress(pod('a'), { from: [{ namespaceSelector: ns('new') }] }))],
        expect: [TO_A, ['y/*', 'x/a', '*', true]],
      },
      { does: 'loses it', policies: [on('allow', ingress(pod('a'), { from: [{ namespaceSelector: ns('new') }] }))], expect: [TO_A] },
    ],
  },
  {
    title: 'an updated pod',
    steps: [
      { policies: [on('allow', ingress(pod('a'), { from: [{ podSelector: pod('new') }] }))], expect: [TO_A] },
      {
        does: 'becomes a peer',
        podLabels: { 'x/b': { pod: 'new' } },
        policies: [on('allow', ingress(pod('a'), { from: [{ podSelector: pod('new') }] }))],
        expect: [TO_A, ['x/b', 'x/a', '*', true]],
      },
      {
        does: 'becomes a subject',
        podLabels: { 'x/a': { target: 'isolated' } },
        policies: [on('deny', ingress({ matchLabels: { target: 'isolated' } }))],
        expect: [TO_A],
      },
      { does: 'is none any more', policies: [on('deny', ingress({ matchLabels: { target: 'isolated' } }))], expect: [] },
    ],
  },
  {
    title: 'egress denied by podSelector',
    steps: [{ policies: [on('deny', egress(pod('a')))], expect: [['x/a', '*', '*', false]] }],
  },
  {
    title: 'ingress and egress in one policy',
    steps: [
      {
        policies: [
          on('both', {
            podSelector: pod('a'),
            policyTypes: ['Ingress', 'Egress'],
            ingress: [{ from: [{ namespaceSelector: ns('y') }] }],
            egress: [{ to: [{ namespaceSelector: ns('z') }], ports: [tcp(80)] }],
          }),
        ],
        expect: [TO_A, ['x/a', '*', '*', false], ['y/*', 'x/a', '*', true], ['x/a', 'z/*', 'TCP:80', true]],
      },
    ],
  },
  {
    title: 'egress denied though the server admits it',
    steps: [
      {
        policies: [networkPolicy('y/admit', ingress(pod('a'), {})), on('deny', egress(pod('a'), { to: [{ namespaceSelector: ns('z') }] }))],
        expect: [
          ['x/a', '*', '*', false],
          ['x/a', 'z/*', '*', true],
        ],
      },
    ],
  },
  {
    title: 'ingress and egress controlled apart, each by its own policy',
    steps: [
      {
        policies: [
          on('in', ingress(pod('a'), { from: [{ podSelector: pod('b') }] })),
          on('out', egress(pod('a'), { to: [{ podSelector: pod('b') }] })),
        ],
        expect: [TO_A, ['x/a', '*', '*', false], ['x/b', 'x/a', '*', true], ['x/a', 'x/b', '*', true]],
      },
      {
        does: 'the one for egress goes',
        policies: [on('in', ingress(pod('a'), { from: [{ podSelector: pod('b') }] }))],
        expect: [TO_A, ['x/b', 'x/a', '*', true]],
      },
    ],
  },
  {
    title: 'an egress policy that allows everything beside one that allows a little',
    steps: [
      {
        policies: [on('little', egress(pod('a'), { ports: [tcp(80)] }))],
        expect: [
          ['x/a', '*', '*', false],
          ['x/a', '*', 'TCP:80', true],
        ],
      },
      { policies: [on('little', egress(pod('a'), { ports: [tcp(80)] })), on('all', egress(pod('a'), {}))], expect: [] },
    ],
  },
  {
    title: 'an ingress policy that allows everything beside one that allows a little',
    steps: [
      { policies: [on('little', ingress(pod('a'), { ports: [tcp(80)] }))], expect: [TO_A, ['*', 'x/a', 'TCP:80', true]] },
      { policies: [on('little', ingress(pod('a'), { ports: [tcp(80)] })), on('all', ingress(pod('a'), {}))], expect: [] },
    ],
  },
  {
    title: 'every port of one protocol',
    steps: [
      { policies: [on('allow', ingress(pod('a'), { ports: [{ protocol: 'TCP' }] }))], expect: [TO_A, ['*', 'x/a', 'TCP', true]] },
      {
        does: 'UDP',
        policies: [on('allow', ingress(pod('a'), { ports: [{ protocol: 'UDP' }] }))],
        expect: [TO_A, ['*', 'x/a', 'UDP', true]],
      },
      {
        does: 'SCTP',
        policies: [on('allow', ingress(pod('a'), { ports: [{ protocol: 'SCTP' }] }))],
        expect: [TO_A, ['*', 'x/a', 'SCTP', true]],
      },
    ],
  },
  {
    title: 'one protocol never opens another',
    steps: [
      {
        does: 'UDP',
        policies: [on('allow', ingress(pod('a'), { ports: [{ protocol: 'UDP', port: 80 }] }))],
        expect: [TO_A, ['*', 'x/a', 'UDP:80', true]],
      },
      {
        does: 'SCTP',
        policies: [on('allow', ingress(pod('a'), { ports: [{ protocol: 'SCTP', port: 80 }] }))],
        expect: [TO_A, ['*', 'x/a', 'SCTP:80', true]],
      },
      {
        does: 'none named: TCP',
        policies: [on('allow', ingress(pod('a'), { ports: [{ port: 80 }] }))],
        expect: [TO_A, ['*', 'x/a', 'TCP:80', true]],
      },
    ],
  },
  {
    title: 'UDP and SCTP by ports, default deny, and peers of another namespace',
    steps: [
      {
        policies: [
          on('deny', ingress({})),
          on(
            'udp',
            ingress(pod('a'), { from: [{ namespaceSelector: ns('y'), podSelector: pod('a') }], ports: [{ protocol: 'UDP', port: 81 }] }),
          ),
          on(
            'sctp',
            ingress(pod('a'), { from: [{ namespaceSelector: ns('z'), podSelector: pod('b') }], ports: [{ protocol: 'SCTP', port: 81 }] }),
          ),
        ],
        expect: [INTO_X, ['y/a', 'x/a', 'UDP:81', true], ['z/b', 'x/a', 'SCTP:81', true]],
      },
    ],
  },
  {
    title: 'egress to addresses',
    steps: [
      {
        does: 'of one pod',
        policies: (of) => [
          on(
            'allow',
            egress(pod('a'), { to: [{ ipBlock: { cidr: `${of('y/b').ipv4}/32` } }, { ipBlock: { cidr: `${of('y/b').ipv6}/128` } }] }),
          ),
        ],
        expect: [
          ['x/a', '*', '*', false],
          ['x/a', 'y/b', '*', true],
        ],
      },
      {
        does: 'all but those of one',
        policies: (of) => [
          on(
            'allow',
            egress(pod('a'), {
              to: [
                { ipBlock: { cidr: '0.0.0.0/0', except: [`${of('y/b').ipv4}/32`] } },
                { ipBlock: { cidr: '::/0', except: [`${of('y/b').ipv6}/128`] } },
              ],
            }),
          ),
        ],
        expect: [['x/a', 'y/b', '*', false]],
      },
      {
        does: 'except in one policy, admitted by another',
        policies: (of) => [
          on(
            'allow',
            egress(pod('a'), {
              to: [
                { ipBlock: { cidr: '0.0.0.0/0', except: [`${of('y/b').ipv4}/32`] } },
                { ipBlock: { cidr: '::/0', except: [`${of('y/b').ipv6}/128`] } },
              ],
            }),
          ),
          on(
            'more',
            egress(pod('a'), { to: [{ ipBlock: { cidr: `${of('y/b').ipv4}/32` } }, { ipBlock: { cidr: `${of('y/b').ipv6}/128` } }] }),
          ),
        ],
        expect: [],
      },
    ],
  },
  {
    title: 'ingress from addresses, all but two',
    steps: [
      {
        policies: (of) => [
          on(
            'allow',
            ingress(pod('a'), {
              from: [
                { ipBlock: { cidr: '0.0.0.0/0', except: [`${of('y/b').ipv4}/32`, `${of('z/c').ipv4}/32`] } },
                { ipBlock: { cidr: '::/0', except: [`${of('y/b').ipv6}/128`, `${of('z/c').ipv6}/128`] } },
              ],
            }),
          ),
        ],
        expect: [
          ['y/b', 'x/a', '*', false],
          ['z/c', 'x/a', '*', false],
        ],
      },
    ],
  },
  {
    title: 'policies that select nobody, and peers that match nobody',
    steps: [
      { policies: [on('nobody', ingress(pod('none')))], expect: [] },
      { policies: [on('from-nobody', ingress(pod('a'), { from: [{ podSelector: pod('none') }] }))], expect: [TO_A] },
    ],
  },
  {
    title: 'types that are not given',
    steps: [
      { does: 'no rules: ingress', policies: [on('deny', { podSelector: pod('a') })], expect: [TO_A] },
      {
        does: 'with egress rules: both',
        policies: [on('deny', { podSelector: pod('a'), egress: [{ to: [{ podSelector: pod('b') }] }] })],
        expect: [TO_A, ['x/a', '*', '*', false], ['x/a', 'x/b', '*', true]],
      },
    ],
  },
]
