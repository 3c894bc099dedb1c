// Whom a policy selects, what isolation is, and how types are filled in: statements 1 to 23 (docs/policy-semantics.md).
import { describe, expect, test } from '@jest/globals'
import { parseResource } from '../../src/store/validate.ts'
import { World } from './world.ts'

const ALL = { podSelector: {}, policyTypes: ['Ingress', 'Egress'] }
const DENY_IN = { podSelector: {}, policyTypes: ['Ingress'] }
const DENY_OUT = { podSelector: {}, policyTypes: ['Egress'] }
const fromApp = (app: string) => [{ from: [{ podSelector: { matchLabels: { app } } }] }]

/** Two namespaces; clients and servers on both nodes. */
function world(): World {
  return new World()
    .namespace('a')
    .namespace('b')
    .pod('a/web', { labels: { app: 'web' } })
    .pod('a/db', { labels: { app: 'db' }, node: 'n2' })
    .pod('b/web', { labels: { app: 'web' } })
    .pod('b/cli', { labels: { app: 'cli' }, node: 'n2' })
}

describe('selection and isolation', () => {
  test('[policy 1] a policy selects pods of its own namespace only', () => {
    const cluster = world().policy('a/deny', DENY_IN)
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
    expect(cluster.allows('b/cli', 'b/web')).toBe(true)
  })

  test('[policy 2] podSelector is required; an empty one selects every pod, also later ones', () => {
    expect(parseResource({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'a' }, spec: {} }).ok).toBe(false)
    const cluster = world().policy('a/deny', DENY_IN)
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
    expect(cluster.allows('b/cli', 'a/db')).toBe(false)
    cluster.pod('a/late', { node: 'n2' })
    expect(cluster.allows('b/cli', 'a/late')).toBe(false)
  })

  test('[policy 3] every part of a selector must hold', () => {
    const podSelector = {
      matchLabels: { app: 'web' },
      matchExpressions: [
        { key: 'env', operator: 'In', values: ['prod'] },
        { key: 'rev', operator: 'Exists' },
      ],
    }
    const cluster = world().policy('a/deny', { podSelector })
    const isolated = (labels: Record<string, string>) => !cluster.pod('a/x', { labels }).allows('b/cli', 'a/x')
    expect(isolated({ app: 'web', env: 'prod', rev: '1' })).toBe(true)
    expect(isolated({ app: 'db', env: 'prod', rev: '1' })).toBe(false)
    expect(isolated({ app: 'web', env: 'test', rev: '1' })).toBe(false)
    expect(isolated({ app: 'web', env: 'prod' })).toBe(false)
  })

  test.each([
    ['In', ['x', 'y'], { k: 'x' }, true],
    ['In', ['x', 'y'], { k: 'z' }, false],
    ['In', ['x', 'y'], {}, false],
    ['NotIn', ['x'], { k: 'x' }, false],
    ['NotIn', ['x'], { k: 'y' }, true],
    ['NotIn', ['x'], {}, true],
    ['Exists', undefined, { k: '' }, true],
    ['Exists', undefined, {}, false],
    ['DoesNotExist', undefined, {}, true],
    ['DoesNotExist', undefined, { k: '' }, false],
  ])('[policy 4] %s %j selects %j: %s', (operator, values, labels, selects) => {
    const requirement = { key: 'k', operator, ...(values === undefined ? {} : { values }) }
    const cluster = world().policy('a/deny', { podSelector: { matchExpressions: [requirement] } })
    cluster.pod('a/x', { labels: labels as Record<string, string> })
    expect(cluster.allows('b/cli', 'a/x')).toBe(!selects)
  })

  test('[policy 5] the empty value is a value, and case counts', () => {
    const cluster = world().policy('a/deny', { podSelector: { matchLabels: { k: '' } } })
    const isolated = (labels: Record<string, string>) => !cluster.pod('a/x', { labels }).allows('b/cli', 'a/x')
    expect(isolated({ k: '' })).toBe(true)
    expect(isolated({})).toBe(false)
    expect(isolated({ K: '' })).toBe(false)
    cluster.policy('a/deny', { podSelector: { matchLabels: { k: 'V' } } })
    expect(isolated({ k: 'v' })).toBe(false)
    expect(isolated({ k: 'V' })).toBe(true)
  })

  test('[policy 6, 8] each direction is isolated by itself; one that is not admits everything', () => {
    const cluster = world().policy('a/in', { ...DENY_IN, podSelector: { matchLabels: { app: 'web' } } })
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
    expect(cluster.allows('a/web', 'b/cli')).toBe(true)
    cluster.noPolicy('a/in').policy('a/out', { ...DENY_OUT, podSelector: { matchLabels: { app: 'web' } } })
    expect(cluster.allows('b/cli', 'a/web')).toBe(true)
    expect(cluster.allows('a/web', 'b/cli')).toBe(false)
    expect(cluster.allows('a/web', '192.0.2.1', '47')).toBe(false)
    expect(cluster.allows('192.0.2.1', 'a/web', '47')).toBe(true)
  })

  test('[policy 7, 10] an isolated pod admits the union of what its policies admit, in any order; a second policy only adds', () => {
    const cluster = world().pod('a/other', { labels: { app: 'other' } })
    cluster.policy('a/one', { podSelector: { matchLabels: { app: 'web' } }, ingress: fromApp('db') })
    expect(['a/db', 'a/other', 'b/cli'].map((from) => cluster.allows(from, 'a/web'))).toEqual([true, false, false])
    cluster.policy('a/deny-all', DENY_IN)
    expect(['a/db', 'a/other', 'b/cli'].map((from) => cluster.allows(from, 'a/web'))).toEqual([true, false, false])
    cluster.policy('a/aaa', { podSelector: { matchLabels: { app: 'web' } }, ingress: fromApp('other') })
    expect(['a/db', 'a/other', 'b/cli'].map((from) => cluster.allows(from, 'a/web'))).toEqual([true, true, false])
  })

  test('[policy 9] a connection needs the egress of the source and the ingress of the destination', () => {
    const cluster = world().policy('a/out', DENY_OUT).policy('b/in', DENY_IN)
    expect(cluster.allows('a/web', 'b/web')).toBe(false)
    cluster.policy('a/out', { podSelector: {}, policyTypes: ['Egress'], egress: [{}] })
    expect(cluster.allows('a/web', 'b/web')).toBe(false)
    cluster.policy('b/in', { podSelector: {}, ingress: [{}] })
    expect(cluster.allows('a/web', 'b/web')).toBe(true)
    cluster.policy('a/out', DENY_OUT)
    expect(cluster.allows('a/web', 'b/web')).toBe(false)
  })

  test('[policy 11] policies of one spec, or of one name in two namespaces, do not interact', () => {
    const cluster = world().policy('a/deny', DENY_IN).policy('a/deny2', DENY_IN).policy('b/deny', DENY_IN)
    cluster.noPolicy('a/deny')
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
    cluster.noPolicy('a/deny2')
    expect(cluster.allows('b/cli', 'a/web')).toBe(true)
    expect(cluster.allows('a/web', 'b/web')).toBe(false)
  })

  test('[policy 12] a policy that selects nobody waits for a pod or a label', () => {
    const cluster = world()
      .policy('a/deny', { podSelector: { matchLabels: { app: 'none' } } })
      .policy('c/deny', DENY_IN)
    expect(cluster.allows('b/cli', 'a/web')).toBe(true)
    cluster.pod('a/web', { labels: { app: 'none' } })
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
    cluster.namespace('c').pod('c/first')
    expect(cluster.allows('b/cli', 'c/first')).toBe(false)
  })

  test('[policy 13] a policy without rules and types isolates for ingress only', () => {
    const cluster = world().policy('a/plain', { podSelector: {} })
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
    expect(cluster.allows('a/web', 'b/cli')).toBe(true)
  })

  test('[policy 14] isolation ends with the last policy; before that only its permissions go', () => {
    const cluster = world()
      .policy('a/one', { podSelector: {}, ingress: fromApp('db') })
      .policy('a/two', DENY_IN)
    expect(cluster.allows('a/db', 'a/web')).toBe(true)
    cluster.noPolicy('a/one')
    expect(cluster.allows('a/db', 'a/web')).toBe(false)
    cluster.noPolicy('a/two')
    expect(cluster.allows('b/cli', 'a/web')).toBe(true)
  })

  test('[policy 15, 37] labels of a pod move it in and out as subject and as peer', () => {
    const cluster = world().policy('a/web', { podSelector: { matchLabels: { app: 'web' } }, ingress: fromApp('db') })
    expect(cluster.allows('a/db', 'a/web')).toBe(true)
    cluster.pod('a/db', { labels: { app: 'old' }, node: 'n2' })
    expect(cluster.allows('a/db', 'a/web')).toBe(false)
    cluster.pod('a/web', { labels: { app: 'old' } })
    expect(cluster.allows('a/db', 'a/web')).toBe(true)
    cluster.pod('a/web', { labels: { app: 'web' } }).pod('a/db', { labels: { app: 'db' }, node: 'n2' })
    expect(cluster.allows('a/db', 'a/web')).toBe(true)
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
  })

  test('[policy 16] labels of a namespace change peers, never subjects', () => {
    const ingress = [{ from: [{ namespaceSelector: { matchLabels: { team: 'x' } } }] }]
    const cluster = world().policy('a/web', { podSelector: {}, ingress })
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
    cluster.namespace('b', { team: 'x' })
    expect(cluster.allows('b/cli', 'a/web')).toBe(true)
    cluster.namespace('a', { team: 'y' })
    expect(cluster.allows('a/db', 'a/web')).toBe(false)
    cluster.namespace('b', {})
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
  })

  test('[policy 17] every namespace has its name as a label, whatever its object says', () => {
    const ingress = [{ from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'b' } } }] }]
    const cluster = world().policy('a/web', { podSelector: {}, ingress })
    expect(cluster.allows('b/cli', 'a/web')).toBe(true)
    expect(cluster.allows('a/db', 'a/web')).toBe(false)
    cluster.namespace('a', { 'kubernetes.io/metadata.name': 'b' })
    expect(cluster.allows('a/db', 'a/web')).toBe(false)
  })
})

describe('types', () => {
  const isolation = (spec: object) => {
    const cluster = world().policy('a/p', { podSelector: {}, ...spec })
    return [!cluster.allows('b/cli', 'a/web'), !cluster.allows('a/web', 'b/cli')]
  }

  test.each([
    ['[policy 18] none and no egress rule: ingress', {}, [true, false]],
    ['[policy 18] an empty list is none', { policyTypes: [] }, [true, false]],
    ['[policy 18] none and an egress rule: both', { egress: [{ to: [{ ipBlock: { cidr: '192.0.2.0/24' } }] }] }, [true, true]],
    ['[policy 19] none and an empty egress: ingress', { egress: [] }, [true, false]],
    ['[policy 20] Egress with ingress rules: ingress is not isolated', { policyTypes: ['Egress'], ingress: fromApp('x') }, [false, true]],
    ['[policy 21] Ingress with egress rules: egress is not isolated', { policyTypes: ['Ingress'], egress: [{}] }, [true, false]],
    ['[policy 22] both and no rules: shut', { policyTypes: ['Ingress', 'Egress'] }, [true, true]],
    ['[policy 23] order and repetition mean nothing', { policyTypes: ['Egress', 'Ingress', 'Egress'] }, [true, true]],
  ])('%s', (_, spec, wanted) => {
    expect(isolation(spec)).toEqual(wanted)
  })

  test('[policy 23] unknown types are refused; met in a cluster they isolate in both directions', () => {
    const manifest = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'a' } }
    expect(parseResource({ ...manifest, spec: { podSelector: {}, policyTypes: ['Sideways'] } }).ok).toBe(false)
    expect(isolation({ policyTypes: ['Sideways'] })).toEqual([true, true])
    expect(isolation(ALL)).toEqual([true, true])
  })
})
