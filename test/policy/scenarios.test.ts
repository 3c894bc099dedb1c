// The scenarios, asked of the evaluator and of the rules that two nodes would have.
import { describe, expect, test } from '@jest/globals'
import { CLUSTER_POLICY_SCENARIOS } from './scenarios/cluster-policy.ts'
import { NETWORK_POLICY_SCENARIOS } from './scenarios/network-policy.ts'
import { type Addresses, PLACEMENT, PODS, PORTS, passes, type Scenario, stateOfStep } from './scenarios/scenario.ts'
import { World } from './world.ts'

/** As `World` gives them out. */
const ADDRESSES = new Map(
  PODS.map((key, at): [string, Addresses] => [key, { ipv4: `10.0.0.${at + 1}`, ipv6: `fd00::${(at + 1).toString(16)}` }]),
)
function addressesOf(key: string): Addresses {
  const found = ADDRESSES.get(key)
  if (found === undefined) throw new RangeError(key)
  return found
}

type Manifest = { readonly kind: string; readonly metadata: { readonly namespace?: string; readonly name: string }; readonly spec: unknown }

function run({ steps }: Scenario): void {
  const world = new World()
  let before: readonly Manifest[] = []
  for (const [index, step] of steps.entries()) {
    const { namespaces, pods, policies } = stateOfStep(step, addressesOf)
    for (const [name, labels] of Object.entries(namespaces)) world.namespace(name, labels)
    for (const [key, { labels = {}, ports = [] }] of Object.entries(pods)) world.pod(key, { labels, ports, node: PLACEMENT[key] ?? 'n1' })
    const now = policies as readonly Manifest[]
    for (const { kind, metadata } of before.filter((each) => !now.some((other) => keyOf(other) === keyOf(each)))) {
      if (kind === 'NetworkPolicy') world.noPolicy(`${metadata.namespace}/${metadata.name}`)
      else world.noClusterPolicy(metadata.name)
    }
    for (const { kind, metadata, spec } of now) {
      if (kind === 'NetworkPolicy') world.policy(`${metadata.namespace}/${metadata.name}`, spec)
      else world.clusterPolicy(metadata.name, spec)
    }
    before = now
    const wrong = PODS.flatMap((from) =>
      PODS.filter((to) => to !== from).flatMap((to) =>
        PORTS.filter((port) => world.allows(from, to, port.join(':')) !== passes(step, from, to, port)).map(
          (port) => `${from} ${to} ${port.join(':')}`,
        ),
      ),
    )
    expect({ step: step.does ?? index, wrong }).toEqual({ step: step.does ?? index, wrong: [] })
  }
}

const keyOf = ({ kind, metadata: { namespace = '', name } }: Manifest): string => `${kind} ${namespace}/${name}`

describe('NetworkPolicy', () => {
  test.each(NETWORK_POLICY_SCENARIOS)('$title', run)
})

describe('ClusterNetworkPolicy', () => {
  test.each(CLUSTER_POLICY_SCENARIOS)('$title', run)
})
