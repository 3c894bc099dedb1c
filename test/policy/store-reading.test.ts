// Policies that do not parse, as the stores hand them on: read so that they grant no more, and reported (decision 16).
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { systemClock } from '../../src/lib/clock.ts'
import { clusterPolicyFromKubernetes, networkPolicyFromKubernetes } from '../../src/policy/index.ts'
import { DirectoryStore, type Resource } from '../../src/store/index.ts'
import type { ApiServer } from '../../src/store/kubernetes/api-server.ts'
import { receive, salvage } from '../../src/store/kubernetes/receive.ts'
import { Reflector } from '../../src/store/kubernetes/reflector.ts'

const policy = (spec: unknown, resourceVersion = '1') => ({ metadata: { name: 'p', namespace: 'a', resourceVersion }, spec })
const clusterPolicy = (spec: unknown) => ({ metadata: { name: 'c' }, spec })
const GOOD = { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] }
const UNKNOWN = { podSelector: {}, ingress: [{ from: [{ podSelector: {} }, { services: {} }] }] }

describe('what an API server sends', () => {
  test.each([
    policy({ ...GOOD, unless: {} }),
    policy({ podSelector: {}, ingress: [{ from: [{ podSelector: {}, services: {} }] }] }),
    policy({ podSelector: {}, ingress: [{ ports: [{ port: 80, flags: 'SYN' }] }] }),
    policy({ podSelector: { matchNames: ['x'] } }),
  ])('NetworkPolicy %j is not read as if the unknown field were not there', (raw) => {
    expect(receive('NetworkPolicy', raw).ok).toBe(false)
    expect(salvage('NetworkPolicy', raw)).toMatchObject({ kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'a' } })
  })

  test.each([
    {
      tier: 'Admin',
      priority: 1,
      subject: { namespaces: {} },
      egress: [{ action: 'Accept', to: [{ networks: ['10.0.0.0/8'], fqdn: 'x' }] }],
    },
    { tier: 'Admin', priority: 1, subject: { namespaces: {} }, ingress: [{ action: 'Accept', from: [{ namespaces: {} }], when: 'night' }] },
  ])('ClusterNetworkPolicy %j neither', (spec) => {
    expect(receive('ClusterNetworkPolicy', clusterPolicy(spec)).ok).toBe(false)
    const salvaged = salvage('ClusterNetworkPolicy', clusterPolicy(spec))
    if (salvaged?.kind !== 'ClusterNetworkPolicy') throw new Error('no ClusterNetworkPolicy')
    const { rules } = clusterPolicyFromKubernetes(salvaged)
    expect([...rules.egress, ...rules.ingress].map(({ peers }) => peers)).toEqual([[{ kind: 'unknown' }]])
  })

  test('objects that are valid are read as they are, defaults filled in', () => {
    const received = receive('NetworkPolicy', policy({ podSelector: {}, egress: [{ ports: [{ port: 53, protocol: 'UDP' }, {}] }] }))
    if (!received.ok || received.value.kind !== 'NetworkPolicy') throw new Error('not read')
    expect(networkPolicyFromKubernetes(received.value)).toMatchObject({
      isolates: { ingress: true, egress: true },
      rules: {
        egress: [
          {
            peers: null,
            ports: [
              { kind: 'range', first: 53, last: 53, protocol: 'UDP' },
              { kind: 'protocol', protocol: 'TCP' },
            ],
          },
        ],
      },
    })
  })

  test('selectors may be longer than those of our own kinds', () => {
    const values = Array.from({ length: 500 }, (_, at) => `v${at}`)
    const podSelector = { matchExpressions: [{ key: 'app', operator: 'In', values }] }
    expect(receive('NetworkPolicy', policy({ podSelector })).ok).toBe(true)
  })

  test('a policy that cannot be read whole is told as it was salvaged, and stays a problem; listed or watched', async () => {
    const told: string[] = []
    const observer = {
      put: (object: Resource) => told.push(`put ${object.metadata.resourceVersion}`),
      gone: () => told.push('gone'),
      invalid: (key: { readonly name: string }, message: string) => told.push(`invalid ${key.name}: ${message}`),
      listed: (objects: readonly Resource[]) => told.push(`listed ${objects.map(({ metadata }) => metadata.name).join()}`),
      trouble: () => {},
      quiet: () => {},
    }
    const later = JSON.stringify({ type: 'MODIFIED', object: policy(UNKNOWN, '8') })
    const end = Promise.withResolvers<void>()
    const api = {
      request: () => Promise.resolve({ metadata: { resourceVersion: '7' }, items: [policy(UNKNOWN)] }),
      lines: (_request: unknown, reader: { readonly line: (text: string) => void }) => {
        reader.line(later)
        end.resolve()
        return new Promise<void>(() => {})
      },
    } as unknown as ApiServer // as much of it as a reflector asks for
    using _reflector = new Reflector({ api, clock: systemClock, random: () => 0.5, idleMs: 60_000 }, { kind: 'NetworkPolicy' }, observer)
    await end.promise
    const fault = expect.stringMatching(/^invalid p: .*services/)
    expect(told).toEqual([fault, 'listed p', fault, 'put 8', fault])
  })
})

describe('a folder', () => {
  let path: string
  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), 'fib-policy-'))
  })
  afterEach(() => rmSync(path, { recursive: true, force: true }))
  const save = (spec: unknown) =>
    writeFileSync(join(path, 'p.yaml'), JSON.stringify({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', ...policy(spec) }))
  const peers = async (store: DirectoryStore) =>
    (await store.list({ kind: 'NetworkPolicy' })).map(({ spec }) => spec.ingress?.map(({ from }) => from))

  test('one that was never right is there as far as it is understood, and a problem', async () => {
    save(UNKNOWN)
    await using store = new DirectoryStore(path)
    expect(await peers(store)).toEqual([[[{ podSelector: {} }, {}]]])
    expect((await store.problems()).map(({ message }) => message)).toEqual([
      expect.stringContaining('unknown field spec.ingress[0].from[1].services'),
    ])
  })

  test('of one that was right the last good state stays', async () => {
    save(GOOD)
    await using store = new DirectoryStore(path)
    expect(await peers(store)).toEqual([[[{ podSelector: {} }]]])
    save({ ...GOOD, unless: {} })
    expect(await peers(store)).toEqual([[[{ podSelector: {} }]]])
    expect(await store.problems()).toHaveLength(1)
  })

  test('apply refuses it with words', async () => {
    await using store = new DirectoryStore(path)
    const object = {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'p' },
      spec: { podSelector: {}, ingress: [{ form: [] }] },
    }
    await expect(store.create(object as never)).rejects.toThrow(/unknown field spec\.ingress\[0\]\.form; did you mean from\?/)
  })
})
