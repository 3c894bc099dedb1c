// Wiring of pods as the main thread sees it: the links are made in the dataplane thread.
import type { PodLink, PodWiring, WiredPod, WiringFault } from '../../cni/index.ts'
import type { Result } from '../../lib/result.ts'
import type { Channel } from '../channel.ts'
import type { DataplaneRequests } from '../threads.ts'

export type DataplaneAsk = Pick<Channel<never, never, Record<never, never>, DataplaneRequests>, 'ask'>

/** Of an uplink nobody has told of yet: Ethernet. */
const ETHERNET_MTU = 1_500

export class RemoteWiring implements PodWiring {
  readonly #dataplane: DataplaneAsk
  #mtu = ETHERNET_MTU

  constructor(dataplane: DataplaneAsk) {
    this.#dataplane = dataplane
  }

  /** As the dataplane thread has told it. */
  setMtu(mtu: number): void {
    this.#mtu = mtu
  }

  mtu(): number {
    return this.#mtu
  }

  /** Rejects if it is not known whether the link is there: then it must be detached. */
  attach(link: PodLink): Promise<Result<WiredPod, WiringFault>> {
    return this.#dataplane.ask('attachPod', link)
  }

  async detach(link: Parameters<PodWiring['detach']>[0]): Promise<void> {
    const { hostInterface, netns, ifName, addresses } = link
    await this.#dataplane.ask('detachPod', { hostInterface, netns, ifName, addresses })
  }

  check(link: PodLink): Promise<readonly string[]> {
    return this.#dataplane.ask('checkPod', link)
  }
}
