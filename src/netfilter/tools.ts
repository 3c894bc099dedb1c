// The port to iptables and ipset, and its adapter that runs the programs.
import fs from 'node:fs/promises'
import { systemClock } from '../lib/clock.ts'
import { ExecError, type ExecOptions, type ExecOutput, exec } from '../lib/exec.ts'
import type { IpFamily } from '../net/index.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from '../sys/netlink-socket.ts'
import { explainFailure, failedLine, ToolError } from './failure.ts'
import { KernelSocket } from './kernel-socket.ts'
import type { Variant } from './port.ts'
import { StandingRestore, type Start, startProgram } from './standing.ts'

/** All methods reject with `ToolError` only. */
export interface NetfilterTools {
  /** Families the kernel speaks. */
  families(): Promise<readonly IpFamily[]>
  /** Every table there is; makes none. */
  saveRules(variant: Variant, family: IpFamily): Promise<string>
  /** The table `filter` with its counters. */
  saveCounters(variant: Variant, family: IpFamily): Promise<string>
  /** Without flushing what the input does not name. */
  restoreRules(variant: Variant, family: IpFamily, input: string): Promise<void>
  saveSets(): Promise<string>
  restoreSets(input: string): Promise<void>
  /** Number of the state of all rules that nft holds; any other means that somebody changed something. Null: not known here. */
  generation(): number | null
  /** A hash of all sets with their members: another one means that something changed. Null: not known here. */
  setsPrint(): string | null
  /** Ends what it keeps running; a later call starts it again. */
  close(): void
}

/** What stays while there are rules to keep. */
export type Resident = { readonly start: Start; readonly openSocket: () => NetlinkSocket }
export type Run = (command: string, args: readonly string[], options: ExecOptions) => Promise<ExecOutput>

/** The kernel lists addresses here unless IPv6 is off (`ipv6.disable=1` or no module). */
const IPV6_MARK = '/proc/net/if_inet6'
/** Seconds to wait for the xtables lock that legacy tools share; the nft variant has none. */
const LOCK_WAIT_SECONDS = 10
/** Above the wait for the lock, and enough for a million rules. */
const TIMEOUT_MS = 90_000
/** A process that has taken more than this keeps the memory: it is run to its end. */
const STANDING_INPUT_LENGTH = 256 * 1024
const OF_THIS_HOST: Resident = { start: startProgram, openSocket: () => new NetlinkSocket({ protocol: NETLINK_NETFILTER }) }

export class ProcessTools implements NetfilterTools {
  readonly #run: Run
  readonly #resident: Resident | null
  readonly #kernel: KernelSocket | null
  /** By command. */
  readonly #standing = new Map<string, StandingRestore>()
  /** Variant of the programs without a variant in their name, on hosts that have only those. */
  #plain: Variant | null | undefined

  /** Both are replaced by tests that work in another network namespace; without `resident` a program runs to its end for everything. */
  constructor(run: Run = exec, resident: Resident | null = run === exec ? OF_THIS_HOST : null) {
    this.#run = run
    this.#resident = resident
    this.#kernel = resident === null ? null : new KernelSocket(resident.openSocket)
  }

  async families(): Promise<readonly IpFamily[]> {
    const hasIpv6 = await fs.access(IPV6_MARK).then(
      () => true,
      () => false,
    )
    return hasIpv6 ? [4, 6] : [4]
  }

  saveRules(variant: Variant, family: IpFamily): Promise<string> {
    return this.#iptables(variant, family, 'save', [])
  }

  saveCounters(variant: Variant, family: IpFamily): Promise<string> {
    return this.#iptables(variant, family, 'save', ['--counters', '--table', 'filter'])
  }

  async restoreRules(variant: Variant, family: IpFamily, input: string): Promise<void> {
    await this.#iptables(variant, family, 'restore', ['--noflush', '--wait', String(LOCK_WAIT_SECONDS)], input)
  }

  close(): void {
    for (const standing of this.#standing.values()) standing.close()
    this.#kernel?.close()
  }

  saveSets(): Promise<string> {
    return this.#tool('ipset', ['save'])
  }

  async restoreSets(input: string): Promise<void> {
    const outcome = this.#kernel?.changeSets(input) ?? 'unable'
    if (outcome === 'done') return
    if (outcome !== 'unable') throw new ToolError('REFUSED', `ipset: ${outcome.message}`, outcome.line)
    await this.#tool('ipset', ['restore', '-exist'], input)
  }

  generation(): number | null {
    return this.#kernel?.generation() ?? null
  }

  setsPrint(): string | null {
    return this.#kernel?.setsPrint() ?? null
  }

  async #iptables(variant: Variant, family: IpFamily, verb: 'save' | 'restore', args: readonly string[], input?: string): Promise<string> {
    const stem = family === 4 ? 'iptables' : 'ip6tables'
    // A change through legacy tools costs what all rules cost, and they hold a lock: nothing is gained if they stay.
    const run = (command: string) =>
      variant === 'nft' && input !== undefined ? this.#restoreBy(command, args, input) : this.#tool(command, args, input)
    try {
      return await run(`${stem}-${variant}-${verb}`)
    } catch (cause) {
      if (!(cause instanceof ToolError) || cause.code !== 'MISSING' || (await this.#plainVariant()) !== variant) throw cause
      return await run(`${stem}-${verb}`)
    }
  }

  /** By a program that stays, where there is one that does and the input is no large one. */
  async #restoreBy(command: string, args: readonly string[], input: string): Promise<string> {
    const standing = this.#standingOf(command, args)
    const isSmall = input.length <= STANDING_INPUT_LENGTH
    try {
      if (isSmall && (await standing?.run(input)) === true) return ''
    } catch (cause) {
      throw toToolError(command, cause)
    }
    const output = await this.#tool(command, args, input)
    if (!isSmall) void standing?.warm() // the next input finds it waiting
    return output
  }

  #standingOf(command: string, args: readonly string[]): StandingRestore | null {
    if (this.#resident === null) return null
    const known = this.#standing.get(command)
    if (known !== undefined) return known
    const made = new StandingRestore({
      command,
      args: [...args, '--verbose'],
      start: this.#resident.start,
      clock: systemClock,
      timeoutMs: TIMEOUT_MS,
    })
    this.#standing.set(command, made)
    return made
  }

  async #plainVariant(): Promise<Variant | null> {
    if (this.#plain === undefined) {
      const version = await this.#tool('iptables', ['--version']).catch(() => null)
      this.#plain = version === null ? null : version.includes('nf_tables') ? 'nft' : 'legacy'
    }
    return this.#plain
  }

  async #tool(command: string, args: readonly string[], input?: string): Promise<string> {
    try {
      return (await this.#run(command, args, { timeoutMs: TIMEOUT_MS, ...(input === undefined ? {} : { input }) })).stdout
    } catch (cause) {
      throw toToolError(command, cause)
    }
  }
}

function toToolError(command: string, cause: unknown): ToolError {
  if (!(cause instanceof ExecError)) throw cause
  switch (cause.code) {
    case 'NOT_FOUND': {
      const package_ = command === 'ipset' ? 'ipset' : 'iptables'
      return new ToolError('MISSING', `${command} is not installed: install the package ${package_}`, null, cause)
    }
    case 'TIMEOUT':
      return new ToolError('FAILED', cause.message, null, cause)
    case 'FAILED': {
      const { code, message } = explainFailure(command, cause.exitCode, cause.stderr === '' ? cause.message : cause.stderr)
      return new ToolError(code, message, failedLine(cause.stderr), cause)
    }
  }
}
