// RTM_*RULE (linux/fib_rules.h): which routing table packets from an address are looked up in. Pure.
import { bitsOf, familyOf, type IpAddress } from '../../net/index.ts'
import { NLM_F_CREATE, NLM_F_EXCL } from '../netlink-message.ts'
import { addressFamily, MessageWriter, type NetlinkRequest, struct } from './message.ts'

const RTM_NEWRULE = 32
const RTM_DELRULE = 33
const FIB_RULE_HDR_LENGTH = 12
const FRA_SRC = 2
const FRA_PRIORITY = 6
const FRA_TABLE = 15
const FR_ACT_TO_TBL = 1

/** Packets from one address. */
export type SourceRule = {
  readonly source: IpAddress
  /** Rules are asked in the order of their priorities; the main table's is 32766. */
  readonly priority: number
}

/** Adds a rule that sends look-ups to a table. EEXIST: it is there. */
export function addSourceRule(rule: SourceRule, table: number): NetlinkRequest {
  return start('add', RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, FR_ACT_TO_TBL, rule)
    .u32(FRA_TABLE, table)
    .finish()
}

/** Removes one rule for this source and priority, whatever table it leads to. ENOENT: there is none. */
export function deleteSourceRule(rule: SourceRule): NetlinkRequest {
  return start('remove', RTM_DELRULE, 0, 0, rule).finish()
}

function start(verb: string, type: number, flags: number, action: number, { source, priority }: SourceRule): MessageWriter {
  const fixed = struct(FIB_RULE_HDR_LENGTH, (view) => {
    view.setUint8(0, addressFamily(source))
    view.setUint8(2, bitsOf(familyOf(source)))
    view.setUint8(7, action)
  })
  return new MessageWriter(`${verb} a rule for a source`, type, flags, fixed).address(FRA_SRC, source).u32(FRA_PRIORITY, priority)
}
