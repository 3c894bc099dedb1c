// No agent on the node: both plugins wait for it at the same time, as long as they really do.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { buildNetns, type Netns } from '../../../support/netns.ts'
import { describeWith } from '../../../support/tier.ts'
import { CONFIG } from './node.ts'
import { buildPlugins, execPlugin, PLUGINS, type Plugins } from './plugins.ts'

describeWith(['ip', 'cc'], 'without an agent', () => {
  let plugins: Plugins | null = null
  let net: Netns | null = null
  beforeAll(async () => {
    plugins = await buildPlugins()
    net = await buildNetns('unavailable', { nodes: ['host'] })
  })
  afterAll(async () => {
    await net?.[Symbol.asyncDispose]()
    plugins?.[Symbol.dispose]()
  })

  const run = (name: string, command: string, config: object, environment = {}) => {
    const variables = { CNI_COMMAND: command, CNI_CONTAINERID: 'c1', CNI_NETNS: '/run/netns/x', CNI_IFNAME: 'eth0', ...environment }
    const folder = PLUGINS.flatMap((each) => (each === name ? (plugins?.folder(each) ?? []) : []))[0]
    return execPlugin(net?.pathOf('host') ?? '', `${folder}/fibula`, variables, JSON.stringify({ ...CONFIG, ...config }))
  }

  test('all commands wait 30 s for its socket and end with code 11, DEL too; the socket is named [cni 9, 43, 48]', async () => {
    const socket = '/nonexistent/cni.sock'
    const asked = PLUGINS.flatMap((name) =>
      ['ADD', 'CHECK', 'DEL', 'STATUS'].map((command) => run(name, command, { cniVersion: '0.4.0', socket })),
    )
    const beganMs = performance.now()
    for (const { exitStatus, json } of await Promise.all(asked)) {
      expect(exitStatus).toBe(1)
      expect(json).toMatchObject({ cniVersion: '0.4.0', code: 11, msg: expect.stringContaining(socket) })
    }
    expect(performance.now() - beganMs).toBeGreaterThan(29_000)
  }, 300_000)

  test('what is no socket, or not ours to open, is an error at once', async () => {
    for (const name of PLUGINS)
      for (const socket of ['/etc/passwd/x', `/${'x'.repeat(200)}`]) {
        const { exitStatus, json } = await run(name, 'DEL', {}, { FIBULA_CNI_SOCKET: socket })
        expect({ exitStatus, code: json?.code }).toEqual({ exitStatus: 1, code: 5 })
      }
  })

  test('more than an agent accepts is refused before it is sent [cni 5]', async () => {
    for (const name of PLUGINS) {
      const { exitStatus, json } = await run(name, 'ADD', { padding: 'x'.repeat(1024 * 1024) })
      expect({ exitStatus, code: json?.code }).toEqual({ exitStatus: 1, code: 5 })
    }
  })
})
