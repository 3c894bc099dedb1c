// Wiring of pods as the main thread sees it: the links are made in the dataplane thread.
import type { PodLink, PodWiring, WiredPod, WiringFault } from '../../cni/index.ts'
import { err, type Result } from '../../lib/result.ts'
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

  async attach(link: PodLink): Promise<Result<WiredPod, WiringFault>> {
    try {
      return await this.#dataplane.ask('attachPod', link)
    } catch (error) {
      return err({ kind: 'failed', message: error instanceof Error ? error.message : String(error) })
    }
  }

  async detach(link: Parameters<PodWiring['detach']>[0]): Promise<void> {
    const { hostInterface, netns, ifName, addresses } = link
    await this.#dataplane.ask('detachPod', { hostInterface, netns, ifName, addresses })
  }

  check(link: PodLink): Promise<readonly string[]> {
    return this.#dataplane.ask('checkPod', link)
  }
}
