import { describe, expect, test } from '@jest/globals'
import { bitsOf, cidr, containsAddress, familyOf, formatPrefix, type IpFamily, ipv4, ipv6 } from '../../src/net/index.ts'
import { type Block, unionOf } from '../../src/policy/blocks.ts'
import { Random } from './random.ts'

const block = (text: string, ...except: string[]): Block => ({ cidr: cidr(text), except: except.map(cidr) })
const texts = (family: IpFamily, ...blocks: Block[]) => {
  const union = unionOf(family, blocks)
  return union === 'all' ? union : union.map(formatPrefix)
}

describe('unions of blocks', () => {
  test.each<[string, IpFamily, Block[], 'all' | string[]]>([
    ['nothing', 4, [], []],
    ['one', 4, [block('10.1.2.3/24')], ['10.1.2.0/24']],
    ['what the other family has is left out', 6, [block('10.0.0.0/8'), block('fd00::/8')], ['fd00::/8']],
    ['everything', 4, [block('0.0.0.0/0')], 'all'],
    ['two halves are everything', 4, [block('0.0.0.0/1'), block('128.0.0.0/1')], 'all'],
    ['everything of IPv6', 6, [block('::/0')], 'all'],
    ['neighbours are one', 4, [block('10.0.0.0/24'), block('10.0.1.0/24')], ['10.0.0.0/23']],
    ['the smaller one inside is nothing new', 4, [block('10.0.0.0/8'), block('10.1.0.0/16')], ['10.0.0.0/8']],
    ['an exception', 4, [block('10.0.0.0/30', '10.0.0.1/32')], ['10.0.0.0/32', '10.0.0.2/31']],
    ['an exception at the end', 4, [block('10.0.0.0/30', '10.0.0.3/32')], ['10.0.0.0/31', '10.0.0.2/32']],
    ['an exception that another block fills', 4, [block('10.0.0.0/30', '10.0.0.1/32'), block('10.0.0.1/32')], ['10.0.0.0/30']],
    ['an exception is of its own block', 4, [block('10.0.0.0/30', '10.0.0.0/31'), block('10.0.0.0/31')], ['10.0.0.0/30']],
    ['nothing is left', 4, [block('10.0.0.0/31', '10.0.0.0/32', '10.0.0.1/32')], []],
    ['the last address there is', 4, [block('255.255.255.252/30', '255.255.255.254/32')], ['255.255.255.252/31', '255.255.255.255/32']],
    ['the last of IPv6', 6, [block('::/0', '::/1')], ['8000::/1']],
  ])('%s', (_, family, blocks, wanted) => {
    expect(texts(family, ...blocks)).toEqual(wanted)
  })

  test.each([4, 6] as const)('IPv%i: an address is in the union if it is in a block and in none of its exceptions', (family) => {
    const random = new Random(family)
    const bits = bitsOf(family)
    const address = (low: number) => (family === 4 ? ipv4(0x0a000000 + low) : ipv6((0xfd00n << 112n) + BigInt(low)))
    for (let round = 0; round < 200; round++) {
      const some = () => ({ address: address(random.below(64)), length: bits - random.below(6) })
      const masked = () => {
        const { address: at, length } = some()
        return cidr(`${formatPrefix({ address: at, length })}`)
      }
      const blocks = random.times(4, () => ({ cidr: masked(), except: random.times(3, masked) }))
      const union = unionOf(family, blocks)
      if (union === 'all') throw new Error('64 addresses are not all')
      for (let low = 0; low < 70; low++) {
        const each = address(low)
        const wanted = blocks.some(
          ({ cidr: outer, except }) => containsAddress(outer, each) && !except.some((inner) => containsAddress(inner, each)),
        )
        expect([low, union.filter((prefix) => containsAddress(prefix, each)).length]).toEqual([low, wanted ? 1 : 0])
      }
      expect(union.every((prefix) => familyOf(prefix.address) === family)).toBe(true)
    }
  })
})
