import { cidr, ip } from '../../src/net/index.ts'
import { unicast } from '../../src/routes/route.ts'
import { FakeKernel } from '../support/fake-kernel.ts'
import { describeRouteBackend, type ForeignRoute, type KernelHarness } from '../support/route-backend-contract.ts'

const INDEX = { eth0: 2, eth1: 3 } as const

async function openFake(): Promise<KernelHarness> {
  const kernel = FakeKernel.host()
  return {
    backend: kernel,
    ...INDEX,
    async foreign(verb, { prefix, via, metric, protocol }: ForeignRoute) {
      const route = {
        prefix: cidr(prefix),
        body: unicast([{ gateway: ip(via), interfaceIndex: 2, onlink: false }], null),
        protocol,
        metric,
        tos: 0,
      }
      if (verb !== 'del') kernel.foreign(verb, route)
      else kernel.remove((other) => other.prefix.address === route.prefix.address && other.metric === metric && other.protocol === protocol)
    },
    async setLink(name, state) {
      kernel.setLink({ index: INDEX[name], name, isUp: state === 'up', isRunning: state === 'up' })
    },
    async address(verb, name, address) {
      if (verb === 'add') kernel.addAddress(address, INDEX[name])
      else kernel.removeAddress(address, INDEX[name])
    },
    async [Symbol.asyncDispose]() {},
  }
}

describeRouteBackend('the fake', openFake)
