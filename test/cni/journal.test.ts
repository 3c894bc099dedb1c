import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
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
    assignments: [
      { address: ip('10.0.0.1'), family: 4, pool: 'pods', block: cidr('10.0.0.0/26'), sequence: 7, isBorrowed: true },
      { address: ip('fd00::1'), family: 6, pool: 'pods6', block: cidr('fd00::/122'), sequence: 9, isBorrowed: false },
    ],
  }
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
  expect(await readdir(directory)).toEqual([])
})

test('a record of one page is written over the one before, any other replaces it; nothing of the longer one is left', async () => {
  const long = (state: Attachment['state']): Attachment => {
    const { link, ...rest } = attachment('c1', state)
    return { ...rest, link: { ...link, netns: `/run/${'n'.repeat(5000)}` } }
  }
  const journal = await openJournal(directory, silentLog)
  const files: { readonly inode: number; readonly bytes: number }[] = []
  for (const each of [attachment('c1', 'assigned'), attachment('c1'), long('attached'), long('released'), attachment('c1', 'released')]) {
    await journal.put(each)
    expect((await openJournal(directory, silentLog)).all()).toEqual([each])
    const [name = '', ...more] = await readdir(directory)
    expect(more).toEqual([])
    const { ino, size } = await stat(join(directory, name))
    files.push({ inode: ino, bytes: size })
  }
  expect(files.map(({ bytes }) => bytes)).toEqual([4096, 4096, 8192, 8192, 4096])
  expect(files[1]?.inode).toBe(files[0]?.inode)
})

test('names of files are plain, whatever the container is called', async () => {
  const journal = await openJournal(directory, silentLog)
  await journal.put(attachment(`a${'.'.repeat(300)}`))
  const [name = ''] = await readdir(directory)
  expect(name).toMatch(/^[0-9a-f]{32}\.json$/)
})

test.each(['', '{', '{}', 'null', '[]', '\u0000'.repeat(200)])(
  'a record that reads %j is moved aside and the others are kept',
  async (text) => {
    const journal = await openJournal(directory, silentLog)
    await journal.put(attachment('c1'))
    const [name = ''] = await readdir(directory)
    await journal.put(attachment('c2'))
    await writeFile(join(directory, name), text)
    const errors: unknown[] = []
    const again = await openJournal(directory, { ...silentLog, error: (event, fields) => errors.push([event, fields]) })
    expect(again.all()).toEqual([attachment('c2')])
    expect(errors).toHaveLength(1)
    expect(await readFile(join(directory, `${name}.damaged`), 'utf8')).toBe(text)
    expect((await openJournal(directory, silentLog)).all()).toEqual([attachment('c2')])
  },
)

test('every single octet that is lost or changed is survived', async () => {
  const journal = await openJournal(directory, silentLog)
  await journal.put(attachment('c1'))
  const [name = ''] = await readdir(directory)
  const text = await readFile(join(directory, name), 'utf8')
  for (let at = 0; at < text.length; at += 7) {
    await writeFile(join(directory, name), text.slice(0, at) + text.slice(at + 1))
    expect((await openJournal(directory, silentLog)).all().length).toBeLessThanOrEqual(1)
  }
})

test('the record of another attachment under this name is not believed', async () => {
  const journal = await openJournal(directory, silentLog)
  await journal.put(attachment('c1'))
  const [name = ''] = await readdir(directory)
  const text = await readFile(join(directory, name), 'utf8')
  await writeFile(join(directory, name), text.replace('"c1"', '"c2"'))
  expect((await openJournal(directory, silentLog)).all()).toEqual([])
})

test('half-written files of a killed agent are removed, and foreign files left alone', async () => {
  const journal = await openJournal(directory, silentLog)
  await journal.put(attachment('c1'))
  const [name = ''] = await readdir(directory)
  await writeFile(join(directory, `${name}.0.new`), '{')
  await writeFile(join(directory, 'README'), 'x')
  await openJournal(directory, silentLog)
  expect((await readdir(directory)).sort()).toEqual([name, 'README'].sort())
})

test('a directory that cannot be written says so and what to do, and nothing is remembered', async () => {
  const journal = await openJournal(directory, silentLog)
  await rm(directory, { recursive: true })
  await expect(journal.put(attachment('c1'))).rejects.toMatchObject({
    code: 'JOURNAL_UNAVAILABLE',
    message: expect.stringContaining(directory),
  })
  expect(journal.all()).toEqual([])
  await mkdir(directory)
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
