// Results of ADD as values, read and written in every version of the specification that we speak (pure). What a version does
// not know is left out of what it is told: `ips[].version` ends with 0.4.0, MTUs and route attributes begin with 1.1.0.
import { familyOf, formatIp, IP_FAMILIES, type IpAddress, type IpFamily, type Mac, parseIp } from '../net/index.ts'
import { invalid, isObject, type JsonObject, list, optionalInteger, optionalObject, optionalText, text, texts } from './json.ts'
import { type CniVersion, isAtLeast, parseVersion, SUPPORTED_VERSIONS } from './version.ts'
import { GATEWAY_IPV4, GATEWAY_IPV6 } from './wiring/gateway.ts'

export type CniInterface = {
  readonly name: string
  readonly mac?: string | undefined
  readonly mtu?: number | undefined
  /** Path of the network namespace; absent: the host's. */
  readonly sandbox?: string | undefined
  readonly socketPath?: string | undefined
  readonly pciID?: string | undefined
}

export type CniIp = {
  /** With prefix length. */
  readonly address: string
  readonly gateway?: string | undefined
  /** Index into `interfaces`. */
  readonly interface?: number | undefined
}

export type CniRoute = {
  readonly dst: string
  readonly gw?: string | undefined
  readonly mtu?: number | undefined
  readonly advmss?: number | undefined
  readonly priority?: number | undefined
  readonly table?: number | undefined
  readonly scope?: number | undefined
}

export type CniDns = {
  readonly nameservers?: readonly string[] | undefined
  readonly domain?: string | undefined
  readonly search?: readonly string[] | undefined
  readonly options?: readonly string[] | undefined
}

/** What ADD returns, in the words of the newest version. */
export type CniResult = {
  readonly interfaces: readonly CniInterface[]
  readonly ips: readonly CniIp[]
  readonly routes: readonly CniRoute[]
  readonly dns: CniDns
}

export const EMPTY_RESULT: CniResult = { interfaces: [], ips: [], routes: [], dns: {} }

/** Parses `prevResult`, in whichever supported version it names itself (else `version`). Throws CniError (code 7). */
export function parseResult(value: JsonObject, version: CniVersion): CniResult {
  const named = value['cniVersion'] ?? version
  if (typeof named !== 'string' || parseVersion(named) === null)
    throw invalid('prevResult.cniVersion', named, `one of ${SUPPORTED_VERSIONS.join(', ')}`)
  const interfaces = list('prevResult.interfaces', value['interfaces']).map((each, at) =>
    parseInterface(`prevResult.interfaces[${at}]`, each),
  )
  return {
    interfaces,
    ips: list('prevResult.ips', value['ips']).map((each, at) => parseIpEntry(`prevResult.ips[${at}]`, each, interfaces.length)),
    routes: list('prevResult.routes', value['routes']).map((each, at) => parseRoute(`prevResult.routes[${at}]`, each)),
    dns: parseDns('prevResult.dns', value['dns']),
  }
}

/** Parses a `dns` object (CNI 1.1.0 section 1 and 5). Throws CniError (code 7). */
export function parseDns(field: string, value: unknown): CniDns {
  const dns = optionalObject(field, value) ?? {}
  return {
    nameservers: filled(texts(`${field}.nameservers`, dns['nameservers'])),
    domain: optionalText(`${field}.domain`, dns['domain']),
    search: filled(texts(`${field}.search`, dns['search'])),
    options: filled(texts(`${field}.options`, dns['options'])),
  }
}

/** The result as a plugin prints it. */
export function formatResult({ interfaces, ips, routes, dns }: CniResult, version: CniVersion): string {
  const isNew = isAtLeast(version, '1.1.0')
  const hasIpVersion = !isAtLeast(version, '1.0.0')
  const body = {
    cniVersion: version,
    interfaces: interfaces.map(({ name, mac, sandbox, mtu, socketPath, pciID }) => ({
      name,
      mac,
      ...(isNew ? { mtu } : {}),
      sandbox,
      ...(isNew ? { socketPath, pciID } : {}),
    })),
    ips: ips.map((each) => ({
      ...(hasIpVersion ? { version: each.address.includes(':') ? '6' : '4' } : {}),
      interface: each.interface,
      address: each.address,
      gateway: each.gateway,
    })),
    routes: routes.map(({ dst, gw, mtu, advmss, priority, table, scope }) => ({
      dst,
      gw,
      ...(isNew ? { mtu, advmss, priority, table, scope } : {}),
    })),
    dns,
  }
  return `${JSON.stringify(body)}\n`
}

/** What our ADD contributes. */
export type AddedLink = {
  readonly hostInterface: string
  readonly hostMac: Mac
  readonly ifName: string
  readonly netns: string
  readonly mac: Mac
  readonly mtu: number
  readonly addresses: readonly IpAddress[]
}

/** `before` with the pod's link behind it: order and indexes of what was there stay (CNI 1.1.0 section 2, chaining). */
export function withLink(before: CniResult, link: AddedLink, dns: CniDns): CniResult {
  const at = before.interfaces.length
  const gatewayOf = (family: IpFamily): string => formatIp(family === 4 ? GATEWAY_IPV4 : GATEWAY_IPV6)
  const families = IP_FAMILIES.filter((family) => link.addresses.some((address) => familyOf(address) === family))
  return {
    interfaces: [
      ...before.interfaces,
      { name: link.hostInterface, mac: link.hostMac },
      { name: link.ifName, mac: link.mac, mtu: link.mtu, sandbox: link.netns },
    ],
    ips: [
      ...before.ips,
      ...link.addresses.map((address) => ({
        address: `${formatIp(address)}/${familyOf(address) === 4 ? 32 : 128}`,
        gateway: gatewayOf(familyOf(address)),
        interface: at + 1,
      })),
    ],
    routes: [...before.routes, ...families.map((family) => ({ dst: family === 4 ? '0.0.0.0/0' : '::/0', gw: gatewayOf(family) }))],
    dns: Object.values(dns).some((each) => each !== undefined) ? dns : before.dns,
  }
}

/** How a result and what we hold of the attachment differ, in words; empty: they agree (CHECK). */
export function compareResult(
  result: CniResult,
  link: { readonly ifName: string; readonly netns: string; readonly addresses: readonly IpAddress[] },
): readonly string[] {
  const at = result.interfaces.findIndex((each) => each.name === link.ifName && each.sandbox !== undefined)
  if (at < 0) return [`prevResult lists no interface ${link.ifName} with a sandbox`]
  const listed = new Set(result.ips.filter((each) => each.interface === at).map((each) => addressOf(each.address)))
  const held = new Set<IpAddress | null>(link.addresses)
  return [
    ...[...listed]
      .filter((address) => !held.has(address))
      .map(
        (address) => `prevResult gives ${link.ifName} the address ${address === null ? 'null' : formatIp(address)}, which it does not hold`,
      ),
    ...link.addresses
      .filter((address) => !listed.has(address))
      .map((address) => `prevResult lacks the address ${formatIp(address)} of ${link.ifName}`),
  ]
}

function addressOf(cidr: string): IpAddress | null {
  return parseIp(cidr.slice(0, cidr.indexOf('/')))
}

function parseInterface(field: string, value: unknown): CniInterface {
  if (!isObject(value)) throw invalid(field, value, 'an object')
  return {
    name: text(`${field}.name`, value['name']),
    mac: optionalText(`${field}.mac`, value['mac']),
    mtu: optionalInteger(`${field}.mtu`, value['mtu']),
    sandbox: optionalText(`${field}.sandbox`, value['sandbox']),
    socketPath: optionalText(`${field}.socketPath`, value['socketPath']),
    pciID: optionalText(`${field}.pciID`, value['pciID']),
  }
}

function parseIpEntry(field: string, value: unknown, interfaces: number): CniIp {
  if (!isObject(value)) throw invalid(field, value, 'an object')
  const address = text(`${field}.address`, value['address'])
  if (addressOf(address) === null || !/\/\d{1,3}$/.test(address))
    throw invalid(`${field}.address`, address, 'an address with prefix length')
  const index = optionalInteger(`${field}.interface`, value['interface'])
  if (index !== undefined && (index < 0 || index >= interfaces))
    throw invalid(`${field}.interface`, index, 'the index of an entry of prevResult.interfaces')
  return { address, gateway: optionalText(`${field}.gateway`, value['gateway']), interface: index }
}

function parseRoute(field: string, value: unknown): CniRoute {
  if (!isObject(value)) throw invalid(field, value, 'an object')
  const number = (name: string): number | undefined => optionalInteger(`${field}.${name}`, value[name])
  return {
    dst: text(`${field}.dst`, value['dst']),
    gw: optionalText(`${field}.gw`, value['gw']),
    mtu: number('mtu'),
    advmss: number('advmss'),
    priority: number('priority'),
    table: number('table'),
    scope: number('scope'),
  }
}

function filled<T>(values: readonly T[]): readonly T[] | undefined {
  return values.length === 0 ? undefined : values
}
