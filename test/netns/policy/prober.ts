// Thousands of real packets in a second or two: a process that has sockets in every namespace of a test (`prober.py`).
import type { ChildProcess } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Netns } from '../../support/netns.ts'

export type ProbeProtocol = 'TCP' | 'UDP' | 'SCTP'
/** From and to are names of ends; the address is one of the latter, or one that is translated to it. */
export type Probe = {
  readonly from: string
  readonly to: string
  readonly address: string
  readonly protocol: ProbeProtocol
  readonly port: number
}

/** `octets`: so long is each datagram. `expected`: which probes pass; those are waited for as long as a busy machine may need. */
export type ProbeOptions = { readonly quietMs?: number; readonly octets?: number; readonly expected?: readonly boolean[] }

/** Ports where every end listens. SCTP needs none. */
export type ProbePorts = { readonly tcp: readonly number[]; readonly udp: readonly number[] }

const EXPECTED_WITHIN_MS = 5_000
const PROGRAM = path.resolve(import.meta.dirname, 'prober.py')

export class MassProber implements Disposable {
  readonly #child: ChildProcess
  readonly #answers: ((line: string) => void)[] = []
  #isGone = false

  constructor(net: Netns, node: string) {
    this.#child = net.spawn(node, 'python3', [PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.once('exit', () => {
      this.#isGone = true
      for (const answer of this.#answers.splice(0)) answer('null')
    })
    if (this.#child.stdout === null) throw new Error('the prober has no output')
    createInterface(this.#child.stdout).on('line', (line) => this.#answers.shift()?.(line))
  }

  /** Opens sockets in namespaces: names of ends to their paths. */
  async open(ends: Readonly<Record<string, string>>, ports: ProbePorts): Promise<void> {
    await this.#ask({ op: 'open', ends, ...ports })
  }

  /** Which of them arrive; what is quiet for so long has come to its end. */
  async probe(probes: readonly Probe[], { quietMs = 100, octets = 4, expected = [] }: ProbeOptions = {}): Promise<readonly boolean[]> {
    const flows = probes.map(({ from, address, to, protocol, port }) => [from, address, to, protocol, port])
    const { passed } = (await this.#ask({ op: 'probe', flows, quietMs, octets, expected, waitMs: EXPECTED_WITHIN_MS })) as {
      readonly passed: readonly boolean[]
    }
    return passed
  }

  /** Makes a connection that stays, from a port or any; the client's address as the server sees it, null if none could be made. */
  async connect(
    id: string,
    { from, address, to, protocol, port }: Probe,
    { clientPort = 0, waitMs = 30_000 }: { readonly clientPort?: number; readonly waitMs?: number } = {},
  ): Promise<string | null> {
    const answer = await this.#ask({ op: 'connect', id, flow: [from, address, to, protocol, port], port: clientPort, waitMs })
    return (answer as { readonly from: string | null }).from
  }

  /** From now on another end has the server's part of a UDP connection. */
  async move(id: string, to: string, port: number): Promise<void> {
    await this.#ask({ op: 'move', id, to, port })
  }

  /** A word on each connection, and its answer: which are alive. Waits so long only for those that are not. */
  async exchange(ids: readonly string[], first: 'client' | 'server' = 'client', waitMs = 1_000): Promise<readonly boolean[]> {
    const { alive } = (await this.#ask({ op: 'exchange', ids, first, waitMs })) as { readonly alive: readonly boolean[] }
    return alive
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL')
  }

  #ask(request: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#isGone) {
        reject(new Error('the prober is gone'))
        return
      }
      this.#answers.push((line) => {
        const answer: unknown = JSON.parse(line)
        if (answer === null) reject(new Error('the prober ended'))
        else resolve(answer)
      })
      this.#child.stdin?.write(`${JSON.stringify(request)}\n`)
    })
  }
}
