import { describe, expect, test } from '@jest/globals'
import { podRequest } from '../../src/cni/pod-request.ts'
import { formatIp, ip } from '../../src/net/index.ts'

test('without annotations and wishes, anything will do', () => {
  expect(podRequest({}, [])).toEqual({ ok: true, value: { requested: [], pools: { ipv4: null, ipv6: null } } })
})

test('annotations are read', () => {
  const request = podRequest(
    {
      'fibula.network/ip-addrs': '["10.0.0.1", "fd00::1"]',
      'fibula.network/ipv4-pools': '["a"]',
      'fibula.network/ipv6-pools': '["fd00::/64", "b"]',
    },
    [],
  )
  if (!request.ok) throw new Error(request.error.message)
  expect(request.value.requested.map(formatIp)).toEqual(['10.0.0.1', 'fd00::1'])
  expect(request.value.pools).toEqual({ ipv4: ['a'], ipv6: ['fd00::/64', 'b'] })
})

describe.each(['fibula.network/ip-addrs', 'fibula.network/ipv4-pools', 'fibula.network/ipv6-pools'])('%s', (name) => {
  test.each(['', '10.0.0.1', '{}', '"a"', '[1]', '[]', '[null]', '['])('that reads %j is refused by name and value', (value) => {
    const request = podRequest({ [name]: value }, [])
    expect(request).toMatchObject({ ok: false, error: { code: 105, message: expect.stringContaining(name) } })
  })
})

test('no address, or two of one family, are refused', () => {
  expect(podRequest({ 'fibula.network/ip-addrs': '["10.0.0.1/24"]' }, [])).toMatchObject({ ok: false, error: { code: 105 } })
  expect(podRequest({ 'fibula.network/ip-addrs': '["10.0.0.1", "10.0.0.2"]' }, [])).toMatchObject({ ok: false, error: { code: 105 } })
  expect(podRequest({}, [ip('10.0.0.1'), ip('10.0.0.2')])).toMatchObject({
    ok: false,
    error: { code: 7, message: expect.stringContaining('runtimeConfig.ips') },
  })
})
