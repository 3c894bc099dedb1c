// One attachment from nothing to `attached` and back. The journal is written before the kernel is touched and before DEL answers, so
// after a kill between any two lines it knows all that may be there. Callers hold the attachment's lock.
//
//   ADD: pod, addresses, journal `assigned`, link, gate, journal `attached`      a failure undoes what came before it
//   DEL: link, gate, journal `released`, answer; then addresses, journal empty
import { abortable } from '../lib/abortable.ts'
import { quoteText } from '../lib/log.ts'
import { unreachable } from '../lib/result.ts'
import { formatIp } from '../net/index.ts'
import { CNI_CODE, type CniCode, CniError, type CniFault } from './error.ts'
import { JournalError } from './journal.ts'
import { handleOf, hostInterfaceOf } from './names.ts'
import { podRequest } from './pod-request.ts'
import type { Attachment, EndpointGate, PodLink, PodSource, PodWiring, WiredPod, WiringFault } from './ports.ts'
import type { AddRequest, CheckRequest, DelRequest } from './protocol.ts'
import { Releases, type ReleasesDeps } from './releases.ts'
import { compareResult } from './result.ts'

/** What the work on attachments needs of the node. */
export type AttachmentsDeps = Omit<ReleasesDeps, 'changed'> & {
  readonly wiring: PodWiring
  readonly pods: PodSource
  readonly gate: EndpointGate
}

/** How long undoing a failed ADD may take; its own deadline has passed perhaps. */
const UNDO_DEADLINE_MS = 10_000

export class Attachments implements AsyncDisposable {
  readonly #deps: AttachmentsDeps
  readonly #changed: () => void
  readonly #releases: Releases

  constructor(deps: AttachmentsDeps, changed: () => void) {
    this.#deps = deps
    this.#changed = changed
    this.#releases = new Releases({ ...deps, changed })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#releases[Symbol.asyncDispose]()
  }

  /** Goes on with a release that an earlier agent began. */
  resumeRelease(attachment: Attachment): void {
    void this.#releases.begin(attachment)
  }

  /** Throws CniError; whatever it throws, nothing is left behind. */
  async add(request: AddRequest, signal: AbortSignal): Promise<{ readonly attachment: Attachment; readonly wired: WiredPod }> {
    const { clock, log } = this.#deps
    const beganMs = clock.nowMs()
    const hostInterface = hostInterfaceOf(request.key)
    await this.#makeRoom(request, hostInterface, signal)
    const assigned = await this.#assign(request, hostInterface, signal)
    const { link, pod } = assigned
    let touchedKernel = false
    try {
      await this.#put(assigned)
      signal.throwIfAborted()
      touchedKernel = true
      const wired = await doing(CNI_CODE.wiringFailed, 'making the link', signal, this.#deps.wiring.attach(link, signal))
      if (!wired.ok) {
        touchedKernel = wired.error.kind === 'failed' // else nothing was begun, and an interface of that name is not ours to remove
        throw new CniError(faultOfWiring(wired.error, link))
      }
      await doing(CNI_CODE.wiringFailed, 'applying network policy', signal, this.#deps.gate.admit(link, pod, signal))
      signal.throwIfAborted()
      const attachment: Attachment = { ...assigned, state: 'attached' }
      await this.#put(attachment)
      const { containerId, ifName } = link
      const addresses = link.addresses.map(formatIp)
      log.info('cni.pod.attached', { containerId, ifName, hostInterface, pod, addresses, durationMs: clock.nowMs() - beganMs })
      return { attachment, wired: wired.value }
    } catch (cause) {
      await this.#undo(assigned, touchedKernel)
      throw cause
    }
  }

  /** Removes link and policy, remembers that the addresses are to be released, and lets that happen in the background. */
  async remove(attachment: Attachment, signal: AbortSignal): Promise<void> {
    const { wiring, gate, log } = this.#deps
    const { link, pod } = attachment
    await doing(CNI_CODE.wiringFailed, 'removing the link', signal, wiring.detach(link, signal))
    await doing(CNI_CODE.wiringFailed, 'removing network policy', signal, gate.dismiss(link))
    if (attachment.state === 'released' && this.#releases.pending(link) !== undefined) return // a repeated DEL
    const released: Attachment = { ...attachment, state: 'released' }
    try {
      await this.#put(released)
    } catch (cause) {
      if (!(cause instanceof JournalError)) throw cause
      await this.#releaseUnrecorded(released, signal)
      return
    }
    void this.#releases.begin(released)
    if (attachment.assignments.length > 0)
      log.info('cni.pod.detached', { containerId: link.containerId, ifName: link.ifName, pod, addresses: link.addresses.map(formatIp) })
  }

  /** What DEL removes when the journal knows nothing: whatever bears the names that ADD would have given. */
  unknown({ network, key, netns, pod }: Pick<DelRequest, 'network' | 'key' | 'netns' | 'pod'>): Attachment {
    const link: PodLink = { ...key, netns, hostInterface: hostInterfaceOf(key), addresses: [], mtu: 0, mac: null }
    return { network, link, pod, assignments: [], state: 'assigned', since: null }
  }

  /** What is not as ADD left it, in words; empty: all is well. Changes nothing. */
  async check({ key, network, netns, prevResult }: CheckRequest, signal: AbortSignal): Promise<readonly string[]> {
    const record = this.#deps.journal.get(key)
    if (record === undefined || record.state !== 'attached')
      return [`the node has no attachment ${key.ifName} of container ${key.containerId}; delete it and add it again`]
    if (record.network !== network) return [`it belongs to the network ${record.network}, not to ${network}`]
    const link = { ...record.link, netns }
    const found = await doing(CNI_CODE.wiringFailed, 'checking the link', signal, this.#deps.wiring.check(link, signal))
    return [...compareResult(prevResult, link), ...found]
  }

  /** Makes sure that this attachment has left nothing behind; one that is there is not touched, but refuses. */
  async #makeRoom({ key }: AddRequest, hostInterface: string, signal: AbortSignal): Promise<void> {
    const { journal } = this.#deps
    const known = journal.get(key)
    if (known?.state === 'attached')
      throw new CniError({
        code: CNI_CODE.alreadyAttached,
        message: `container ${key.containerId} has ${key.ifName} already, on network ${known.network}; run DEL before another ADD`,
      })
    if (known?.state === 'assigned') await this.remove(known, signal) // a kill cut off an earlier ADD
    if (known?.state === 'released') this.resumeRelease(known)
    const release = this.#releases.pending(key)
    if (release !== undefined) await abortable(release, signal)
    const other = journal.byHostInterface(hostInterface)
    if (other !== undefined)
      throw new CniError({
        code: CNI_CODE.alreadyAttached,
        message: `the host interface ${hostInterface} belongs to container ${other.link.containerId}; add the pod again under another container id`,
      })
  }

  async #assign({ key, network, netns, pod, config }: AddRequest, hostInterface: string, signal: AbortSignal): Promise<Attachment> {
    const { addresses, pods, wiring } = this.#deps
    const found = pod === null ? null : await doing(CNI_CODE.tryAgainLater, 'looking up the pod', signal, pods.lookUp(pod, signal))
    const wish = podRequest(found?.annotations ?? {}, config.requestedIps)
    if (!wish.ok) throw new CniError(wish.error)
    const handle = handleOf({ network, link: key })
    const owner = pod === null ? null : { namespace: pod.namespace, name: pod.name }
    const request = { handle, pod: owner, namespaceLabels: found?.namespaceLabels ?? null, ...wish.value }
    const assigned = await doing(CNI_CODE.noAddress, 'assigning addresses', signal, addresses.assign(request, signal)).catch(
      (cause: unknown) => {
        void this.#releases.begin(this.unknown({ network, key, netns, pod })) // it may have given some before it failed
        throw cause
      },
    )
    if (!assigned.ok) {
      const code = assigned.error.kind === 'unavailable' ? CNI_CODE.tryAgainLater : CNI_CODE.noAddress
      throw new CniError({ code, message: assigned.error.message })
    }
    const link: PodLink = {
      ...key,
      netns,
      hostInterface,
      addresses: assigned.value.map(({ address }) => address),
      mtu: config.mtu ?? wiring.mtu(),
      mac: config.mac,
    }
    const since = new Date(this.#deps.clock.wallMs()).toISOString()
    return { network, link, pod, assignments: assigned.value, state: 'assigned', since }
  }

  async #put(attachment: Attachment): Promise<void> {
    await this.#deps.journal.put(attachment)
    this.#changed()
  }

  /** Takes back a failed ADD. What cannot be undone now stays `assigned`: DEL, another ADD or the next start do it. */
  async #undo(attachment: Attachment, touchedKernel: boolean): Promise<void> {
    const { wiring, gate, clock, log } = this.#deps
    const { link } = attachment
    const deadline = new AbortController()
    using _timer = clock.after(UNDO_DEADLINE_MS, () => deadline.abort(new Error('undoing took too long')))
    const released: Attachment = { ...attachment, state: 'released' }
    try {
      if (touchedKernel) {
        await wiring.detach(link, deadline.signal)
        await gate.dismiss(link)
      }
    } catch (error) {
      log.error('cni.undo.failed', { containerId: link.containerId, ifName: link.ifName, hostInterface: link.hostInterface, err: error })
      return
    }
    try {
      await this.#put(released)
    } catch (error) {
      log.warn('cni.record.unwritten', { containerId: link.containerId, ifName: link.ifName, err: error })
    }
    void this.#releases.begin(released)
  }

  /** For a journal that cannot be written: the record goes, and DEL answers only when IPAM has the addresses back. */
  async #releaseUnrecorded(released: Attachment, signal: AbortSignal): Promise<void> {
    await this.#deps.journal.remove(released.link)
    this.#changed()
    if (!(await abortable(this.#releases.begin(released), signal)))
      throw new CniError({ code: CNI_CODE.tryAgainLater, message: 'the agent is stopping' })
  }
}

/** Gives a failure of another part of the agent its code and says what was being done; an abort passes as it is. */
async function doing<T>(code: CniCode, what: string, signal: AbortSignal, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (cause) {
    if (signal.aborted || cause instanceof CniError) throw cause
    throw new CniError({ code, message: `${what}: ${cause instanceof Error ? cause.message : String(cause)}` })
  }
}

function faultOfWiring({ kind, message }: WiringFault, { netns, ifName }: PodLink): CniFault {
  switch (kind) {
    case 'namespaceGone':
      return { code: CNI_CODE.containerGone, message: `CNI_NETNS ${quoteText(netns)}: there is no such network namespace: ${message}` }
    case 'sameNamespace':
      return { code: CNI_CODE.invalidEnvironment, message: `CNI_NETNS ${quoteText(netns)} is the namespace of the node: ${message}` }
    case 'interfaceExists':
      return { code: CNI_CODE.alreadyAttached, message: `CNI_IFNAME ${quoteText(ifName)} exists in the container already: ${message}` }
    case 'failed':
      return { code: CNI_CODE.wiringFailed, message: `the pod's link could not be made: ${message}` }
    default:
      return unreachable(kind)
  }
}
