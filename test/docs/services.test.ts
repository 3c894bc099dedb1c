// The manifests in docs/services.md are ones that a store takes.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { offerOf } from '../../src/agent/services/addresses.ts'
import { LINGER_MS } from '../../src/agent/services/endpoints.ts'
import { HAND_OVER_MS, PROXY_MS } from '../../src/agent/services/index.ts'
import { cidr } from '../../src/net/index.ts'
import { parseManifests, type Resource } from '../../src/store/index.ts'

const TEXT = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'services.md'), 'utf8')
const BLOCKS = [...TEXT.matchAll(/```yaml\n(.*?)```/gs)].map(([, block = '']) => block)

function parsed(block: string): readonly Resource[] {
  return parseManifests(block, 'services.md').manifests.map(({ result }) => {
    if (!result.ok) throw new Error(result.error.map(({ message }) => message).join('; '))
    return result.value
  })
}

test('each is valid', () => {
  const ours = BLOCKS.filter((block) => !block.startsWith('apiVersion: apps/'))
  expect(ours.flatMap(parsed).map(({ kind }) => kind)).toEqual(['BGPConfiguration', 'Service', 'BGPConfiguration'])
})

test('the service of the page is one whose load balancer addresses are advertised, from nodes with an endpoint', () => {
  const [service] = BLOCKS.flatMap((block) => (block.includes('kind: Service') ? parsed(block) : []))
  if (service?.kind !== 'Service') throw new Error('no service')
  const given = { ...service, status: { loadBalancer: { ingress: [{ ip: '203.0.113.10' }] } } }
  const ranges = { clusterIPs: [], externalIPs: [], loadBalancerIPs: [cidr('203.0.113.0/24')], classes: ['fibula.network/bgp'] }
  expect(offerOf(given, ranges).addresses.map(({ key, policy }) => `${key} ${policy}`)).toEqual(['203.0.113.10/32 Local'])
})

test('its times are those of the code', () => {
  const seconds = (ms: number): string => `${ms / 1_000} s`
  expect(TEXT).toContain(`advertises ${seconds(PROXY_MS)} later`)
  expect(TEXT).toContain(`if they have been ready for ${seconds(HAND_OVER_MS)}`)
  expect(TEXT).toContain(`withdraws after ${seconds(LINGER_MS)}`)
})
