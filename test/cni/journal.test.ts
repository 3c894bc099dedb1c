import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { type Attachment, heldAllocations, hostInterfaceOf, openJournal } from '../../src/cni/index.ts'
import { silentLog } from '../../src/lib/log.ts'
import { cidr, ip, parseMac } from '../../src/net/index.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fibula-journal-'))
})
afterEach(() => rm(directory, { recursive: true }))

function attachment(containerId: string, state: Attachment['state'] = 'attached'): Attachment {
  return {
    network: 'fibula',
    state,
    pod: { namespace: 'shop', name: 'cart-0', uid: null },
    link: {
      containerId,
      ifName: 'eth0',
      netns: '/run/netns/a',
      hostInterface: hostInterfaceOf({ containerId, ifName: 'eth0' }),
      addresses: [ip('10.0.0.1'), ip('fd00::1')],
      mtu: 1480,
      mac: parseMac('0a:00:00:00:00:01'),
    },
    since: '2030-01-01T00:00:00.000Z',
    assignments: [
      { address: ip('10.0.0.1'), family: 4, pool: 'pods', block: cidr('10.0.0.0/26'), sequence: 7, isBorrowed: true },
      { address: ip('fd00::1'), family: 6, pool: 'pods6', block: cidr('fd00::/122'), sequence: 9, isBorrowed: false },
    ],
  }
}

function records(): string {
  return join(directory, 'records')
}

async function overwrite(page: number, text: string): Promise<void> {
  const whole = await readFile(records())
  whole.write(text, page * 4096)
  await writeFile(records(), whole)
}

function idsOf(journal: { all(): readonly Attachment[] }): readonly string[] {
  return journal
    .all()
    .map(({ link }) => link.containerId)
    .sort()
}

const KEY = { containerId: 'c1', ifName: 'eth0' }

test('what was put is there after a restart, as it was', async () => {
  const journal = await openJournal(join(directory, 'deep', 'attachments'), silentLog)
  await journal.put(attachment('c1', 'assigned'))
  await journal.put(attachment('c1'))
  await journal.put({ ...attachment('c2', 'released'), pod: null })
  const again = await openJournal(join(directory, 'deep', 'attachments'), silentLog)
  expect([...again.all()].sort((a, b) => a.link.containerId.localeCompare(b.link.containerId))).toEqual([
    attachment('c1'),
    { ...attachment('c2', 'released'), pod: null },
  ])
  expect(again.get(KEY)).toEqual(attachment('c1'))
  expect(again.byHostInterface(hostInterfaceOf(KEY))).toEqual(attachment('c1'))
})

test('what was removed is gone, also twice, also after a restart', async () => {
  const journal = await openJournal(directory, silentLog)
  await journal.put(attachment('c1'))
  await journal.remove(KEY)
  await journal.remove(KEY)
  for (const each of [journal, await openJournal(directory, silentLog)]) {
    expect(each.all()).toEqual([])
    expect(each.get(KEY)).toBeUndefined()
    expect(each.byHostInterface(hostInterfaceOf(KEY))).toBeUndefined()
  }
})

test('records are written over in place, and pages of removed ones are used again', async () => {
  const journal = await openJournal(directory, silentLog)
  for (const id of ['c1', 'c2', 'c3']) await journal.put(attachment(id, 'assigned'))
  for (const id of ['c1', 'c2', 'c3']) await journal.put(attachment(id))
  await journal.remove({ containerId: 'c2', ifName: 'eth0' })
  await journal.put(attachment('c4'))
  expect((await stat(records())).size).toBe(3 * 4096)
  const again = await openJournal(directory, silentLog)
  expect(idsOf(again)).toEqual(['c1', 'c3', 'c4'])
  await again.remove(KEY)
  await again.put(attachment('c5'))
  expect((await stat(records())).size).toBe(3 * 4096)
  expect(idsOf(await openJournal(directory, silentLog))).toEqual(['c3', 'c4', 'c5'])
})

test('a record that does not fit is refused, and the others are kept', async () => {
  const journal = await openJournal(directory, silentLog)
  await journal.put(attachment('c1'))
  const { link, ...rest } = attachment('c2')
  const long = { ...rest, link: { ...link, netns: `/run/${'n'.repeat(5000)}` } }
  await expect(journal.put(long)).rejects.toMatchObject({ code: 'JOURNAL_UNAVAILABLE', message: expect.stringContaining('octets') })
  await journal.put(attachment('c3'))
  for (const each of [journal, await openJournal(directory, silentLog)]) expect(idsOf(each)).toEqual(['c1', 'c3'])
})

test.each(['{', '{}', 'null', '[]', 'x'.repeat(200)])('a record that reads %j is put aside and the others are kept', async (text) => {
  const journal = await openJournal(directory, silentLog)
  for (const id of ['c1', 'c2']) await journal.put(attachment(id))
  await overwrite(0, text.padEnd(4096, '\n'))
  const errors: unknown[] = []
  const again = await openJournal(directory, { ...silentLog, error: (event, fields) => errors.push([event, fields]) })
  expect(idsOf(again)).toEqual(['c2'])
  expect(errors).toHaveLength(1)
  expect(await readFile(join(directory, 'damaged-0'), 'utf8')).toBe(text)
  expect(idsOf(await openJournal(directory, silentLog))).toEqual(['c2'])
})

test('an empty page is none, as after a kill between two writes', async () => {
  const journal = await openJournal(directory, silentLog)
  for (const id of ['c1', 'c2']) await journal.put(attachment(id))
  await overwrite(0, '\0'.repeat(4096))
  expect(idsOf(await openJournal(directory, silentLog))).toEqual(['c2'])
  expect(await readdir(directory)).toEqual(['records'])
})

test('every single octet that is lost or changed is survived, and costs at most its own record', async () => {
  const journal = await openJournal(directory, silentLog)
  for (const id of ['c1', 'c2']) await journal.put(attachment(id))
  const whole = await readFile(records())
  for (let at = 0; at < 1000; at += 7) {
    const changed = Buffer.from(whole)
    changed[at] = (changed[at] ?? 0) ^ 1
    await writeFile(records(), changed)
    expect(idsOf(await openJournal(directory, silentLog))).toContain('c2')
    await writeFile(records(), whole.subarray(0, 4096 + at))
    expect(idsOf(await openJournal(directory, silentLog))).toContain('c1')
  }
})

test('two records of one attachment: one is believed, the other put aside', async () => {
  const journal = await openJournal(directory, silentLog)
  await journal.put(attachment('c1'))
  const whole = await readFile(records())
  await writeFile(records(), Buffer.concat([whole, whole]))
  expect(idsOf(await openJournal(directory, silentLog))).toEqual(['c1'])
  expect((await readdir(directory)).sort()).toEqual(['damaged-1', 'records'])
})

test('a file that somebody removes is made again, with all that is known', async () => {
  const journal = await openJournal(directory, silentLog)
  await journal.put(attachment('c1'))
  await rm(directory, { recursive: true })
  await journal.put(attachment('c2'))
  expect(idsOf(await openJournal(directory, silentLog))).toEqual(['c1', 'c2'])
})

test('a directory that cannot be written says so and what to do, and nothing is remembered', async () => {
  const journal = await openJournal(join(directory, 'attachments'), silentLog)
  await rm(join(directory, 'attachments'), { recursive: true })
  await writeFile(join(directory, 'attachments'), 'in the way')
  await expect(journal.put(attachment('c1'))).rejects.toMatchObject({
    code: 'JOURNAL_UNAVAILABLE',
    message: expect.stringContaining(directory),
  })
  expect(journal.all()).toEqual([])
})

test('a path that is no directory is refused at the start', async () => {
  await writeFile(join(directory, 'file'), '')
  await expect(openJournal(join(directory, 'file'), silentLog)).rejects.toMatchObject({ code: 'JOURNAL_UNAVAILABLE' })
})

test('IPAM adopts what is held, and what is on its way back', () => {
  const [held, released] = heldAllocations([attachment('c1'), attachment('c2', 'released')])
  expect(held).toEqual({
    handle: 'fibula.c1.eth0',
    pod: { namespace: 'shop', name: 'cart-0' },
    assignments: attachment('c1').assignments,
    isReleased: false,
  })
  expect(released).toMatchObject({ handle: 'fibula.c2.eth0', isReleased: true })
})
