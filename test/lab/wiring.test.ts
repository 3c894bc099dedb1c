import { expect, test } from '@jest/globals'
import { namespacesOf } from '../../src/lab/plan.ts'
import { cutLines, deviceBatch, earlySysctls, insideBatches, namespaceBatch } from '../../src/lab/wiring.ts'
import { plan } from './fixtures.ts'

test('one namespace for every speaker and pod, and one for the cables', () => {
  expect(namespaceBatch(plan()).lines).toEqual([...namespacesOf(plan()).values()].map((name) => `netns add ${name}`))
})

test('a link is two veth pairs that meet in the namespace of the cables', () => {
  const { lines } = deviceBatch(plan())
  expect(lines).toContain('link add spine-1 netns fiblab-tor-a type veth peer name spine-1.0 netns fiblab-wires')
  expect(lines).toContain('link add eth1 netns fiblab-node-2 type veth peer name rack-2b.1 netns fiblab-wires')
})

test('device names fit the kernel (15 octets)', () => {
  const names = [...deviceBatch(plan()).lines, ...insideBatches(plan()).flatMap(({ lines }) => lines)].flatMap((line) =>
    [...line.matchAll(/(?:link add|dev|peer name|master|link set) (\S+)/g)].map((match) => match[1] ?? ''),
  )
  expect(names.length).toBeGreaterThan(50)
  for (const name of names) expect(name.length).toBeLessThanOrEqual(15)
})

test('forwarding is set where a real daemon leaves it to the administrator, and left to the agent where Fibula routes', () => {
  const forwarding = (kind: 'fibula' | 'bird'): readonly string[] =>
    earlySysctls(plan(kind))
      .filter(({ path }) => path === 'net/ipv4/ip_forward')
      .map(({ netns }) => netns)
  expect(forwarding('fibula')).toEqual([])
  expect(forwarding('bird')).toEqual(['fiblab-tor-a', 'fiblab-tor-b'])
})

test('a cut takes carrier from both ends', () => {
  const link = plan().links[0]
  expect(link === undefined ? [] : cutLines(link, false)).toEqual(['link set spine-1.0 down', 'link set spine-1.1 down'])
})
