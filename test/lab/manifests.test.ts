import { describe, expect, test } from '@jest/globals'
import { hostsFile, manifestFolders, podManifest } from '../../src/lab/manifests.ts'
import { parseResource } from '../../src/store/index.ts'
import { plan } from './fixtures.ts'

describe('manifestFolders', () => {
  test('every manifest is valid', () => {
    const all = manifestFolders(plan()).flatMap(({ files }) => files.flatMap(({ manifests }) => manifests))
    expect(all.length).toBeGreaterThan(30)
    for (const manifest of all) expect({ manifest, parsed: parseResource(manifest) }).toMatchObject({ parsed: { ok: true } })
  })

  test('the nodes share one folder, Fibula routers have one each, real daemons none', () => {
    expect(manifestFolders(plan('fibula')).map(({ name }) => name)).toEqual(['cluster', 'tor-a', 'tor-b'])
    expect(manifestFolders(plan('frr')).map(({ name }) => name)).toEqual(['cluster'])
  })

  test('no two objects of a folder have one kind and name', () => {
    for (const { files } of manifestFolders(plan())) {
      const names = files.flatMap(({ manifests }) => manifests).map(({ kind, metadata }) => `${kind}/${metadata.name}`)
      expect(new Set(names).size).toBe(names.length)
    }
  })

  test('routers pass on what they learn, nodes do not', () => {
    const [cluster, router] = manifestFolders(plan())
    const specOf = (folder: typeof cluster) =>
      folder?.files
        .flatMap(({ manifests }) => manifests)
        .find(({ kind, metadata }) => kind === 'BGPConfiguration' && metadata.name === 'default')?.spec
    expect([specOf(cluster), specOf(router)]).toMatchObject([{ mode: 'Host' }, { mode: 'Router' }])
  })
})

describe('podManifest', () => {
  const address = { ipv4: '10.244.7.1', ipv6: 'fd00:10:244::7' }

  test('policies select a pod by its name and its node, which are its labels', () => {
    const { metadata } = podManifest({ name: 'pod-3b', node: 'node-3' }, address)
    expect(metadata).toEqual({ name: 'pod-3b', namespace: 'default', labels: { pod: 'pod-3b', node: 'node-3' } })
  })

  test.each([
    [
      'with its addresses, as its node and its status say',
      address,
      { phase: 'Running', podIPs: [{ ip: '10.244.7.1' }, { ip: 'fd00:10:244::7' }] },
    ],
    ['that has none yet is pending', null, { phase: 'Pending' }],
  ])('a pod %s', (_, known, status) => {
    const manifest = podManifest({ name: 'pod-3b', node: 'node-3' }, known)
    expect(manifest).toMatchObject({ spec: { nodeName: 'node-3' }, status })
    expect(parseResource(manifest)).toMatchObject({ ok: true })
  })

  test('its namespace is among the manifests, with the label that selects it by name', () => {
    const namespaces = manifestFolders(plan()).flatMap(({ files }) =>
      files.flatMap(({ manifests }) => manifests.filter(({ kind }) => kind === 'Namespace')),
    )
    expect(namespaces).toMatchObject([{ metadata: { name: 'default', labels: { 'kubernetes.io/metadata.name': 'default' } } }])
  })
})

test('hostsFile names every speaker and pod by both addresses', () => {
  const pods = [{ name: 'pod-3b', address: { ipv4: '10.244.7.1', ipv6: 'fd00:10:244::7' } }]
  expect(hostsFile(plan(), pods)).toContain('10.244.7.1 pod-3b\nfd00:10:244::7 pod-3b\n')
  expect(hostsFile(plan(), [])).toContain('10.0.0.1 tor-a\n')
})
