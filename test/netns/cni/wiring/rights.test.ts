// With what an agent's container has: few capabilities, and a /proc/sys that cannot be written.
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { describeWith } from '../../../support/tier.ts'
import { openNode, type WiringNode } from './harness.ts'

const ROOT = path.resolve(import.meta.dirname, '../../../..')
const READ_ONLY = 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"'
const FINE = { check: [], repair: [], setMtu: [], list: ['fib00000000001'], detach: [], left: [] }

describeWith(['ip', 'setpriv', 'unshare', 'nsenter'], 'wiring with few rights', () => {
  let node: WiringNode
  beforeEach(async () => {
    node = await openNode(['a'])
  })
  afterEach(async () => {
    await node[Symbol.asyncDispose]()
  })

  const wire = async (rights: readonly string[], ...addresses: string[]): Promise<Record<string, unknown>> => {
    const program = [path.join(ROOT, 'scripts/node'), path.join(import.meta.dirname, 'wire-main.ts'), node.net.pathOf('a'), ...addresses]
    const [command = '', ...args] = [...rights, ...program]
    return JSON.parse((await node.net.exec('host', command, args)).stdout)
  }
  const only = (...capabilities: string[]): readonly string[] => {
    const set = ['-all', ...capabilities.map((capability) => `+${capability}`)].join(',')
    return ['setpriv', `--bounding-set=${set}`, `--inh-caps=${set}`]
  }
  const readOnly = ['unshare', '--mount', 'sh', '-c', READ_ONLY, 'sh']
  const set = (of: string, key: string, value: number): Promise<unknown> =>
    node.net.exec(of, 'sh', ['-c', `echo ${value} > /proc/sys/net/${key}`])

  test('NET_ADMIN and SYS_ADMIN are enough', async () => {
    expect(await wire(only('net_admin', 'sys_admin'), '10.244.0.1', 'fd00:244::1')).toMatchObject({
      attached: { ok: true, value: { warnings: [] } },
      ...FINE,
    })
  })

  test.each([
    ['SYS_ADMIN', ['net_admin', 'net_raw'], 'setns: EPERM'],
    ['NET_ADMIN', ['sys_admin', 'net_raw'], 'EPERM'],
  ])('without %s it says what it lacks, and leaves nothing', async (_name, capabilities, words) => {
    expect(await wire(only(...capabilities), '10.244.0.1')).toEqual({
      attached: { ok: false, error: { kind: 'failed', message: expect.stringContaining(words) } },
      left: [],
    })
  })

  test('a read-only /proc/sys is enough where forwarding is on: the rest goes by netlink', async () => {
    expect(await wire([...readOnly, ...only('net_admin', 'sys_admin')], '10.244.0.1', 'fd00:244::1')).toMatchObject({
      attached: { ok: true, value: { warnings: [] } },
      ...FINE,
    })
    expect(await wire(readOnly, '10.244.0.1')).toMatchObject({ attached: { ok: true, value: { warnings: [] } }, ...FINE })
  })

  test('a read-only /proc/sys: what matters and cannot be set is a warning that names it', async () => {
    await set('host', 'ipv6/conf/default/forwarding', 0)
    await set('host', 'ipv4/conf/all/rp_filter', 2)
    const { attached } = await wire(readOnly, '10.244.0.1', 'fd00:244::1')
    expect(attached).toMatchObject({
      ok: true,
      value: {
        warnings: [
          expect.stringMatching(
            /^cannot set net\/ipv6\/conf\/fib00000000001\/forwarding to 1: EROFS.*let the agent write \/proc\/sys\/net$/,
          ),
          expect.stringMatching(/^cannot set net\/ipv6\/conf\/fib00000000001\/accept_ra to 0: .*router advertisement/),
          expect.stringMatching(/^net\/ipv4\/conf\/all\/rp_filter is 2/),
        ],
      },
    })
  })

  test.each(['host', 'a'])('a read-only /proc/sys, IPv6 off in %s and an IPv6 address: refused, and nothing left', async (where) => {
    await set(where, 'ipv6/conf/default/disable_ipv6', 1)
    expect(await wire(readOnly, '10.244.0.1', 'fd00:244::1')).toMatchObject({
      attached: {
        ok: false,
        error: { kind: 'failed', message: expect.stringMatching(/disable_ipv6 to 0: EROFS.*the pod has an IPv6 address/) },
      },
      left: [],
    })
  })
})
