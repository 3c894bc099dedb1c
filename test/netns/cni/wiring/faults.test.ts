// What attach refuses, and that nothing is left of what failed; detach in every circumstance.
import { readdirSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { exec } from '../../../../src/lib/exec.ts'
import { ip } from '../../../../src/net/index.ts'
import { describeWith } from '../../../support/tier.ts'
import { Saboteur } from './failing-netlink.ts'
import { linkOf, openNode, type WiringNode } from './harness.ts'

const saboteur = new Saboteur()

describeWith(['ip'], 'attach that fails, and detach', () => {
  let node: WiringNode
  beforeEach(async () => {
    saboteur.arm(null)
    node = await openNode(['a', 'b'], saboteur.open)
  })
  afterEach(async () => {
    await node[Symbol.asyncDispose]()
  })

  const fault = (of: ReturnType<WiringNode['attach']>): string => (of.ok ? 'none' : of.error.kind)
  const detach = (...links: Parameters<WiringNode['links']['detach']>[0][number][]): readonly string[] =>
    node.inNode(() => node.links.detach(links))

  test('every single request refused: both namespaces are as before, and the words say which', async () => {
    const link = linkOf(node.net, 'a', 1)
    const before = [await node.snapshot('host'), await node.snapshot('a')]
    const refused: string[] = []
    for (let at = 0; ; at++) {
      saboteur.arm(at)
      const made = node.attach(link)
      const [step, ...later] = saboteur.seen.slice(at)
      saboteur.arm(null)
      if (made.ok) expect(detach(link)).toEqual([])
      if (step === undefined) break // it was done before it came to that many
      refused.push(step)
      // Only a question, when the kernel will be ready: asked again.
      if (step === 'look up a route') expect([made.ok, later]).toEqual([true, expect.arrayContaining([step])])
      else expect([fault(made), made.ok ? '' : made.error.message]).toEqual(['failed', `${step}: EIO (sabotage)`])
      // `lo` comes up with the last step of all, and stays.
      if (made.ok) await node.net.ip('a', 'link set lo down')
      expect([step, await node.snapshot('host'), await node.snapshot('a')]).toEqual([step, ...before])
    }
    expect(refused.length).toBeGreaterThan(15)
    expect(refused).toContain('look up a route')
  })

  test('of a second interface too, rules and all', async () => {
    expect(fault(node.attach(linkOf(node.net, 'a', 1)))).toBe('none')
    const link = linkOf(node.net, 'a', 2, { ifName: 'net1' })
    const before = [await node.snapshot('host'), await node.snapshot('a')]
    saboteur.arm(null)
    expect(fault(node.attach(link))).toBe('none')
    const rules = saboteur.seen.indexOf('add a rule for a source')
    expect(rules).toBeGreaterThan(0)
    expect(detach(link)).toEqual([])
    for (const at of [rules, rules + 1, rules + 2]) {
      saboteur.arm(at)
      expect([at, fault(node.attach(link))]).toEqual([at, 'failed'])
      saboteur.arm(null)
      expect([at, await node.snapshot('host'), await node.snapshot('a')]).toEqual([at, ...before])
    }
  })

  test('a namespace that is not there, or no longer one, is gone; our own is refused', async () => {
    const file = `/run/netns/${node.net.nameOf('a')}-file`
    writeFileSync(file, '')
    for (const netns of ['/run/netns/fib-nowhere', file, '/run/netns/x/y'])
      expect([netns, fault(node.attach(linkOf(node.net, 'a', 1, { netns })))]).toEqual([netns, 'namespaceGone'])
    expect(fault(node.attach(linkOf(node.net, 'a', 1, { netns: node.net.pathOf('host') })))).toBe('sameNamespace')
    expect(node.inNode(() => node.links.list())).toEqual([])
    await exec('rm', [file])
  })

  test('an interface of that name in the pod is left untouched, and so is the first link on a second attach', async () => {
    await node.net.ip('a', 'link add eth0 type veth peer name other')
    const before = await node.snapshot('a')
    expect(fault(node.attach(linkOf(node.net, 'a', 1)))).toBe('interfaceExists')
    expect(await node.snapshot('a')).toBe(before)
    expect(node.inNode(() => node.links.list())).toEqual([])
    const link = linkOf(node.net, 'b', 2)
    expect(fault(node.attach(link))).toBe('none')
    const attached = [await node.snapshot('host'), await node.snapshot('b')]
    expect(fault(node.attach(link))).toBe('interfaceExists')
    expect([await node.snapshot('host'), await node.snapshot('b')]).toEqual(attached)
    expect(node.inNode(() => node.links.check(link))).toEqual([])
  })

  test('a host end left over from before is replaced; a link of that name that is no veth is not', async () => {
    const link = linkOf(node.net, 'a', 1)
    await node.net.ip('host', `link add ${link.hostInterface} type veth peer name leftover`)
    expect(fault(node.attach(link))).toBe('none')
    expect(node.inNode(() => node.links.check(link))).toEqual([])
    const foreign = linkOf(node.net, 'b', 2)
    await node.net.ip('host', `link add ${foreign.hostInterface} type bridge`)
    const before = await node.snapshot('host')
    expect(node.attach(foreign)).toMatchObject({ ok: false, error: { kind: 'failed', message: expect.stringContaining('not ours') } })
    expect(await node.snapshot('host')).toBe(before)
  })

  test.each([
    ['a name that is not one of ours', { hostInterface: 'eth7' }, 'not a name'],
    ['no address', { addresses: [] }, 'needs an address'],
    ['an MTU too small for IPv6', { mtu: 1200 }, 'too small for IPv6: at least 1280'],
    ['an MTU too small for IPv4', { mtu: 60, addresses: [ip('10.244.0.1')] }, 'too small for IPv4'],
    ['an MTU that is none', { mtu: 1500.5 }, 'not an MTU'],
    ['an interface name the kernel does not take', { ifName: 'much-too-long-a-name' }, 'create fib00000000001'],
  ])('%s is refused in words', async (_name, over, words) => {
    const before = await node.snapshot('host')
    expect(node.attach(linkOf(node.net, 'a', 1, over))).toMatchObject({
      ok: false,
      error: { kind: 'failed', message: expect.stringContaining(words) },
    })
    expect(await node.snapshot('host')).toBe(before)
  })

  test('detach: once, twice, without attach, of a namespace that is gone; nothing is left', async () => {
    const before = [await node.snapshot('host'), await node.snapshot('a')]
    const [first, second, never] = [linkOf(node.net, 'a', 1), linkOf(node.net, 'b', 2), linkOf(node.net, 'b', 3)]
    expect(fault(node.attach(first))).toBe('none')
    await node.net.ip('host', `route add 10.244.0.1/32 dev ${first.hostInterface}`)
    expect(fault(node.attach(second))).toBe('none')
    expect(detach(first)).toEqual([])
    await node.net.ip('a', 'link set lo down')
    expect([await node.snapshot('a')]).toEqual([before[1]])
    await exec('ip', ['netns', 'delete', node.net.nameOf('b')])
    expect(detach(second)).toEqual([])
    for (const link of [first, second, never]) expect(detach(link)).toEqual([])
    expect(detach(first, second, never)).toEqual([])
    expect(await node.snapshot('host')).toBe(before[0])
  })

  test('detach of many removes these and no others, whatever their names are', async () => {
    const [first, second, third] = [linkOf(node.net, 'a', 1), linkOf(node.net, 'b', 2), linkOf(node.net, 'b', 3, { ifName: 'eth1' })]
    for (const link of [first, second, third]) expect(fault(node.attach(link))).toBe('none')
    expect(detach(first, { hostInterface: 'uplink', addresses: [] }, third)).toEqual(['"uplink" is not a name of a host end'])
    expect(node.inNode(() => node.links.list())).toEqual([second.hostInterface])
    expect(await node.net.ip('host', 'link show uplink')).toContain('uplink')
    expect(node.inNode(() => node.links.check(second))).toEqual([])
  })

  test("somebody else's link in the group of the condemned survives", async () => {
    const [first, second] = [linkOf(node.net, 'a', 1), linkOf(node.net, 'b', 2)]
    for (const link of [first, second]) expect(fault(node.attach(link))).toBe('none')
    await node.net.ip('host', 'link set uplink group 1718182401')
    expect(detach(first, second)).toEqual([])
    expect(node.inNode(() => node.links.list())).toEqual([])
    expect(await node.net.ip('host', 'link show uplink')).toContain('uplink')
  })

  test('no descriptor is left open, whatever the outcome', () => {
    const open = (): number => readdirSync('/proc/self/fd').length
    const link = linkOf(node.net, 'a', 1)
    const all = (): void => {
      node.attach(link)
      node.attach(link)
      node.attach(linkOf(node.net, 'a', 2, { netns: '/run/netns/fib-nowhere' }))
      node.attach(linkOf(node.net, 'a', 2, { netns: node.net.pathOf('host') }))
      node.inNode(() => [node.links.check(link), node.links.setMtu(link, 1400)])
      saboteur.arm(3)
      node.attach(linkOf(node.net, 'b', 3))
      saboteur.arm(null)
      detach(link)
    }
    all()
    const before = open()
    for (let round = 0; round < 5; round++) all()
    expect(open()).toBe(before)
  })

  test('detach that the kernel refuses says so, and works the next time', () => {
    const link = linkOf(node.net, 'a', 1)
    expect(fault(node.attach(link))).toBe('none')
    saboteur.arm(0)
    expect(detach(link)).toEqual([`delete ${link.hostInterface}: EIO (sabotage)`])
    saboteur.arm(null)
    expect(detach(link)).toEqual([])
    expect(node.inNode(() => node.links.list())).toEqual([])
  })
})
