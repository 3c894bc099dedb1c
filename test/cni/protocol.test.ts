import { describe, expect, test } from '@jest/globals'
import { faultReply } from '../../src/cni/error.ts'
import { parseInvocation } from '../../src/cni/protocol.ts'
import { formatIp } from '../../src/net/index.ts'
import { CONFIG, environment, NETNS } from './world.ts'

function parse(variables: Record<string, string>, config: unknown): ReturnType<typeof parseInvocation> {
  const stdin = new TextEncoder().encode(typeof config === 'string' ? config : JSON.stringify(config))
  return parseInvocation({ variables: new Map(Object.entries(variables)), stdin })
}

/** Code and message of the refusal. */
function refusal(variables: Record<string, string>, config: unknown = CONFIG): { readonly code: number; readonly message: string } {
  const { request } = parse(variables, config)
  if (request.ok) throw new Error(`accepted: ${JSON.stringify(request.value)}`)
  return request.error
}

function without(variables: Record<string, string>, ...names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(variables).filter(([name]) => !names.includes(name)))
}

describe('environment', () => {
  test.each([[{}], [{ CNI_COMMAND: '' }], [{ CNI_COMMAND: 'add' }], [{ CNI_COMMAND: 'REMOVE' }]])(
    '%j: code 4 naming CNI_COMMAND [cni 1]',
    (variables) => {
      expect(refusal(variables)).toMatchObject({ code: 4, message: expect.stringContaining('CNI_COMMAND') })
    },
  )

  test.each([
    ['ADD', ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME']],
    ['CHECK', ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME']],
    ['DEL', ['CNI_CONTAINERID', 'CNI_IFNAME']],
    ['GC', ['CNI_PATH']],
  ] as const)('%s without %j: code 4 naming all of them [cni 2]', (command, names) => {
    const { code, message } = refusal(without(environment(command), ...names))
    expect(code).toBe(4)
    for (const name of names) expect(message).toContain(name)
    for (const name of names) expect(refusal(without(environment(command), name)).message).toContain(`needs ${name}:`)
  })

  test('a variable that is there but empty is missing [cni 2]', () => {
    expect(refusal({ ...environment('ADD'), CNI_NETNS: '' })).toMatchObject({ code: 4 })
  })

  test.each(['-a', '.a', '_a', 'a b', 'a/b', 'a:b', 'ä', 'a\n'])('container id %j: code 4 [cni 3]', (id) => {
    expect(refusal({ ...environment('ADD'), CNI_CONTAINERID: id })).toMatchObject({
      code: 4,
      message: expect.stringContaining('CNI_CONTAINERID'),
    })
  })

  test.each(['.', '..', 'a/b', 'a:b', 'a b', 'a\tb', 'a'.repeat(16), 'ä'.repeat(8)])('interface name %j: code 4 [cni 4]', (name) => {
    expect(refusal({ ...environment('ADD'), CNI_IFNAME: name })).toMatchObject({ code: 4, message: expect.stringContaining('CNI_IFNAME') })
  })

  test('15 octets are a name [cni 4]', () => {
    expect(parse({ ...environment('ADD'), CNI_IFNAME: 'a'.repeat(15) }, CONFIG).request.ok).toBe(true)
  })

  test.each([
    ['A', 4],
    ['=x', 4],
    ['UNKNOWN=1', 4],
    ['UNKNOWN=1;IgnoreUnknown=0', 4],
  ])('CNI_ARGS %j: code %i [cni 14]', (args, code) => {
    expect(refusal({ ...environment('ADD'), CNI_ARGS: args })).toMatchObject({ code, message: expect.stringContaining('CNI_ARGS') })
  })

  test.each([
    ['', null],
    ['IgnoreUnknown=1;UNKNOWN=a=b;;K8S_POD_NAMESPACE=n;K8S_POD_NAME=p', { namespace: 'n', name: 'p', uid: null }],
    ['K8S_POD_INFRA_CONTAINER_ID=c;K8S_POD_UID=u;K8S_POD_NAME=p;K8S_POD_NAMESPACE=n', { namespace: 'n', name: 'p', uid: 'u' }],
    ['K8S_POD_NAME=p', null],
  ])('CNI_ARGS %j names the pod %j [cni 14]', (args, pod) => {
    const { request } = parse({ ...environment('ADD'), CNI_ARGS: args }, CONFIG)
    expect(request).toMatchObject({ ok: true, value: { pod } })
  })

  test('DEL minds nothing in CNI_ARGS', () => {
    expect(parse({ ...environment('DEL'), CNI_ARGS: 'x;=;UNKNOWN=1' }, CONFIG).request.ok).toBe(true)
  })

  test('a relative CNI_NETNS: code 4', () => {
    expect(refusal({ ...environment('ADD'), CNI_NETNS: 'ns' })).toMatchObject({ code: 4 })
  })
})

describe('configuration', () => {
  test.each(['', ' ', '{', 'x', '[]', '"a"', '1', 'null', '\u0000'])('%j: code 6 [cni 5]', (text) => {
    expect(refusal(environment('ADD'), text).code).toBe(6)
  })

  test('octets that are no UTF-8: code 6 [cni 5]', () => {
    const stdin = Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)
    expect(parseInvocation({ variables: new Map(Object.entries(environment('ADD'))), stdin }).request).toMatchObject({ error: { code: 6 } })
  })

  test.each([undefined, '', 1, '-a', 'a b', 'ä', 'a/b'])('name %j: code 7 [cni 6]', (name) => {
    for (const command of ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'])
      expect(refusal(environment(command), { ...CONFIG, name })).toMatchObject({ code: 7, message: expect.stringContaining('name') })
  })

  test.each([undefined, '0.1.0', '0.2.0', '1.2.0', '9.9.9', 'x', 1])(
    'cniVersion %j: code 1 with the supported list [cni 7]',
    (cniVersion) => {
      for (const command of ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'])
        expect(refusal(environment(command), { ...CONFIG, cniVersion })).toMatchObject({
          code: 1,
          details: expect.stringContaining('0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0'),
        })
    },
  )

  test.each([
    ['CHECK', '0.3.0'],
    ['CHECK', '0.3.1'],
    ['STATUS', '0.4.0'],
    ['STATUS', '1.0.0'],
    ['GC', '1.0.0'],
  ])('%s did not exist in %s: code 1 [cni 49, 51]', (command, cniVersion) => {
    expect(refusal(environment(command), { ...CONFIG, cniVersion, prevResult: {}, 'cni.dev/valid-attachments': [] })).toMatchObject({
      code: 1,
    })
  })

  test.each([
    [{ mtu: 100 }, 2, 'mtu'],
    [{ mtu: 70_000 }, 2, 'mtu'],
    [{ mtu: '1500' }, 7, 'mtu'],
    [{ ipam: { type: 'host-local' } }, 2, 'ipam.type'],
    [{ ipam: 'x' }, 7, 'ipam'],
    [{ dns: { nameservers: 'x' } }, 7, 'dns.nameservers'],
    [{ runtimeConfig: [] }, 7, 'runtimeConfig'],
    [{ runtimeConfig: { ips: ['10.0.0.300'] } }, 7, 'runtimeConfig.ips[0]'],
    [{ runtimeConfig: { ips: [1] } }, 7, 'runtimeConfig.ips[0]'],
    [{ runtimeConfig: { ips: ['127.0.0.1'] } }, 7, 'runtimeConfig.ips[0]'],
    [{ runtimeConfig: { mac: 'x' } }, 7, 'runtimeConfig.mac'],
    [{ runtimeConfig: { mac: '01:00:00:00:00:01' } }, 7, 'runtimeConfig.mac'],
    [{ runtimeConfig: { mac: '00:00:00:00:00:00' } }, 7, 'runtimeConfig.mac'],
    [{ prevResult: [] }, 7, 'prevResult'],
    [{ prevResult: { cniVersion: '0.2.0' } }, 7, 'prevResult.cniVersion'],
    [{ prevResult: { ips: [{}] } }, 7, 'prevResult.ips[0].address'],
    [{ prevResult: { ips: [{ address: '10.0.0.1' }] } }, 7, 'prevResult.ips[0].address'],
    [{ prevResult: { ips: [{ address: '10.0.0.1/24', interface: 0 }] } }, 7, 'prevResult.ips[0].interface'],
    [{ prevResult: { interfaces: [{}] } }, 7, 'prevResult.interfaces[0].name'],
  ])('%j: code %i naming %s and its value [cni 8]', (change, code, field) => {
    expect(refusal(environment('ADD'), { ...CONFIG, ...change })).toMatchObject({ code, message: expect.stringContaining(field) })
    expect(parse(environment('DEL'), { ...CONFIG, ...change }).request.ok).toBe(true) // [cni 44]
  })

  test('unsupported values are quoted [cni 8]', () => {
    expect(refusal(environment('ADD'), { ...CONFIG, mtu: 70_000 }).message).toContain('70000')
    expect(refusal(environment('ADD'), { ...CONFIG, ipam: { type: 'host-local' } }).message).toContain('host-local')
  })

  test('keys that are not ours, args and capabilities are ignored [cni 13, 58]', () => {
    const config = {
      ...CONFIG,
      args: { cni: { labels: 1 } },
      capabilities: { x: true },
      surprise: {},
      runtimeConfig: { portMappings: 'x' },
    }
    expect(parse(environment('ADD'), config).request.ok).toBe(true)
  })

  test('what is asked for is read', () => {
    const { request } = parse(environment('ADD'), {
      ...CONFIG,
      mtu: 9000,
      dns: { nameservers: ['10.0.0.10'], search: ['x'] },
      runtimeConfig: { ips: ['10.0.0.1/24', 'fd00::1'], mac: '0A:58:00:00:00:01' },
    })
    if (!request.ok || request.value.command !== 'ADD') throw new Error('refused')
    const { mtu, mac, dns, requestedIps, prevResult } = request.value.config
    expect({ mtu, mac, prevResult }).toEqual({ mtu: 9000, mac: '0a:58:00:00:00:01', prevResult: null })
    expect(requestedIps.map(formatIp)).toEqual(['10.0.0.1', 'fd00::1'])
    expect(dns).toEqual({ nameservers: ['10.0.0.10'], search: ['x'] })
    expect(request.value).toMatchObject({ netns: NETNS, key: { containerId: 'c1', ifName: 'eth0' }, network: 'fibula', version: '1.1.0' })
  })

  test('CHECK without prevResult: code 7 [cni 49]', () => {
    expect(refusal(environment('CHECK'))).toMatchObject({ code: 7, message: expect.stringContaining('prevResult') })
  })

  test.each([undefined, null, {}, [1], [{ containerID: 'a' }], [{ ifname: 'a' }]])(
    'GC with valid attachments %j: code 7, never "all" [cni 55]',
    (valid) => {
      expect(refusal(environment('GC'), { ...CONFIG, 'cni.dev/valid-attachments': valid })).toMatchObject({
        code: 7,
        message: expect.stringContaining('cni.dev/valid-attachments'),
      })
    },
  )

  test('an empty list is a list [cni 55]', () => {
    expect(parse(environment('GC'), { ...CONFIG, 'cni.dev/valid-attachments': [] }).request).toMatchObject({
      ok: true,
      value: { valid: [] },
    })
  })

  test.each(['', ' \n', '{}', '{"cniVersion":"7.0.0"}'])('VERSION takes %j [cni 16]', (text) => {
    expect(parse({ CNI_COMMAND: 'VERSION' }, text).request).toEqual({ ok: true, value: { command: 'VERSION' } })
  })

  test('VERSION does not take what is not JSON [cni 5]', () => {
    expect(refusal({ CNI_COMMAND: 'VERSION' }, 'x').code).toBe(6)
  })
})

test.each([
  ['0.4.0', '0.4.0'],
  ['9.9.9', '9.9.9'],
  [undefined, '1.1.0'],
  [7, '1.1.0'],
  ['a"b', '1.1.0'],
])('an error to a request of version %j says %j, and is one JSON document [cni 10]', (requested, said) => {
  const { exitStatus, stdout } = faultReply({ code: 7, message: 'x "y"', details: 'z' }, requested)
  expect(exitStatus).toBe(1)
  expect(stdout).toBe(`{"cniVersion":"${said}","code":7,"msg":"x \\"y\\"","details":"z"}\n`)
})
