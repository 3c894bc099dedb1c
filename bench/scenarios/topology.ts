// Addresses and links of the runs. 198.18.0.0/15 and 2001:2::/48 are reserved for benchmarks (RFC 2544, RFC 5180), and the
// generated tables keep clear of them.
import { rmSync } from 'node:fs'
import type { Family } from '../../src/bgp/family.ts'
import type { Dut, DutPeer, RunningDut } from '../dut/dut.ts'
import { makeScratchDirectory, Namespaces } from '../namespaces.ts'
import type { Local } from '../tool-protocol.ts'

export const DUT_ASN = 4_200_000_000 // private use (RFC 6996), so that no path of a real table holds it
const FEEDER_ASN = 4_200_000_001
const RECEIVER_ASN = 4_200_000_002
const DUT_ROUTER_ID = '198.18.0.1'
const TOOL_ROUTER_ID = 0xc612_0000 // 198.18.0.0
const CLIENTS_PER_THIRD_OCTET = 200

/** One end of each link of the DUT, by the number of the link. */
function addressesOf(link: number, host: number, family: Family): string {
  return family === 'IPv4Unicast' ? `198.18.${link}.${host}` : `2001:2:0:${link}::${host}`
}

/** Everything of one run: wires, a scratch directory and the daemon; gone when disposed. */
export class Bed implements AsyncDisposable {
  readonly namespaces = new Namespaces()
  readonly directory = makeScratchDirectory()
  dutNamespace = ''
  #dut: RunningDut | null = null

  /** Starts the daemon towards these peers. */
  async startDut(
    dut: Dut,
    peers: readonly DutPeer[],
    options: { readonly reflect?: boolean; readonly installRoutes?: boolean } = {},
  ): Promise<void> {
    this.#dut = await dut.start({
      namespace: this.dutNamespace,
      directory: this.directory,
      asn: DUT_ASN,
      routerId: DUT_ROUTER_ID,
      peers,
      reflect: options.reflect ?? false,
      installRoutes: options.installRoutes ?? false,
    })
  }

  /** Does the work of a run, which fails as soon as the daemon ends; a failure comes with what the daemon last said. */
  async measure<T>(work: () => Promise<T>): Promise<T> {
    const working = work()
    working.catch(() => {}) // when the daemon has ended first, what becomes of the work does not matter
    try {
      return await Promise.race([working, ...(this.#dut === null ? [] : [this.#dut.failure])])
    } catch (error) {
      const words = this.#dut?.lastWords().trim() ?? ''
      throw new Error(`${(error as Error).message}${words === '' ? '' : `\n${words}`}`, { cause: error })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dut?.[Symbol.asyncDispose]()
    await this.namespaces[Symbol.asyncDispose]()
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** A tool at the end of a link, and the DUT's view of it. */
export type Station = { readonly namespace: string; readonly local: Local; readonly peer: DutPeer }

/** Adds a namespace with one tool in it and wires it to the DUT. */
export async function addStation(bed: Bed, link: 1 | 2, family: Family): Promise<Station> {
  const namespace = await bed.namespaces.add(link === 1 ? 'feed' : 'recv')
  await bed.namespaces.link(
    { namespace, device: 'dut', addresses: bothFamilies(link, 2) },
    { namespace: bed.dutNamespace, device: `peer${link}`, addresses: bothFamilies(link, 1) },
  )
  const asn = link === 1 ? FEEDER_ASN : RECEIVER_ASN
  const [address, localAddress] = [addressesOf(link, 2, family), addressesOf(link, 1, family)]
  return {
    namespace,
    local: { address, asn, routerId: TOOL_ROUTER_ID + link * 256 + 2, dutAddress: localAddress },
    peer: { address, localAddress, asn, families: [family] },
  }
}

function bothFamilies(link: number, host: number): readonly string[] {
  return [`${addressesOf(link, host, 'IPv4Unicast')}/24`, `${addressesOf(link, host, 'IPv6Unicast')}/64`]
}

/** Adds a namespace with `count` iBGP clients, each with an address of its own on one link. */
export async function addClients(
  bed: Bed,
  count: number,
): Promise<{ readonly namespace: string; readonly locals: readonly Local[]; readonly peers: readonly DutPeer[] }> {
  const namespace = await bed.namespaces.add('clients')
  const addresses = Array.from(
    { length: count },
    (_, index) => `198.18.${1 + Math.floor(index / CLIENTS_PER_THIRD_OCTET)}.${1 + (index % CLIENTS_PER_THIRD_OCTET)}`,
  )
  const dutAddress = DUT_ROUTER_ID
  await bed.namespaces.link(
    { namespace, device: 'dut', addresses: addresses.map((address) => `${address}/16`) },
    { namespace: bed.dutNamespace, device: 'peer1', addresses: [`${dutAddress}/16`] },
  )
  return {
    namespace,
    locals: addresses.map((address, index) => ({ address, asn: DUT_ASN, routerId: TOOL_ROUTER_ID + 256 + index, dutAddress })),
    peers: addresses.map((address) => ({ address, localAddress: dutAddress, asn: DUT_ASN, families: ['IPv4Unicast'] })),
  }
}

/** A bed with the DUT's namespace in it. */
export async function makeBed(): Promise<Bed> {
  const bed = new Bed()
  bed.dutNamespace = await bed.namespaces.add('dut')
  return bed
}
