// The kernel's part of iptables and ipset, as far as our rules use it: one packet through the rules of one node. Whatever it does not know
// is an error, so a rule that it lets pass means what it says.
import { containsAddress, familyOf, formatIp, type IpAddress, type IpFamily, type Prefix, parsePrefix } from '../../src/net/index.ts'
import type { Chain, IpSet, Rule, Ruleset } from '../../src/netfilter/index.ts'
import { PROTOCOL_NUMBER } from '../../src/policy/index.ts'

export type Packet = {
  readonly source: IpAddress
  readonly destination: IpAddress
  readonly protocol: number
  readonly destinationPort: number | null
  readonly icmpType: number | null
  readonly isNew: boolean
  /** Null: made or taken by this host. */
  readonly in: string | null
  readonly out: string | null
  /** The destination is an address of this host. */
  readonly isToHost: boolean
}

export type Outcome = { readonly verdict: 'pass' | 'drop'; readonly mark: number /** Rules that were looked at. */; readonly steps: number }

const NUMBERS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132, 'ipv6-icmp': 58 }
const PORT_NAMES: Readonly<Record<number, string>> = {
  [PROTOCOL_NUMBER.TCP]: 'tcp',
  [PROTOCOL_NUMBER.UDP]: 'udp',
  [PROTOCOL_NUMBER.SCTP]: 'sctp',
}
const MAX_NAME = 28

export class Interpreter {
  readonly #chains: { readonly [F in IpFamily]: ReadonlyMap<string, Chain> }
  readonly #hooks: { readonly [F in IpFamily]: Ruleset['families'][IpFamily]['hooks'] }
  readonly #sets: ReadonlyMap<string, IpSet>
  readonly #networks = new Map<string, readonly Prefix[]>()

  constructor({ families, sets }: Ruleset) {
    this.#chains = { 4: byName(families[4].chains), 6: byName(families[6].chains) }
    this.#hooks = { 4: families[4].hooks, 6: families[6].hooks }
    this.#sets = new Map(sets.map((set) => [set.name, set]))
    if (this.#sets.size !== sets.length) throw new Error('two sets of one name')
  }

  /** Through the built-in chain: every jump of ours that matches, in order. */
  run(hook: 'FORWARD' | 'INPUT' | 'OUTPUT', packet: Packet): Outcome {
    const run = new Run(packet, this.#chains[familyOf(packet.source)], (name, direction) => this.#isIn(name, direction, packet))
    for (const { chain, match, jumpTo, table } of this.#hooks[familyOf(packet.source)]) {
      if (table !== 'filter') throw new Error(`table ${table}`)
      if (chain === hook && run.matches(match) && run.chain(jumpTo) === 'drop') return { verdict: 'drop', mark: run.mark, steps: run.steps }
    }
    return { verdict: 'pass', mark: run.mark, steps: run.steps }
  }

  #isIn(name: string, direction: string, { source, destination, protocol, destinationPort }: Packet): boolean {
    const set = this.#sets.get(name)
    if (set === undefined) throw new Error(`no set ${name}`)
    if (set.family !== familyOf(source)) throw new Error(`set ${name} is of the other family`)
    const address = direction.startsWith('src') ? source : destination
    switch (set.type) {
      case 'hash:ip':
        return set.members.has(formatIp(address))
      case 'hash:net': {
        const networks = this.#networks.get(name) ?? [...set.members].map(toPrefix)
        this.#networks.set(name, networks)
        return networks.some((network) => containsAddress(network, address))
      }
      case 'hash:ip,port': {
        if (direction !== 'dst,dst') throw new Error(`direction ${direction}`)
        const ofPort = PORT_NAMES[protocol]
        return ofPort !== undefined && set.members.has(`${formatIp(address)},${ofPort}:${destinationPort}`)
      }
      default:
        throw new Error(`type ${set.type}`)
    }
  }
}

class Run {
  mark = 0
  steps = 0
  readonly #packet: Packet
  readonly #chains: ReadonlyMap<string, Chain>
  readonly #isIn: (name: string, direction: string) => boolean

  constructor(packet: Packet, chains: ReadonlyMap<string, Chain>, isIn: (name: string, direction: string) => boolean) {
    this.#packet = packet
    this.#chains = chains
    this.#isIn = isIn
  }

  chain(name: string): 'drop' | 'return' {
    const chain = this.#chains.get(name)
    if (chain === undefined) throw new Error(`no chain ${name}`)
    for (const rule of chain.rules) {
      this.steps++
      const at = rule.findIndex((word) => word === '-j' || word === '-g')
      if (at < 0) throw new Error(`no target: ${rule.join(' ')}`)
      if (!this.matches(rule.slice(0, at))) continue
      const [option, target = '', ...rest] = rule.slice(at)
      if (target === 'RETURN') return 'return'
      if (target === 'DROP') return 'drop'
      if (target === 'MARK') {
        this.#setMark(rest)
        continue
      }
      const outcome = this.chain(target)
      if (outcome === 'drop' || option === '-g') return outcome
    }
    return 'return'
  }

  #setMark([option, value = '']: readonly string[]): void {
    const [set = 0, mask = 0] = value.split('/').map(Number)
    if (option !== '--set-xmark') throw new Error(`MARK ${option}`)
    this.mark = ((this.mark & ~mask) ^ set) >>> 0
  }

  matches(words: Rule): boolean {
    const rest = [...words]
    const take = (): string => {
      const word = rest.shift()
      if (word === undefined) throw new Error(`a word is missing: ${words.join(' ')}`)
      return word
    }
    let matches = true
    let protocol: string | null = null
    while (rest.length > 0) {
      const option = take()
      if (option === '-i') matches &&= isInterface(take(), this.#packet.in)
      else if (option === '-o') matches &&= isInterface(take(), this.#packet.out)
      else if (option === '-p') {
        protocol = take()
        const number = NUMBERS[protocol]
        if (number === undefined) throw new Error(`protocol ${protocol}`)
        matches &&= this.#packet.protocol === number
      } else if (option === '-m') matches = this.#extension(take(), protocol, take) && matches
      else throw new Error(`option ${option}: ${words.join(' ')}`)
    }
    return matches
  }

  #extension(name: string, protocol: string | null, take: () => string): boolean {
    const option = take()
    const isNot = option === '!'
    const word = isNot ? take() : option
    const value = take()
    return isNot !== this.#test(`${name} ${word}`, value, protocol, take)
  }

  #test(option: string, value: string, protocol: string | null, take: () => string): boolean {
    const { destinationPort, icmpType, isNew, isToHost } = this.#packet
    switch (option) {
      case 'set --match-set':
        return this.#isIn(value, take())
      case 'mark --mark': {
        const [wanted = 0, mask = 0] = value.split('/').map(Number)
        return (this.mark & mask) >>> 0 === wanted
      }
      case 'connmark --mark':
        return false // no connection has been cut
      case 'conntrack --ctstate':
        if (value !== 'RELATED,ESTABLISHED') throw new Error(value)
        return !isNew
      case 'addrtype --dst-type':
        if (value !== 'LOCAL') throw new Error(value)
        return isToHost
      case 'icmp6 --icmpv6-type':
        if (protocol !== 'ipv6-icmp') throw new Error('icmp6 without its protocol')
        return icmpType === Number(value)
      case 'tcp --dport':
      case 'udp --dport':
        if (!option.startsWith(protocol ?? '-')) throw new Error(`${option} without its protocol`)
        return isPort(value, destinationPort)
      case 'multiport --dports': {
        if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') throw new Error('multiport without a protocol')
        const items = value.split(',')
        if (items.flatMap((item) => item.split(':')).length > 15) throw new Error(`too many ports for multiport: ${value}`)
        return items.some((item) => isPort(item, destinationPort))
      }
      default:
        throw new Error(`match ${option}`)
    }
  }
}

function isPort(text: string, port: number | null): boolean {
  const [first = 0, last = first] = text.split(':').map(Number)
  return port !== null && first <= port && port <= last
}

function isInterface(pattern: string, name: string | null): boolean {
  if (name === null) return false
  return pattern.endsWith('+') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}

function byName(chains: readonly Chain[]): ReadonlyMap<string, Chain> {
  for (const { name } of chains) if (name.length > MAX_NAME || !/^fib[\w.:-]*$/.test(name)) throw new Error(`chain name ${name}`)
  const map = new Map(chains.map((chain) => [chain.name, chain]))
  if (map.size !== chains.length) throw new Error('two chains of one name')
  return map
}

function toPrefix(member: string): Prefix {
  const text = member.includes('/') ? member : `${member}/${member.includes(':') ? 128 : 32}`
  const prefix = parsePrefix(text)
  if (prefix === null || prefix.length === 0) throw new Error(`hash:net cannot hold ${member}`)
  return prefix
}
