// Lines of `ipset restore` as messages of the kernel's own interface (linux/netfilter/ipset/ip_set.h), for the changes that are made
// all the time: sets of our four types come and go, and so do their members. Numbers are in network order. Pure.
import { bitsOf, familyOf, ipToBytes, parseIp } from '../net/index.ts'
import { NLM_F_DUMP } from '../sys/netlink-message.ts'
import { AF_INET, AF_INET6, MessageWriter, type NetlinkRequest, struct } from '../sys/rtnetlink/message.ts'

const NFNL_SUBSYS_IPSET = 6 << 8
const CMD = {
  create: NFNL_SUBSYS_IPSET | 2,
  destroy: NFNL_SUBSYS_IPSET | 3,
  save: NFNL_SUBSYS_IPSET | 8,
  add: NFNL_SUBSYS_IPSET | 9,
  del: NFNL_SUBSYS_IPSET | 10,
} as const
const ATTR = { PROTOCOL: 1, SETNAME: 2, TYPENAME: 3, REVISION: 4, FAMILY: 5, DATA: 7 } as const
const DATA = { IP: 1, CIDR: 3, PORT: 4, PROTO: 7, CADT_FLAGS: 8, HASHSIZE: 18, MAXELEM: 19 } as const
const NET_BYTEORDER = 0x4000
const IPADDR = { 4: 1, 6: 2 } as const
const FLAG_NOMATCH = 1 << 2
/** Understood by every kernel since 2.6.39. */
const PROTOCOL = 6
/** The least revision that has all we use (SCTP ports, `nomatch`): an ipset program of whatever age can then list the set. */
const REVISIONS: Readonly<Record<string, number>> = { 'hash:ip': 0, 'hash:ip,port': 1, 'hash:net': 2, 'hash:net,port': 3 }
const PROTOCOLS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 }
const MAX_PORT = 0xffff
const CREATE = /^(\S+) family (inet6?) hashsize (\d+) maxelem (\d+)$/
const MEMBER = /^([\da-f.:]+)(?:\/(\d{1,3}))?(?:,([a-z]+):(\d{1,5}))?( nomatch)?$/

/** The message that does what a line says, where `-exist` forgives what is so already; null: only the program can tell. */
export function setMessage(line: string): NetlinkRequest | null {
  const [verb = '', name = '', ...words] = line.split(' ')
  const rest = words.join(' ')
  switch (verb) {
    case 'add':
    case 'del':
      return memberMessage(line, CMD[verb], name, rest)
    case 'create':
      return createMessage(line, name, rest)
    case 'destroy':
      return rest === '' && name !== '' ? message(line, CMD.destroy, name).finish() : null
    default:
      return null
  }
}

/** Asks for all sets with their members. */
export function saveMessage(): NetlinkRequest {
  const nfgenmsg = struct(4, (view) => view.setUint8(0, AF_INET))
  return new MessageWriter('save sets', CMD.save, NLM_F_DUMP, nfgenmsg).u8(ATTR.PROTOCOL, PROTOCOL).finish()
}

/** Acknowledgements are asked for by whoever sends. Without NLM_F_EXCL what is there already is no error. */
function message(line: string, command: number, name: string): MessageWriter {
  const nfgenmsg = struct(4, (view) => view.setUint8(0, AF_INET))
  return new MessageWriter(line, command, 0, nfgenmsg).u8(ATTR.PROTOCOL, PROTOCOL).text(ATTR.SETNAME, name)
}

function createMessage(line: string, name: string, rest: string): NetlinkRequest | null {
  const [, type = '', family, hashSize, maxElements] = CREATE.exec(rest) ?? []
  const revision = REVISIONS[type]
  if (revision === undefined) return null
  return message(line, CMD.create, name)
    .text(ATTR.TYPENAME, type)
    .u8(ATTR.REVISION, revision)
    .u8(ATTR.FAMILY, family === 'inet' ? AF_INET : AF_INET6)
    .nest(ATTR.DATA, (data) =>
      data.octets(DATA.HASHSIZE | NET_BYTEORDER, u32(Number(hashSize))).octets(DATA.MAXELEM | NET_BYTEORDER, u32(Number(maxElements))),
    )
    .finish()
}

function memberMessage(line: string, command: number, name: string, member: string): NetlinkRequest | null {
  const [, addressText = '', length, protocolName, port, flag] = MEMBER.exec(member) ?? []
  const address = parseIp(addressText)
  const protocol = protocolName === undefined ? undefined : PROTOCOLS[protocolName]
  if (address === null || (protocolName !== undefined && protocol === undefined)) return null
  if (Number(length ?? 0) > bitsOf(familyOf(address)) || Number(port ?? 0) > MAX_PORT) return null
  return message(line, command, name)
    .nest(ATTR.DATA, (data) => {
      data.nest(DATA.IP, (ip) => ip.octets(IPADDR[familyOf(address)] | NET_BYTEORDER, ipToBytes(address)))
      if (length !== undefined) data.u8(DATA.CIDR, Number(length))
      if (protocol !== undefined) data.octets(DATA.PORT | NET_BYTEORDER, u16(Number(port))).u8(DATA.PROTO, protocol)
      if (flag !== undefined) data.octets(DATA.CADT_FLAGS | NET_BYTEORDER, u32(FLAG_NOMATCH))
    })
    .finish()
}

function u16(value: number): Uint8Array {
  return Uint8Array.of((value >> 8) & 0xff, value & 0xff)
}

function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff)
}
