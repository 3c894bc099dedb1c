// Joins IPAM, journal and CNI, in an order that holds after a kill at any line: the journal says which pods there are; IPAM counts their
// addresses as used; the dataplane keeps their links and routes, and removes what is none of theirs; then requests are answered; and
// once the node can give a pod a network, the container runtime is told so.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import {
  type Attachment,
  CniService,
  findChained,
  heldAllocations,
  type Journal,
  openJournal,
  openReserveFile,
  type PodWiring,
  renderConflist,
  serveCni,
  writeConflist,
} from '../../cni/index.ts'
import { createNodeIpam, type IpamConfig, type NodeIpam } from '../../ipam/index.ts'
import { isAnswered } from '../../lib/unix-socket.ts'
import { formatIp, type IpAddress } from '../../net/index.ts'
import type { IpamStatus, PodStatus, Problem } from '../control-api.ts'
import { RequestFigures } from './figures.ts'
import type { CniFigures, PodHost, Pods } from './index.ts'
import { ipamStatus, podStatuses } from './status.ts'

/** Folder of the journal in the state directory. */
const JOURNAL = 'attachments'
/** What IPAM remembers, in the same folder: who loses the one loses the other. */
const RESERVE = 'reserve'
const CONFLIST_RETRY_MS = 10_000

/** Rejects if the state directory cannot be used, or the socket not be served; then nothing is left running. */
export async function servePods(host: PodHost): Promise<Pods> {
  const { node, log, clock, random, cni, blocks } = host
  if (await isAnswered(cni.socket)) throw new Error(`another agent already answers on ${cni.socket}: its pods are not ours to touch`)
  await using started = new AsyncDisposableStack()
  const journal = await openJournal(join(cni.stateDir, JOURNAL), log)
  const found = await adopt(host, journal)
  const present = journal.all().filter(({ state }) => state === 'attached')
  host.gate.adopt(
    present.map(({ link, pod }) => ({ interface: link.hostInterface, pod, addresses: link.addresses })),
    found.unknown,
  )
  const isInUse = (address: IpAddress): boolean => [...found.unknown.values()].some((addresses) => addresses.includes(address))
  const reserveFile = openReserveFile(join(cni.stateDir, JOURNAL, RESERVE), node, log)
  const onChange = (): void => host.changed()
  const ipam = started.use(createNodeIpam({ node, store: blocks, clock, random, log, isInUse, reserveFile, onChange }))
  ipam.adopt(heldAllocations(journal.all()))
  const pods = new ServedPods(host, journal, ipam, found)
  const service = new AsyncDisposableStack()
  service.use(pods.service)
  started.use(service)
  pods.service.start()
  const server = await serveCni({ path: cni.socket, service: pods.service, log, clock })
  started.use(server)
  started.use(service.move()) // ends before the server, which waits for the answers under way
  log.info('agent.cni.served', { socket: cni.socket, pods: journal.all().length })
  pods.own(started.move())
  return pods
}

type Found = {
  /** Host ends that were gone at the start, of pods that were not. */
  readonly vanished: ReadonlySet<string>
  /** Host ends of pods that there is no record of, and their addresses; those whose DEL has come are taken out. */
  readonly unknown: Map<string, readonly IpAddress[]>
}

/**
 * Tells the dataplane which pods there are. A pod whose link and whose namespace are both gone (the node was rebooted) has no network
 * that anybody could use: its addresses are given back now, and the DEL that may yet come finds nothing to do. One that still has its
 * namespace keeps its addresses until DEL, and is reported. So is one whose record was lost with all others.
 */
async function adopt(host: PodHost, journal: Journal): Promise<Found> {
  const attached = journal.all().filter(({ state }) => state === 'attached')
  const { missing, unknown } = await host.adopt({ links: attached.map(({ link }) => link), isStateNew: journal.all().length === 0 })
  const vanished = new Set<string>()
  for (const name of missing) {
    const record = journal.byHostInterface(name)
    if (record === undefined) continue
    if (existsSync(record.link.netns)) {
      vanished.add(name)
      continue
    }
    host.log.info('agent.pod.gone', { containerId: record.link.containerId, pod: record.pod, netns: record.link.netns })
    await journal.put({ ...record, state: 'released' })
  }
  return { vanished, unknown: new Map(unknown.map(({ hostInterface, addresses }) => [hostInterface, addresses])) }
}

class ServedPods implements Pods {
  readonly service: CniService
  readonly #host: PodHost
  readonly #journal: Journal
  readonly #ipam: NodeIpam
  readonly #found: Found
  readonly #figures = new RequestFigures()
  #resources: AsyncDisposable | null = null
  #config: IpamConfig | null = null
  #conflist: 'unwritten' | 'underWay' | 'written'
  #conflistFault: string | null = null
  #retry: Disposable | null = null
  /** Of the conflist; an end waits for it. */
  #writing: Promise<void> = Promise.resolve()
  #isDisposed = false

  constructor(host: PodHost, journal: Journal, ipam: NodeIpam, found: Found) {
    this.#host = host
    this.#journal = journal
    this.#ipam = ipam
    this.#found = found
    this.#conflist = host.cni.confDir === null ? 'written' : 'unwritten'
    this.service = new CniService({
      addresses: ipam,
      wiring: watched(host.wiring, ({ hostInterface }) => found.unknown.delete(hostInterface)),
      pods: host.podSource,
      gate: host.gate,
      journal,
      clock: host.clock,
      log: host.log,
      unreadiness: () => {
        const reason = host.unreadiness()
        return reason === null ? null : { reason, impairsRunningPods: false }
      },
      observer: {
        requestEnded: (ended) => this.#figures.record(ended),
        attachmentsChanged: () => host.changed(),
      },
    })
  }

  /** What this ends when it is disposed. */
  own(resources: AsyncDisposable): void {
    this.#resources = resources
  }

  /** Equal to before changes nothing: every turn of the agent comes here, and IPAM reads its blocks again when it is told something. */
  configure(config: IpamConfig): void {
    if (isDeepStrictEqual(config, this.#config)) return
    this.#config = config
    this.#ipam.configure(config)
  }

  blockChanged(shown: Parameters<Pods['blockChanged']>[0]): void {
    this.#ipam.lookAgain(shown)
  }

  resized(...[pod, mtu]: Parameters<Pods['resized']>): void {
    void this.service.recordMtu(pod, mtu)
  }

  lookAgain(): void {
    if (this.#conflist === 'unwritten' && this.#retry === null && this.notReadyBecause() === null) this.#writing = this.#writeConflist()
  }

  addresses(): readonly IpAddress[] {
    return this.#attached().flatMap(({ link }) => link.addresses)
  }

  attached(): number {
    return this.#attached().length
  }

  notReadyBecause(): string | null {
    return this.#host.unreadiness() ?? this.#ipam.notReadyBecause()
  }

  problems(): readonly Problem[] {
    const ofIpam = this.#ipam.view().problems.map(({ severity, subject, message }): Problem => ({ severity, subject, message }))
    const ofPods = this.#attached().flatMap(({ link, pod }): readonly Problem[] => {
      if (!this.#found.vanished.has(link.hostInterface)) return []
      const name = pod === null ? link.containerId : `${pod.namespace}/${pod.name}`
      const addresses = link.addresses.map(formatIp).join(' and ')
      const message = `its interface ${link.hostInterface} is gone, so nothing reaches ${addresses}; delete the pod, and its controller makes another`
      return [{ severity: 'error', subject: `Pod/${name}`, message }]
    })
    const fault = this.#conflistFault
    const ofConflist: readonly Problem[] = fault === null ? [] : [{ severity: 'error', subject: 'CNI configuration', message: fault }]
    return [...ofIpam, ...ofPods, ...this.#lostRecords(), ...ofConflist]
  }

  pods(): readonly PodStatus[] {
    return podStatuses(this.#journal.all())
  }

  ipam(): IpamStatus {
    return ipamStatus(this.#config, this.#ipam.view(), this.notReadyBecause())
  }

  figures(): CniFigures {
    return this.#figures.figures
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true
    this.#retry?.[Symbol.dispose]()
    await this.#writing
    await this.#resources?.[Symbol.asyncDispose]()
  }

  #lostRecords(): readonly Problem[] {
    const { unknown } = this.#found
    if (unknown.size === 0) return []
    const { stateDir } = this.#host.cni
    const message = `there is no record in ${stateDir} of ${unknown.size} pods that run on this node, so the folder was lost or is another than before (it must outlive restarts); they are left as they are: delete these pods, and their controllers make others`
    return [{ severity: 'error', subject: 'CNI', message }]
  }

  #attached(): readonly Attachment[] {
    return this.#journal.all().filter(({ state }) => state === 'attached')
  }

  /** Runtimes take its presence for "this node has a network", so it comes last, and stays through restarts. */
  async #writeConflist(): Promise<void> {
    const { cni, clock, log } = this.#host
    if (cni.confDir === null) return
    this.#conflist = 'underWay'
    try {
      const text = renderConflist({ socketPath: cni.socket, ...(await findChained(cni.binDirs)) })
      const isNew = await writeConflist(cni.confDir, text)
      if (isNew) log.info('agent.conflist.written', { directory: cni.confDir })
      this.#conflist = 'written'
      this.#conflistFault = null
    } catch (error) {
      log.error('agent.conflist.failed', { directory: cni.confDir, err: error })
      this.#conflist = 'unwritten'
      const said = error instanceof Error ? error.message : String(error)
      this.#conflistFault = `cannot be written into ${cni.confDir}, so the container runtime does not know this network: ${said}`
      if (this.#isDisposed) return
      this.#retry = clock.after(CONFLIST_RETRY_MS, () => {
        this.#retry = null
        this.lookAgain()
      })
    }
    this.#host.changed()
  }
}

/** Tells which links are detached. */
function watched(wiring: PodWiring, onDetached: (link: Parameters<PodWiring['detach']>[0]) => void): PodWiring {
  return {
    attach: (link, signal) => wiring.attach(link, signal),
    async detach(link, signal) {
      await wiring.detach(link, signal)
      onDetached(link)
    },
    check: (link, signal) => wiring.check(link, signal),
    mtu: () => wiring.mtu(),
  }
}
