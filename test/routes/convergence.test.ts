// Whatever happens in whatever order (changes, withdrawals, interference, flaps, lost events, lost answers, refusals, restarts):
// no foreign route is ever touched, and once the trouble is over the kernel holds exactly what is wanted.
import { describe, expect, test } from '@jest/globals'
import { FakeClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { cidr, type FibNextHop, formatPrefix, type IpFamily, ip } from '../../src/net/index.ts'
import { NO_LOCAL_ROUTES, RouteSyncer } from '../../src/routes/index.ts'
import { BLACKHOLE, bodyKey, type KernelRoute, OUR_METRIC, OUR_PROTOCOL, unicast } from '../../src/routes/route.ts'
import { FakeKernel } from '../support/fake-kernel.ts'
import { fibBatch, via } from '../support/fib-batch.ts'

const PREFIXES: Readonly<Record<IpFamily, readonly string[]>> = {
  4: ['203.0.113.0/24', '198.51.100.0/24', '0.0.0.0/0', '192.0.2.7/32', '10.0.0.0/24'],
  6: ['2001:db8:a::/48', '2001:db8:b::/48', '::/0', 'fd00::/64'],
}
const SETS: Readonly<Record<IpFamily, Readonly<Record<number, readonly FibNextHop[]>>>> = {
  4: {
    1: [via('10.0.0.2', 2)],
    2: [via('10.0.1.2', 3)],
    3: [via('10.0.0.2', 2), via('10.0.1.2', 3)],
    4: [via('192.0.2.99', 2)],
    5: [via('fd00::2', 2)],
  },
  6: {
    1: [via('fd00::2', 2)],
    2: [via('fd01::2', 3)],
    3: [via('fd00::2', 2), via('fd01::2', 3)],
    4: [via('2001:db8:99::1', 2)],
    5: [via('fe80::2', 2)],
  },
}
/** Set 4 has an unreachable gateway: its routes fail for ever. */
const IMPOSSIBLE_SET = 4
const SOURCE = { 4: ip('10.0.0.1'), 6: ip('fd00::1') } as const
const OWN_BLOCK = '192.0.2.7/32'

class World {
  readonly kernel = FakeKernel.host()
  readonly clock = new FakeClock()
  readonly wanted = new Map<string, number>()
  #syncer: RouteSyncer
  #hasBlock = false
  #seed: number

  constructor(seed: number) {
    this.#seed = seed
    this.#syncer = this.#start()
  }

  below(count: number): number {
    this.#seed = (Math.imul(this.#seed, 1_103_515_245) + 12_345) >>> 0
    return (this.#seed >>> 8) % count
  }

  step(): string {
    const family: IpFamily = this.below(2) === 0 ? 4 : 6
    const prefix = PREFIXES[family][this.below(PREFIXES[family].length)] ?? ''
    const metric = [100, OUR_METRIC, OUR_METRIC, 1024][this.below(4)] ?? 0
    const theirs: KernelRoute = {
      prefix: cidr(prefix),
      body: unicast([via(family === 4 ? '10.0.0.9' : 'fd00::9', 2)], null),
      protocol: 4,
      metric,
      tos: 0,
    }
    const isTheirs = (route: KernelRoute): boolean =>
      route.protocol === 4 && route.metric === metric && formatPrefix(route.prefix) === prefix
    const isOurs = (route: KernelRoute): boolean => route.protocol === OUR_PROTOCOL && formatPrefix(route.prefix) === prefix
    const { kernel } = this
    const eth1 = (isUp: boolean): void => {
      kernel.setLink({ index: 3, name: 'eth1', isUp, isRunning: isUp })
      if (isUp) kernel.addAddress('fd01::1/64', 3)
    }
    switch (this.below(16)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const set = this.below(6)
        this.wanted.set(prefix, set)
        this.#syncer.applyBatch(fibBatch({ [prefix]: set }, SETS[family]))
        return `${prefix} by set ${set}`
      }
      case 4:
        this.#hasBlock = !this.#hasBlock
        this.#setLocal()
        return `own block: ${this.#hasBlock}`
      case 5: {
        const isTaken = kernel.routes.some((route) => route.metric === metric && route.tos === 0 && formatPrefix(route.prefix) === prefix)
        if (!isTaken) kernel.foreign('add', theirs)
        return `foreign add ${prefix} metric ${metric}`
      }
      case 6:
        kernel.foreign('replace', theirs)
        return `foreign replace ${prefix} metric ${metric}`
      case 7:
        kernel.remove(isTheirs)
        return `foreign del ${prefix} metric ${metric}`
      case 8: {
        const silently = this.below(2) === 0
        kernel.remove(isOurs, { silently })
        return `ours removed ${prefix}${silently ? ' silently' : ''}`
      }
      case 9:
        eth1(false)
        return 'eth1 down'
      case 10:
        eth1(true)
        return 'eth1 up'
      case 11:
        kernel.limitEvents(this.below(2) === 0 ? this.below(3) : 1000)
        return 'events limited or not'
      case 12:
        kernel.loseAnswers = this.below(2)
        kernel.failLists = this.below(3)
        kernel.interruptLists = this.below(2)
        return 'answers lost, lists failing'
      case 13:
        if (this.below(2) === 0) kernel.refuse.set(prefix, { code: 'ENOMEM', text: '' })
        else kernel.refuse.clear()
        return 'refusals'
      case 14:
        this.clock.advance(this.below(3000))
        return 'time passes'
      default:
        if (this.below(4) === 0) {
          this.#syncer[Symbol.dispose]()
          this.#syncer = this.#start()
          this.#announceAll()
          return 'restart'
        }
        this.#syncer.poll()
        return 'poll'
    }
  }

  /** All trouble ends. */
  settle(): void {
    const { kernel } = this
    kernel.refuse.clear()
    kernel.limitEvents(Number.POSITIVE_INFINITY)
    Object.assign(kernel, { loseAnswers: 0, failLists: 0, interruptLists: 0 })
    kernel.setLink({ index: 3, name: 'eth1', isUp: true, isRunning: true })
    kernel.addAddress('fd01::1/64', 3)
    this.#syncer.allowSweep()
    this.clock.advance(200_000)
    this.#syncer.poll()
  }

  foreign(): readonly string[] {
    return this.kernel.routes
      .filter(({ protocol }) => protocol === 4)
      .map(line)
      .sort()
  }

  ours(): readonly string[] {
    return this.kernel.ours.map(line).sort()
  }

  expected(): readonly string[] {
    const lines: string[] = []
    for (const [prefix, set] of this.wantedNow()) {
      const family: IpFamily = prefix.includes(':') ? 6 : 4
      const hops = SETS[family][set]
      const isTaken = this.kernel.routes.some(
        (route) => route.protocol !== OUR_PROTOCOL && route.metric === OUR_METRIC && formatPrefix(route.prefix) === prefix,
      )
      if (isTaken || set === IMPOSSIBLE_SET || prefix === 'fd00::/64') continue
      const body = set === -1 ? BLACKHOLE : unicast(hops ?? [], SOURCE[family])
      lines.push(line({ prefix: cidr(prefix), body, protocol: OUR_PROTOCOL, metric: OUR_METRIC, tos: 0 }))
    }
    return lines.sort()
  }

  wantedNow(): ReadonlyMap<string, number> {
    const all = new Map([...this.wanted].filter(([, set]) => set !== 0))
    if (this.#hasBlock) all.set(OWN_BLOCK, -1)
    return all
  }

  #start(): RouteSyncer {
    this.#syncer = new RouteSyncer({ backend: this.kernel, log: silentLog, clock: this.clock, random: () => 0.5 })
    this.#setLocal()
    return this.#syncer
  }

  #announceAll(): void {
    for (const [prefix, set] of this.wanted) {
      if (set !== 0) this.#syncer.applyBatch(fibBatch({ [prefix]: set }, SETS[prefix.includes(':') ? 6 : 4]))
    }
  }

  #setLocal(): void {
    const blackholes = this.#hasBlock ? [cidr(OWN_BLOCK)] : []
    this.#syncer.setLocal({ ...NO_LOCAL_ROUTES, blackholes, preferredSource: { ipv4: SOURCE[4], ipv6: SOURCE[6] } })
  }
}

function line(route: KernelRoute): string {
  return `${formatPrefix(route.prefix)} ${bodyKey(route.body)} proto ${route.protocol} metric ${route.metric}`
}

describe('convergence', () => {
  test.each(Array.from({ length: 40 }, (_, n) => n))('world %d', (number) => {
    for (let sub = 0; sub < 10; sub++) {
      const world = new World(number * 1000 + sub)
      const history: string[] = []
      for (let step = 0; step < 60; step++) {
        const before = world.foreign()
        const what = world.step()
        history.push(what)
        // Only what is said to be foreign changes foreign routes; a link that goes down takes some of them, too.
        const mayChange = what.startsWith('foreign') || what.startsWith('eth1')
        if (!mayChange && JSON.stringify(world.foreign()) !== JSON.stringify(before)) {
          throw new Error(
            `foreign routes touched:\n${history.join('\n')}\nbefore: ${before.join(', ')}\nafter: ${world.foreign().join(', ')}`,
          )
        }
      }
      const theirs = world.foreign()
      world.settle()
      expect([history.join('\n'), world.ours()]).toEqual([history.join('\n'), world.expected()])
      expect(world.foreign()).toEqual(theirs)
    }
  })
})
