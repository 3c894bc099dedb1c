import { expect, test } from '@jest/globals'
import type { VariantState } from '../../src/netfilter/reader.ts'
import { emptyFamily, parseSave } from '../../src/netfilter/save.ts'
import { chooseVariant } from '../../src/netfilter/variant.ts'

const NOTHING: VariantState = { 4: emptyFamily(), 6: emptyFamily() }
const six = (text: string): VariantState => ({ 4: emptyFamily(), 6: parseSave(text) })
const four = (text: string): VariantState => ({ 4: parseSave(text), 6: emptyFamily() })
const HINT = '*mangle\n:KUBE-IPTABLES-HINT - [0:0]\nCOMMIT\n'
const CANARY = '*mangle\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n'
const DOCKER = '*filter\n:FORWARD DROP [0:0]\n-A FORWARD -j DOCKER-USER\nCOMMIT\n'
const OURS = '*filter\n:FORWARD DROP [0:0]\n:fib-a - [0:0]\n-A fib-a -j DROP\nCOMMIT\n'

test.each<[string, VariantState | null, VariantState | null, 'nft' | 'legacy' | null]>([
  ['an empty host', NOTHING, NOTHING, 'nft'],
  ['no tools', null, null, null],
  ['legacy tools only', null, NOTHING, 'legacy'],
  ['nft tools only', NOTHING, null, 'nft'],
  ['a hint of kubelet in legacy', four(DOCKER), four(HINT), 'legacy'],
  ['its older canary in legacy, for IPv6', NOTHING, six(CANARY), 'legacy'],
  ['a hint in both', four(HINT), four(HINT), 'nft'],
  ['other rules in legacy', NOTHING, four(DOCKER), 'legacy'],
  ['more other rules in nft', four(`${DOCKER}*nat\n-A POSTROUTING -j X\nCOMMIT\n`), four(DOCKER), 'nft'],
  ['only rules of ours, in legacy', NOTHING, four(OURS), 'legacy'],
  ['rules of ours in legacy, of others in nft', four(DOCKER), four(OURS), 'nft'],
])('%s', (_name, nft, legacy, variant) => {
  expect(chooseVariant({ nft, legacy })).toBe(variant)
})
