// The port to iptables and ipset, and its adapter that runs the programs.
import fs from 'node:fs/promises'
import { ExecError, type ExecOptions, type ExecOutput, exec } from '../lib/exec.ts'
import type { IpFamily } from '../net/index.ts'
import { explainFailure, failedLine, ToolError } from './failure.ts'
import type { Variant } from './port.ts'

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
}

export type Run = (command: string, args: readonly string[], options: ExecOptions) => Promise<ExecOutput>

/** The kernel lists addresses here unless IPv6 is off (`ipv6.disable=1` or no module). */
const IPV6_MARK = '/proc/net/if_inet6'
/** Seconds to wait for the xtables lock that legacy tools share; the nft variant has none. */
const LOCK_WAIT_SECONDS = 10
/** Above the wait for the lock, and enough for a million rules. */
const TIMEOUT_MS = 90_000

export class ProcessTools implements NetfilterTools {
  readonly #run: Run
  /** Variant of the programs without a variant in their name, on hosts that have only those. */
  #plain: Variant | null | undefined

  /** `run` is replaced by tests that work in another network namespace. */
  constructor(run: Run = exec) {
    this.#run = run
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

  saveSets(): Promise<string> {
    return this.#tool('ipset', ['save'])
  }

  async restoreSets(input: string): Promise<void> {
    await this.#tool('ipset', ['restore', '-exist'], input)
  }

  async #iptables(variant: Variant, family: IpFamily, verb: 'save' | 'restore', args: readonly string[], input?: string): Promise<string> {
    const stem = family === 4 ? 'iptables' : 'ip6tables'
    try {
      return await this.#tool(`${stem}-${variant}-${verb}`, args, input)
    } catch (cause) {
      if (!(cause instanceof ToolError) || cause.code !== 'MISSING' || (await this.#plainVariant()) !== variant) throw cause
      return await this.#tool(`${stem}-${verb}`, args, input)
    }
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
