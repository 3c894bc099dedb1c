// A small iptables and ipset: enough of what restore and save do to check plans against, with the same refusals, and with faults
// to order. Shares no code with what it checks, not even the splitting of words.

import type { IpFamily } from '../../src/net/index.ts'
import { ToolError } from '../../src/netfilter/failure.ts'
import type { NetfilterTools, Variant } from '../../src/netfilter/index.ts'

type ModelTable = Map<string, { readonly policy: string; rules: string[] }>
type ModelSet = { readonly header: string; readonly type: string; readonly maxElements: number; readonly members: Set<string> }

const BUILTINS: Readonly<Record<string, readonly string[]>> = {
  raw: ['PREROUTING', 'OUTPUT'],
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
}

export class KernelModel implements NetfilterTools {
  readonly rules: { readonly [V in Variant]: { readonly [F in IpFamily]: Map<string, ModelTable> } } = {
    nft: { 4: new Map(), 6: new Map() },
    legacy: { 4: new Map(), 6: new Map() },
  }
  sets = new Map<string, ModelSet>()
  present: readonly IpFamily[] = [4, 6]
  /** Every restore input taken or refused, in order. */
  readonly inputs: string[] = []
  /** Thrown by the next calls, in order; null lets one pass. */
  readonly faults: (ToolError | null)[] = []
  /** How save spells a rule. */
  spell: (rule: string) => string = (rule) => rule
  saves = 0
  /** Sets were listed with all their members so often. */
  setSaves = 0
  /** False: nothing is known of rules and sets but what save prints. */
  hasSocket = true
  /** What every save waits for. */
  gate: Promise<void> | null = null
  /** What every save fails with. */
  saveFault: ToolError | null = null
  isClosed = false
  #generation = 1

  async families(): Promise<readonly IpFamily[]> {
    return this.present
  }

  async saveRules(variant: Variant, family: IpFamily): Promise<string> {
    this.saves++
    const text = [...this.rules[variant][family]]
      .map(([name, table]) => {
        const chains = [...table].map(([chain, { policy }]) => `:${chain} ${policy} [0:0]\n`).join('')
        const rules = [...table].flatMap(([chain, each]) => each.rules.map((rule) => `-A ${chain} ${this.spell(rule)}\n`)).join('')
        return `# Generated\n*${name}\n${chains}${rules}COMMIT\n`
      })
      .join('')
    await this.gate
    if (this.saveFault !== null) throw this.saveFault
    return text
  }

  async saveCounters(variant: Variant, family: IpFamily): Promise<string> {
    const filter = this.rules[variant][family].get('filter') ?? new Map()
    return [...filter].flatMap(([chain, { rules }]) => rules.map((rule: string, at: number) => `[${at}:60] -A ${chain} ${rule}\n`)).join('')
  }

  async restoreRules(variant: Variant, family: IpFamily, input: string): Promise<void> {
    this.inputs.push(input)
    this.#fault()
    const tables = this.rules[variant][family]
    let name = ''
    let table: ModelTable = new Map()
    for (const [index, line] of input.split('\n').entries()) {
      const refuse = (why: string): never => {
        throw new ToolError('REFUSED', `model: ${why}`, index + 1)
      }
      if (line.startsWith('*')) {
        name = line.slice(1)
        table = new Map(
          [...(tables.get(name) ?? this.#newTable(name))].map(([chain, each]) => [chain, { ...each, rules: [...each.rules] }]),
        )
      } else if (line === 'COMMIT') {
        tables.set(name, table)
        if (variant === 'nft') this.#generation++
      } else if (line !== '') this.#command(table, line, refuse)
    }
  }

  async saveSets(): Promise<string> {
    this.setSaves++
    await this.gate
    if (this.saveFault !== null) throw this.saveFault
    return [...this.sets]
      .map(([name, set]) => [`create ${name} ${set.header}`, ...[...set.members].map((member) => `add ${name} ${member}`), ''].join('\n'))
      .join('')
  }

  async restoreSets(input: string): Promise<void> {
    this.inputs.push(input)
    this.#fault()
    for (const [index, line] of input.split('\n').entries()) if (line !== '') this.#setCommand(line, index + 1)
  }

  generation(): number | null {
    return this.hasSocket ? this.#generation : null
  }

  setsPrint(): string | null {
    return this.hasSocket ? JSON.stringify([...this.sets].map(([name, { header, members }]) => [name, header, ...members])) : null
  }

  close(): void {
    this.isClosed = true
  }

  chain(variant: Variant, family: IpFamily, table: string, chain: string): readonly string[] | undefined {
    return this.rules[variant][family].get(table)?.get(chain)?.rules
  }

  /** What somebody else does: one line of a restore. */
  meddle(variant: Variant, family: IpFamily, table: string, ...lines: readonly string[]): void {
    const tables = this.rules[variant][family]
    const state = tables.get(table) ?? this.#newTable(table)
    tables.set(table, state)
    if (variant === 'nft') this.#generation++
    for (const line of lines)
      this.#command(state, line, (why) => {
        throw new Error(`${line}: ${why}`)
      })
  }

  #newTable(name: string): ModelTable {
    return new Map((BUILTINS[name] ?? []).map((chain) => [chain, { policy: 'ACCEPT', rules: [] }]))
  }

  #command(table: ModelTable, line: string, refuse: (why: string) => never): void {
    const [, declared] = /^:(\S+) - /.exec(line) ?? []
    if (declared !== undefined) {
      table.set(declared, { policy: '-', rules: [] })
      return
    }
    const [, verb = '', name = '', rest = ''] = /^(-[ADIFX]) (\S+) ?(.*)$/.exec(line) ?? refuse(`what is ${line}?`)
    const chain = table.get(name) ?? refuse(`no chain ${name}`)
    const target = / ?-[jg] (\S+)/.exec(rest)?.[1]
    if (verb === '-A' || verb === '-I') {
      if (target !== undefined && !/^[A-Z]+$/.test(target) && !table.has(target)) refuse(`no chain ${target}`)
      const set = /--match-set (\S+)/.exec(rest)?.[1]
      if (set !== undefined && !this.sets.has(set)) refuse(`Set ${set} doesn't exist.`)
      if (rest.includes('BROKEN')) refuse('BROKEN')
      if (verb === '-A') chain.rules.push(rest)
      else chain.rules.unshift(rest)
    } else if (verb === '-D') {
      const at = chain.rules.findIndex((rule) => this.spell(rule) === rest)
      if (at === -1) refuse('no such rule')
      chain.rules.splice(at, 1)
    } else if (verb === '-F') chain.rules = []
    else {
      const isUsed = [...table.values()].some((each) => each.rules.some((rule) => new RegExp(`-[jg] ${name}( |$)`).test(rule)))
      if (isUsed || chain.rules.length > 0) refuse(`chain ${name} is in use`)
      table.delete(name)
    }
  }

  #setCommand(line: string, at: number): void {
    const refuse = (why: string): never => {
      throw new ToolError('REFUSED', `model: ${why}`, at)
    }
    const [verb, name = '', ...words] = line.split(' ')
    const known = (): ModelSet => this.sets.get(name) ?? refuse('The set with the given name does not exist')
    const rest = words.join(' ')
    switch (verb) {
      case 'create': {
        const maxElements = Number(words[words.indexOf('maxelem') + 1])
        if (this.sets.has(name)) refuse('set with the same name already exists')
        this.sets.set(name, { header: rest, type: `${words[0]} ${words[2]}`, maxElements, members: new Set() })
        return
      }
      case 'add':
        if (known().members.size >= known().maxElements) refuse('Hash is full, cannot add more elements')
        known().members.add(rest)
        return
      case 'del':
        for (const member of known().members) if (member.split(' ')[0] === rest) known().members.delete(member)
        return
      case 'swap': {
        const [a, b] = [known(), this.sets.get(rest) ?? refuse('no second set')]
        if (a.type !== b.type) refuse("types don't match")
        this.sets.set(name, b)
        this.sets.set(rest, a)
        return
      }
      case 'destroy': {
        known()
        const everyRule = Object.values(this.rules)
          .flatMap((families) => [families[4], families[6]])
          .flatMap((tables) => [...tables.values()])
        const isUsed = everyRule.some((table) =>
          [...table.values()].some(({ rules }) => rules.some((rule) => ` ${rule} `.includes(`-set ${name} `))),
        )
        if (isUsed) refuse('Set cannot be destroyed: it is in use by a kernel component')
        this.sets.delete(name)
        return
      }
      default:
        refuse(`what is ${line}?`)
    }
  }

  #fault(): void {
    const fault = this.faults.shift()
    if (fault != null) throw fault
  }
}
