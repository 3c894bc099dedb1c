// Tool: writes N routes into the kernel of its namespace by bare netlink, everything encoded beforehand, a thousand messages a
// write and one acknowledgement each: the floor below which no routing daemon can go. Prints milliseconds.
//   kernel-floor.ts PREFIXES GATEWAY DEVICE SOURCE
import { readSync, writeSync } from 'node:fs'
import { ip, ipToBytes } from '../src/net/index.ts'
import { interfaceIndex, socket } from '../src/sys/libc.ts'
import { machineMs } from './endpoint.ts'
import { generateTable } from './generate.ts'
import { prefixCount } from './table.ts'

const AF_NETLINK = 16
const SOCK_RAW_CLOEXEC = 3 | 0o2000000
const NLM_F_REQUEST = 1
const NLM_F_ACK = 4
const NLM_F_CREATE_EXCL = 0x600
const RTM_NEWROUTE = 24
const NLMSG_ERROR = 2
const MESSAGE_BYTES = 16 + 12 + 5 * 8 // nlmsghdr, rtmsg, RTA_DST, RTA_GATEWAY, RTA_OIF, RTA_PRIORITY, RTA_PREFSRC
const OURS = 179 // protocol and metric of the routes Fibula writes
const BATCH = 1000

type Body = { readonly gateway: Uint8Array; readonly device: number; readonly source: Uint8Array }

/** RTM_NEWROUTE (rtnetlink(7)): unicast, main table, universe. */
function writeRoute(view: DataView, at: number, destination: Uint8Array, { gateway, device, source }: Body, acknowledge: boolean): void {
  view.setUint32(at, MESSAGE_BYTES, true)
  view.setUint16(at + 4, RTM_NEWROUTE, true)
  view.setUint16(at + 6, NLM_F_REQUEST | NLM_F_CREATE_EXCL | (acknowledge ? NLM_F_ACK : 0), true)
  const fields = [2, destination[0] ?? 0, 0, 0, 254, OURS, 0, 1] // AF_INET, destination length, …, main, protocol, universe, RTN_UNICAST
  for (const [index, value] of fields.entries()) view.setUint8(at + 16 + index, value)
  const octets = new Uint8Array(view.buffer)
  const word = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer)
  const attributes: readonly (readonly [number, Uint8Array])[] = [
    [1, destination.subarray(1)], // a /24 leaves the last octet zero
    [5, gateway],
    [4, word(device)],
    [6, word(OURS)],
    [7, source],
  ]
  for (const [index, [type, value]] of attributes.entries()) {
    view.setUint16(at + 28 + index * 8, 8, true)
    view.setUint16(at + 30 + index * 8, type, true)
    octets.set(value, at + 32 + index * 8)
  }
}

const [prefixes, gateway, deviceName, source] = [
  Number(process.argv[2]),
  addressOf(process.argv[3]),
  process.argv[4] ?? '',
  addressOf(process.argv[5]),
]
const device = interfaceIndex(deviceName)
if (device === null) throw new Error(`no interface ${deviceName}`)
const table = generateTable({ family: 'IPv4Unicast', prefixes, attributeSets: 1, firstPrefix: 0, seed: 1, firstAsn: 1 })
const count = prefixCount(table)
const messages = new Uint8Array(count * MESSAGE_BYTES)
const view = new DataView(messages.buffer)
for (let index = 0; index < count; index++) {
  const last = index % BATCH === BATCH - 1 || index === count - 1
  writeRoute(view, index * MESSAGE_BYTES, table.nlri.subarray(index * 4, index * 4 + 4), { gateway, device, source }, last)
}
const descriptor = socket(AF_NETLINK, SOCK_RAW_CLOEXEC, 0)
const answer = Buffer.alloc(1 << 16)
const startMs = machineMs()
for (let at = 0; at < messages.length; at += BATCH * MESSAGE_BYTES) {
  writeSync(descriptor, messages.subarray(at, at + BATCH * MESSAGE_BYTES))
  readSync(descriptor, answer)
  if (answer.readUInt16LE(4) === NLMSG_ERROR && answer.readInt32LE(16) !== 0) throw new Error(`netlink: errno ${-answer.readInt32LE(16)}`)
}
console.log(machineMs() - startMs)

function addressOf(text = ''): Uint8Array {
  return ipToBytes(ip(text))
}
