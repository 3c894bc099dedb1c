// Statements 1 to 17: how a plugin is called, how it errs, VERSION.
import { expect, test } from '@jest/globals'
import { until } from '../../../support/poll.ts'
import { suiteOfBoth } from './suite.ts'

const VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']

suiteOfBoth('invocation', [], ({ node, plugin }) => {
  const config = (over: object = {}): string => JSON.stringify({ ...node().config, ...over })

  test('CNI_COMMAND missing or unknown: code 4 [cni 1, 10]', async () => {
    for (const variables of [{}, { CNI_COMMAND: 'REMOVE' }] as Record<string, string>[]) {
      const { exitStatus, json } = await plugin().raw(variables, config({ cniVersion: '0.4.0' }))
      expect(exitStatus).toBe(1)
      expect(json).toMatchObject({ cniVersion: '0.4.0', code: 4, msg: expect.stringContaining('CNI_COMMAND') })
    }
  })

  test('missing variables are all named [cni 2]', async () => {
    for (const [command, names] of [
      ['ADD', ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME']],
      ['CHECK', ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME']],
      ['DEL', ['CNI_CONTAINERID', 'CNI_IFNAME']],
      ['GC', ['CNI_PATH']],
    ] as const) {
      const { exitStatus, json } = await plugin().raw({ CNI_COMMAND: command }, config())
      expect(exitStatus).toBe(1)
      expect(json?.code).toBe(4)
      for (const variable of names) expect(json?.msg).toContain(variable)
    }
    expect(await plugin().raw({ CNI_COMMAND: 'STATUS' }, config())).toMatchObject({ exitStatus: 0, stdout: '' })
  })

  test('bad container ids and interface names: code 4, nothing created [cni 3, 4]', async () => {
    const before = await node().leftovers()
    const netns = await node().newPod()
    for (const over of [
      { containerId: '-a' },
      { containerId: 'a/b' },
      { ifName: 'a'.repeat(16) },
      { ifName: '..' },
      { ifName: 'a b' },
      { ifName: 'a:b' },
    ])
      expect((await plugin().run('ADD', { netns, ...over })).json?.code).toBe(4)
    expect(await node().leftovers()).toBe(before)
  })

  test('standard input that is no JSON: code 6; that cannot be read: code 5 [cni 5]', async () => {
    for (const stdin of ['', '{', 'x', '[]']) expect((await plugin().run('ADD', { netns: '/run/netns/x', stdin })).json?.code).toBe(6)
    for (const CNI_COMMAND of ['ADD', 'DEL', 'VERSION']) {
      const { exitStatus, json } = await plugin().raw({ CNI_COMMAND }, 'closed')
      expect({ exitStatus, code: json?.code }).toEqual({ exitStatus: 1, code: 5 })
    }
  })

  test('a network name that is missing or illegal: code 7 [cni 6]', async () => {
    for (const networkName of [undefined, '', '-x', 'a b'])
      for (const command of ['ADD', 'DEL', 'STATUS'])
        expect((await plugin().run(command, { netns: '/run/netns/x', over: { name: networkName } })).json?.code).toBe(7)
  })

  test('a version we do not speak: code 1, with those we do, echoed [cni 7, 10]', async () => {
    for (const command of ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS']) {
      const { exitStatus, json } = await plugin().run(command, { netns: '/run/netns/x', over: { cniVersion: '9.9.9' } })
      expect(exitStatus).toBe(1)
      expect(json).toMatchObject({ cniVersion: '9.9.9', code: 1, details: expect.stringContaining(VERSIONS.join(', ')) })
    }
  })

  test('unsupported values: code 2 with key and value; what makes no sense: code 7 [cni 8]', async () => {
    const netns = await node().newPod()
    expect((await plugin().run('ADD', { netns, over: { mtu: 17 } })).json).toMatchObject({
      code: 2,
      msg: expect.stringMatching(/mtu.*17/),
    })
    expect((await plugin().run('ADD', { netns, over: { ipam: { type: 'dhcp' } } })).json).toMatchObject({
      code: 2,
      msg: expect.stringMatching(/ipam.type.*dhcp/),
    })
    expect((await plugin().run('ADD', { netns, over: { runtimeConfig: { ips: ['x'] } } })).json?.code).toBe(7)
    await node().removePod(netns)
  })

  test('no agent yet, then one: the answer comes; agent lost in mid-answer: code 11 [cni 9]', async () => {
    await node().stopAgent()
    const waiting = plugin().run('STATUS')
    await node().startAgent()
    expect(await waiting).toMatchObject({ exitStatus: 0, stdout: '' })
    const netns = await node().newPod()
    node().at = (moment) => (moment === 'beforeAttach' ? new Promise(() => {}) : undefined)
    const cut = plugin().run('ADD', { netns, containerId: 'cut' })
    await until('the journal has it', () => node().records().includes('cut/eth0 assigned'))
    await node().killAgent()
    expect((await cut).json).toMatchObject({ cniVersion: '1.1.0', code: 11 })
    node().at = () => {}
    await node().startAgent()
  })

  test('success prints a result for ADD and nothing for the others; logs go nowhere else [cni 11, 10]', async () => {
    const netns = await node().newPod()
    const added = await plugin().run('ADD', { netns })
    expect(added).toMatchObject({ exitStatus: 0, stderr: '', json: { cniVersion: '1.1.0' } })
    for (const [command, over] of [
      ['CHECK', { prevResult: added.json }],
      ['STATUS', {}],
      ['DEL', { prevResult: added.json }],
      ['GC', { 'cni.dev/valid-attachments': [] }],
    ] as const)
      expect(await plugin().run(command, { netns, over })).toMatchObject({ exitStatus: 0, stdout: '', stderr: '' })
  })

  test('the node’s own namespace is refused, and it stays as it was [cni 12]', async () => {
    const before = await node().leftovers()
    const { exitStatus, json } = await plugin().run('ADD', { netns: node().net.pathOf('host') })
    expect(exitStatus).toBe(1)
    expect(json).toMatchObject({ code: 4, msg: expect.stringContaining('CNI_NETNS') })
    await node().untilAs(before)
  })

  test('unknown keys and args are ignored; unknown CNI_ARGS only if asked to [cni 13, 14]', async () => {
    const netns = await node().newPod()
    const environment = { CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=odd;FOO=1' }
    node().annotations.set('shop/odd', { 'fibula.network/ip-addrs': '["10.244.77.7"]' })
    const over = { args: { cni: { x: [1] } }, surprise: { deep: [{}] } }
    expect((await plugin().run('ADD', { netns, environment: { CNI_ARGS: 'FOO=1' }, over })).json?.code).toBe(4)
    const { json } = await plugin().run('ADD', { netns, environment, over })
    expect(json?.ips?.[0]?.address).toBe('10.244.77.7/32')
    await plugin().run('DEL', { netns, environment, over })
  })

  test('VERSION says what we speak, needs nothing, does nothing [cni 15, 16, 17]', async () => {
    await node().stopAgent()
    for (const [stdin, said] of [
      ['', '1.1.0'],
      ['{}', '1.1.0'],
      ['{"cniVersion":"0.4.0"}', '0.4.0'],
      ['{"cniVersion":"3.0.0","x":{"cniVersion":"1"}}', '3.0.0'],
    ] as const)
      expect(await plugin().raw({ CNI_COMMAND: 'VERSION' }, stdin)).toMatchObject({
        exitStatus: 0,
        json: { cniVersion: said, supportedVersions: VERSIONS },
      })
    expect((await plugin().raw({ CNI_COMMAND: 'VERSION' }, 'x')).json?.code).toBe(6)
    await node().startAgent()
  })

  test('every version that VERSION claims carries a pod from ADD to DEL [cni 15, 21, 25]', async () => {
    for (const cniVersion of VERSIONS) {
      const netns = await node().newPod()
      const added = await plugin().run('ADD', { netns, over: { cniVersion } })
      expect(added.json?.cniVersion).toBe(cniVersion)
      expect(added.json?.ips?.map(({ version }) => version)).toEqual(cniVersion.startsWith('0.') ? ['4', '6'] : [undefined, undefined])
      if (cniVersion >= '0.4.0')
        expect((await plugin().run('CHECK', { netns, over: { cniVersion, prevResult: added.json } })).exitStatus).toBe(0)
      expect((await plugin().run('DEL', { netns, over: { cniVersion } })).exitStatus).toBe(0)
    }
  })

  test('a configuration with escapes and nested keys reaches the agent as it is', async () => {
    const netns = await node().newPod()
    const over = { nested: { socket: '/nowhere', cniVersion: '9' }, text: 'a"b\\c{[', list: ['socket', { socket: 1 }] }
    expect((await plugin().run('ADD', { netns, over })).exitStatus).toBe(0)
    expect((await plugin().run('DEL', { netns, over })).exitStatus).toBe(0)
  })
})
