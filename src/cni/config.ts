// The network configuration on standard input (CNI 1.1.0 section 1) and the keys in it that are ours (pure). Keys that nobody
// here knows are ignored.
import { type IpAddress, isUsableUnicast, type Mac, parseIp, parseMac, parsePrefix } from '../net/index.ts'
import { invalid, isObject, type JsonObject, list, optionalInteger, optionalObject, text, unsupported } from './json.ts'
import type { AttachmentKey } from './ports.ts'
import { type CniDns, type CniResult, parseDns, parseResult } from './result.ts'
import type { CniVersion } from './version.ts'

/** Smallest MTU of a link that carries IPv6 (RFC 8200 section 5). */
const MIN_MTU = 1280
const MAX_MTU = 65_535

/** What ADD reads of the configuration, beside the network's name. */
export type AddConfig = {
  /** Of the pods' links, in octets; null: as the uplink allows. */
  readonly mtu: number | null
  readonly dns: CniDns
  /** runtimeConfig.ips: addresses that the pod asks for. */
  readonly requestedIps: readonly IpAddress[]
  /** runtimeConfig.mac */
  readonly mac: Mac | null
  readonly prevResult: CniResult | null
}

/** `name` of the configuration. Throws CniError (code 7). */
export function parseNetworkName(config: JsonObject): string {
  const name = config['name']
  if (typeof name !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name))
    throw invalid('name', name, 'letters, digits, ".", "_" or "-", beginning with a letter or digit')
  return name
}

/** Throws CniError (codes 2 and 7). */
export function parseAddConfig(config: JsonObject, version: CniVersion): AddConfig {
  const ipamType = optionalObject('ipam', config['ipam'])?.['type']
  if (ipamType !== undefined && ipamType !== '')
    throw unsupported('ipam.type', ipamType, 'remove ipam: addresses come from the IPPools of the cluster')
  const runtimeConfig = optionalObject('runtimeConfig', config['runtimeConfig']) ?? {}
  return {
    mtu: parseMtu(config['mtu']),
    dns: parseDns('dns', config['dns']),
    requestedIps: list('runtimeConfig.ips', runtimeConfig['ips']).map((each, at) => parseRequestedIp(`runtimeConfig.ips[${at}]`, each)),
    mac: parseRequestedMac(runtimeConfig['mac']),
    prevResult: parsePrevResult(config, version),
  }
}

/** `prevResult`, or null if there is none. Throws CniError (code 7). */
export function parsePrevResult(config: JsonObject, version: CniVersion): CniResult | null {
  const value = optionalObject('prevResult', config['prevResult'])
  return value === undefined ? null : parseResult(value, version)
}

/** The attachments that GC must keep. Throws CniError (code 7) if the key is missing: that never means "none". */
export function parseValidAttachments(config: JsonObject): readonly AttachmentKey[] {
  const key = 'cni.dev/valid-attachments'
  const value = config[key]
  if (!Array.isArray(value)) throw invalid(key, value, 'the list of attachments to keep, perhaps empty')
  return value.map((each: unknown, at) => {
    if (!isObject(each)) throw invalid(`${key}[${at}]`, each, 'an object with containerID and ifname')
    return {
      containerId: text(`${key}[${at}].containerID`, each['containerID']),
      ifName: text(`${key}[${at}].ifname`, each['ifname']),
    }
  })
}

function parseMtu(value: unknown): number | null {
  const mtu = optionalInteger('mtu', value)
  if (mtu === undefined || mtu === 0) return null
  if (mtu < MIN_MTU || mtu > MAX_MTU) throw unsupported('mtu', mtu, `use ${MIN_MTU} to ${MAX_MTU}, or leave it out to follow the uplink`)
  return mtu
}

function parseRequestedIp(field: string, value: unknown): IpAddress {
  const written = text(field, value)
  const address = parsePrefix(written) === null ? parseIp(written) : parseIp(written.slice(0, written.indexOf('/')))
  if (address === null || !isUsableUnicast(address)) throw invalid(field, value, 'a unicast address, with or without prefix length')
  return address
}

function parseRequestedMac(value: unknown): Mac | null {
  if (value === undefined || value === null || value === '') return null
  const mac = parseMac(text('runtimeConfig.mac', value))
  const first = Number.parseInt(mac?.slice(0, 2) ?? '01', 16)
  if (mac === null || (first & 1) !== 0 || mac === '00:00:00:00:00:00')
    throw invalid('runtimeConfig.mac', value, 'a unicast MAC address such as "0a:58:0a:00:00:01"')
  return mac
}
