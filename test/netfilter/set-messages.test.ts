// Lines for ipset as netlink messages. The octets are those that ipset 7.17 sends for the same command (strace), but for the attribute
// LINENO, the number of the protocol and the flag that asks for an acknowledgement.
import { describe, expect, test } from '@jest/globals'
import { setMessage } from '../../src/netfilter/set-messages.ts'

/** length, type, flags, sequence and port; then struct nfgenmsg. */
const head = (length: string, command: string): string => `${length}0000${command}06010000000000000000000200000005000100060000000b000200`
const NAME4 = '666962342d610000'

describe('a line as a message', () => {
  test.each([
    [
      'create fib4-a hash:net family inet hashsize 64 maxelem 1048576',
      head('5c00', '02') +
        NAME4 +
        '0d000300686173683a6e657400000000' + // TYPENAME
        '0500040002000000' + // REVISION 2: `nomatch`
        '0500050002000000' + // AF_INET
        '1400078008001240000000400800134000100000',
    ],
    ['add fib4-a 10.0.0.0/8 nomatch', `${head('4800', '09') + NAME4}200007800c000180080001400a00000005000300080000000800084000000004`],
    ['add fib4-a 192.0.2.1', `${head('3800', '09')}${NAME4}100007800c00018008000140c0000201`],
    [
      'del fib6-p fd00::1,sctp:81',
      `${head('5400', '0a')}666962362d700000` +
        '2c000780' +
        '1800018014000240fd000000000000000000000000000001' +
        '0600044000510000' +
        '0500070084000000',
    ],
    ['destroy fib4-a', head('2800', '03') + NAME4],
  ])('%s', (line, hex) => {
    expect(Buffer.from(setMessage(line)?.bytes ?? []).toString('hex')).toBe(hex)
  })

  test.each([
    'swap fib~s1 fib4-a',
    'flush fib4-a',
    'destroy',
    'destroy fib4-a fib4-b',
    'create fib4-a bitmap:ip range 10.0.0.0/24',
    'create fib4-a hash:ip family inet hashsize 64 maxelem 1048576 timeout 5',
    'add fib4-a host.example',
    'add fib4-a 10.0.0.1-10.0.0.9',
    'add fib4-a 10.0.0.1,tcp:http',
    'add fib4-a 10.0.0.1,tcp:80-90',
    'add fib4-a 10.0.0.1,gre:0',
    'add fib4-a 10.0.0.1 timeout 5',
    'add fib4-a 10.0.0.256',
    'add fib4-a 10.0.0.0/999',
    'add fib4-a 10.0.0.1,tcp:99999',
    '',
  ])('%j is left to the program', (line) => {
    expect(setMessage(line)).toBeNull()
  })
})
