// The links of a node's pods: public face of this folder. Owned by one thread, in the host's network namespace.
import { err, type Result } from '../../lib/result.ts'
import { type IpAddress, isIpv6 } from '../../net/index.ts'
import { DATAGRAM_BYTES, NetlinkSocket } from '../../sys/netlink-socket.ts'
import { HomeNetns } from '../../sys/netns.ts'
import { Rtnetlink } from '../../sys/rtnetlink/index.ts'
import type { PodLink, WiringFault } from '../ports.ts'
import { attachLink, configureHostEnd } from './attach.ts'
import { checkLink, hostFaults } from './check.ts'
import { Conntrack } from './conntrack.ts'
import { hostEnds, removeHostEnds } from './detach.ts'
import { findLink } from './links.ts'
import { setLinkMtu } from './mtu.ts'
import { messageOf, openPodNamespace, type PodNamespace } from './pod-namespace.ts'
import type { DetachedLink, LinkWiring, WiredLink } from './port.ts'
import { removeRules } from './second-interface.ts'

export class PodLinks implements LinkWiring, Disposable {
  readonly #home = new HomeNetns()
  readonly #openNetlink: () => Rtnetlink
  readonly #host: Rtnetlink
  readonly #conntrack = new Conntrack()

  /**
   * Acts in the network namespace of the calling thread from now on. The program has awaited `settleThreadPool` before.
   * `openNetlink` makes a socket in the namespace the thread is in.
   */
  constructor(openNetlink: () => Rtnetlink = sharingScratch()) {
    this.#openNetlink = openNetlink
    this.#host = openNetlink()
  }

  attach(link: PodLink): Result<WiredLink, WiringFault> {
    const opened = openPodNamespace(link.netns, this.#home, this.#openNetlink)
    if (!opened.ok) return opened
    using pod = opened.value
    try {
      return attachLink(this.#host, pod, link)
    } catch (cause) {
      return err({ kind: 'failed', message: messageOf(cause) })
    }
  }

  detach(links: readonly DetachedLink[]): readonly string[] {
    const left = inWords(() =>
      removeHostEnds(
        this.#host,
        links.map(({ hostInterface }) => hostInterface),
      ),
    )
    for (const { netns, addresses } of links) if (netns !== undefined && netns !== '') this.#removeRules(netns, addresses)
    return [...left, ...this.#conntrack.forget(links.flatMap(({ addresses }) => addresses))]
  }

  check(link: PodLink): readonly string[] {
    return this.#inPod(
      link,
      (pod) => checkLink(this.#host, pod, link),
      () => hostFaults(this.#host, link, null),
    )
  }

  repair(link: PodLink): readonly string[] {
    return inWords(() => {
      const end = findLink(this.#host, link.hostInterface)
      return end === null
        ? [`host interface ${link.hostInterface} is missing`]
        : configureHostEnd(this.#host, end, link.addresses.some(isIpv6))
    })
  }

  list(): readonly string[] {
    return hostEnds(this.#host).map(({ name }) => name)
  }

  setMtu(link: PodLink, mtu: number): readonly string[] {
    return this.#inPod(
      link,
      (pod) => setLinkMtu(this.#host, pod, link, mtu),
      () => [],
    )
  }

  [Symbol.dispose](): void {
    this.#host[Symbol.dispose]()
    this.#conntrack[Symbol.dispose]()
    this.#home[Symbol.dispose]()
  }

  /** What cannot be entered has no rules that matter. */
  #removeRules(netns: string, addresses: readonly IpAddress[]): void {
    const opened = openPodNamespace(netns, this.#home, this.#openNetlink)
    if (!opened.ok) return
    using pod = opened.value
    removeRules(pod.netlink, addresses)
  }

  /** Runs `work` on the pod's namespace; if that cannot be entered, says so and what `otherwise` says. */
  #inPod(link: PodLink, work: (pod: PodNamespace) => readonly string[], otherwise: () => readonly string[]): readonly string[] {
    return inWords(() => {
      const opened = openPodNamespace(link.netns, this.#home, this.#openNetlink)
      if (!opened.ok) return [opened.error.message, ...otherwise()]
      using pod = opened.value
      return work(pod)
    })
  }
}

/** A pod's socket lives for a millisecond: its buffer need not be made each time. */
function sharingScratch(): () => Rtnetlink {
  const scratch = new Uint8Array(DATAGRAM_BYTES)
  return () => new Rtnetlink(new NetlinkSocket({ receiveBufferBytes: null, scratch }))
}

function inWords(work: () => readonly string[]): readonly string[] {
  try {
    return work()
  } catch (cause) {
    return [messageOf(cause)]
  }
}
