// Peers known by a link-local address and an interface, each a process in its own namespace.
import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { expect, test } from '@jest/globals'
import { buildNetns } from '../../support/netns.ts'
import type { PeerProcessOptions } from './peer-process.ts'

const SCRIPT = new URL('peer-process.ts', import.meta.url).pathname

/** Its lines so far, and a way to wait for one. */
function linesOf(child: ChildProcess): { readonly seen: unknown[]; readonly until: (what: (line: unknown) => boolean) => Promise<void> } {
  const seen: unknown[] = []
  const errors: string[] = []
  child.stderr?.setEncoding('utf8').on('data', (text: string) => errors.push(text))
  if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', (line) => seen.push(JSON.parse(line)))
  const until = async (what: (line: unknown) => boolean): Promise<void> => {
    const deadlineMs = Date.now() + 60_000
    while (!seen.some(what)) {
      if (Date.now() > deadlineMs) throw new Error(`never said; said ${JSON.stringify(seen)}; ${errors.join('')}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  return { seen, until }
}

const isUp = (line: unknown): boolean => typeof line === 'object' && line !== null && 'up' in line

test.each([
  ['with a password', 'k3y'],
  ['without one', null],
])('two neighbours by link-local address and interface, TTL security, %s', async (_, password) => {
  await using net = await buildNetns('ll', {
    nodes: ['a', 'b'],
    links: [
      [
        { node: 'a', name: 'eth0', addresses: ['fe80::1/64'] },
        { node: 'b', name: 'eth7', addresses: ['fe80::2/64'] },
      ],
    ],
  })
  const start = (node: string, options: PeerProcessOptions): ChildProcess =>
    net.spawn(node, process.execPath, [SCRIPT, JSON.stringify(options)])
  const a = start('a', { own: 65001, source: 'fe80::1', remote: 'fe80::2', device: 'eth0', remoteAsn: 65002, password, passive: false })
  const b = start('b', { own: 65002, source: 'fe80::2', remote: 'fe80::1', device: 'eth7', remoteAsn: 65001, password, passive: true })
  const [atA, atB] = [linesOf(a), linesOf(b)]
  await Promise.all([atA.until(isUp), atB.until(isUp)])
  expect(atA.seen).toContainEqual({ up: 65002, localAddress: 'fe80::1' })
  expect(atB.seen).toContainEqual({ up: 65001, localAddress: 'fe80::2' })
  expect(atB.seen).toContainEqual({ from: 'fe80::1', interface: 'eth7' })
  a.stdin?.end()
  await atB.until((line) => JSON.stringify(line).includes('administrative shutdown (6/2)'))
})
