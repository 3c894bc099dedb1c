import { describe, expect, test } from '@jest/globals'
import { fibulaSpeakers, namespacesOf, plannedPods, speakersOf } from '../../src/lab/plan.ts'
import { redundantLinks } from '../../src/lab/redundancy.ts'
import { cidr, containsAddress, ip } from '../../src/net/index.ts'
import { plan, twoRacks } from './fixtures.ts'

describe('planLab', () => {
  test('everything has an address and a device of its own', () => {
    const { links } = plan()
    const ports = links.flatMap(({ ends }) => ends)
    const addresses = [...speakersOf(plan()).map(({ loopback }) => loopback), ...ports.map(({ address }) => address)]
    expect(new Set(addresses.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6])).size).toBe(addresses.length * 2)
    expect(new Set(ports.map(({ speaker, device }) => `${speaker} ${device}`)).size).toBe(ports.length)
  })

  test('both ends of a link are in one /31 and one /127 (RFC 3021, RFC 6164)', () => {
    for (const { ends } of plan().links) {
      for (const [family, length] of [
        ['ipv4', 31],
        ['ipv6', 127],
      ] as const) {
        expect(containsAddress(cidr(`${ends[0].address[family]}/${length}`), ip(ends[1].address[family]))).toBe(true)
      }
    }
  })

  test('every pod is on the node that the topology names, in a namespace of its own', () => {
    const pods = plannedPods(plan())
    expect(pods.map(({ name, node }) => [name, node])).toEqual([
      ['pod-1a', 'node-1'],
      ['pod-1b', 'node-1'],
      ['pod-2a', 'node-2'],
      ['pod-2b', 'node-2'],
      ['pod-3a', 'node-3'],
      ['pod-3b', 'node-3'],
    ])
    expect(new Set(pods.map(({ netns }) => netns)).size).toBe(6)
  })

  test('every link has a session a family, each end the mirror of the other', () => {
    const { sessions, links } = plan()
    expect(sessions).toHaveLength(links.length * 4)
    for (const session of sessions) {
      const mirror = sessions.find(({ localAddress }) => localAddress === session.remoteAddress)
      expect(mirror).toMatchObject({
        speaker: session.remote,
        remote: session.speaker,
        remoteAddress: session.localAddress,
        family: session.family,
      })
    }
  })

  test('names of peers are unique on a router, and among all nodes, which share their manifests', () => {
    const { sessions, nodes } = plan()
    const isNode = (speaker: string): boolean => nodes.some(({ name }) => name === speaker)
    const names = sessions.map(({ speaker, peer }) => `${isNode(speaker) ? 'cluster' : speaker} ${peer}`)
    expect(new Set(names).size).toBe(names.length)
    expect(sessions.filter(({ speaker, family }) => speaker === 'tor-a' && family === 'ipv4').map(({ peer }) => peer)).toEqual([
      'tor-b-spine-1-v4',
      'tor-b-spine-2-v4',
      'node-1-v4',
      'node-2-v4',
    ])
  })

  test('nodes number their uplinks as machines do, routers name their ports after the link', () => {
    const { nodes, routers } = plan()
    expect(nodes[1]?.ports.map(({ device }) => device)).toEqual(['eth0', 'eth1'])
    expect(routers[1]?.ports.map(({ device }) => device)).toEqual(['spine-1', 'spine-2', 'rack-2b', 'rack-3b'])
  })

  test('namespaces carry the prefix of the lab', () => {
    const namespaces = namespacesOf(plan())
    expect(namespaces.get('pod-3b')).toBe('fiblab-pod-3b')
    expect(namespaces.size).toBe(2 + 3 + 6 + 1)
  })

  test('routers run fibula agent only where they are Fibula', () => {
    expect(fibulaSpeakers(plan('fibula')).map(({ name }) => name)).toEqual(['tor-a', 'tor-b', 'node-1', 'node-2', 'node-3'])
    expect(fibulaSpeakers(plan('bird')).map(({ name }) => name)).toEqual(['node-1', 'node-2', 'node-3'])
  })
})

describe('redundantLinks', () => {
  test('either spine link may fail, and either uplink of the node that has two', () => {
    expect(redundantLinks(plan()).map(({ name }) => name)).toEqual(['spine-1', 'spine-2', 'rack-2a', 'rack-2b'])
  })
  test('a node is no way through: with one spine link left, that one is not redundant', () => {
    const document = twoRacks()
    document.links = document.links.filter(({ name }) => name !== 'spine-2')
    expect(redundantLinks(plan('fibula', document)).map(({ name }) => name)).toEqual(['rack-2a', 'rack-2b'])
  })
})
