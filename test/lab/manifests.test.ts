import { describe, expect, test } from '@jest/globals'
import { hostsFile, manifestFolders } from '../../src/lab/manifests.ts'
import { parseResource } from '../../src/store/index.ts'
import { plan } from './fixtures.ts'

describe('manifestFolders', () => {
  test('every manifest is valid', () => {
    const all = manifestFolders(plan()).flatMap(({ files, blocks }) => [...files.flatMap(({ manifests }) => manifests), ...blocks])
    expect(all.length).toBeGreaterThan(30)
    for (const manifest of all) expect({ manifest, parsed: parseResource(manifest) }).toMatchObject({ parsed: { ok: true } })
  })

  test('the nodes share one folder, Fibula routers have one each, real daemons none', () => {
    expect(manifestFolders(plan('fibula')).map(({ name }) => name)).toEqual(['cluster', 'tor-a', 'tor-b'])
    expect(manifestFolders(plan('frr')).map(({ name }) => name)).toEqual(['cluster'])
  })

  test('no two objects of a folder have one kind and name', () => {
    for (const { files, blocks } of manifestFolders(plan())) {
      const names = [...files.flatMap(({ manifests }) => manifests), ...blocks].map(({ kind, metadata }) => `${kind}/${metadata.name}`)
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

  test('every node has a block of each family, with its pods in it', () => {
    const blocks = manifestFolders(plan())[0]?.blocks ?? []
    expect(blocks.filter(({ spec }) => spec.node === 'node-2').map(({ spec }) => spec.allocations?.map(({ pod }) => pod))).toEqual([
      ['pod-2a', 'pod-2b'],
      ['pod-2a', 'pod-2b'],
    ])
  })
})

test('hostsFile names every speaker and pod by both addresses', () => {
  const { nodes } = plan()
  const pod = nodes[2]?.pods[1]
  expect(hostsFile(plan())).toContain(`${pod?.address.ipv4} pod-3b\n${pod?.address.ipv6} pod-3b\n`)
  expect(hostsFile(plan())).toContain('10.0.0.1 tor-a\n')
})
