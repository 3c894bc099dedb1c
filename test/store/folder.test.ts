// A folder as people use it: editors that save in their own ways, mistakes, duplicates, files cut short.
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type Clock, FakeClock } from '../../src/lib/clock.ts'
import { DirectoryStore, type Resource } from '../../src/store/index.ts'
import { block, peer, peerText, secret } from './objects.ts'
import { watching } from './recorder.ts'

let path: string
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'fib-store-'))
})
afterEach(() => rmSync(path, { recursive: true, force: true }))

const save = (name: string, text: string): void => writeFileSync(join(path, name), text)
const readBack = (name: string): string => readFileSync(join(path, name), 'utf8')
const files = (): readonly string[] =>
  readdirSync(path)
    .filter((name) => name !== 'state')
    .sort()

async function asNumbers(store: DirectoryStore): Promise<Readonly<Record<string, number | undefined>>> {
  return Object.fromEntries((await store.list({ kind: 'BGPPeer' })).map(({ metadata, spec }) => [metadata.name, spec.asNumber]))
}

describe('which files count', () => {
  test('*.yaml, *.yml and *.json directly in the folder, with one or more documents, or a List', async () => {
    save('a.yaml', `${peerText('a')}---\n${peerText('b')}`)
    save('c.yml', peerText('c'))
    save(
      'd.json',
      JSON.stringify(
        { apiVersion: 'fibula.network/v1alpha1', kind: 'BGPPeer', metadata: { name: 'd' }, spec: { peerIP: '10.0.0.1', asNumber: 1 } },
        null,
        '\t',
      ),
    )
    save(
      'e.yaml',
      `apiVersion: v1\nkind: List\nitems:\n- ${peerText('e').trim().replaceAll('\n', '\n  ')}\n- ${peerText('f').trim().replaceAll('\n', '\n  ')}\n`,
    )
    save('.hidden.yaml', peerText('hidden'))
    save('g.yaml~', peerText('backup'))
    save('notes.txt', 'no manifest')
    mkdirSync(join(path, 'folder.yaml'))
    save('folder.yaml/h.yaml', peerText('deeper'))
    mkdirSync(join(path, 'elsewhere'))
    save('elsewhere/real', peerText('linked'))
    symlinkSync('elsewhere/real', join(path, 'link.yaml'))
    await using store = new DirectoryStore(path)
    expect(Object.keys(await asNumbers(store))).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'linked'])
    expect(await store.problems()).toEqual([])
  })

  test('looking at a folder leaves it as it is', async () => {
    save('a.yaml', peerText('a'))
    await using store = new DirectoryStore(path)
    await store.list({ kind: 'BGPPeer' })
    await store.problems()
    expect(readdirSync(path)).toEqual(['a.yaml'])
  })

  test('no folder, or a file in its place, is said at once', () => {
    save('file', '')
    expect(() => new DirectoryStore(join(path, 'missing'))).toThrow(/there is no folder .*missing; make it/)
    expect(() => new DirectoryStore(join(path, 'file'))).toThrow(/is not a folder/)
    expect(() => new DirectoryStore(join(path, 'file', 'deeper'))).toThrow(/file/)
  })

  test('objects that machines write do not belong among the manifests', async () => {
    save('a.yaml', JSON.stringify(block('10.0.0.0/26', 'n1')))
    await using store = new DirectoryStore(path)
    expect(await store.list({ kind: 'IPAMBlock' })).toEqual([])
    expect(await store.problems()).toMatchObject([
      { subject: 'IPAMBlock/10-0-0-0-26', file: 'a.yaml', message: expect.stringContaining('live in state/') },
    ])
  })
})

describe('mistakes: the last good state of what is wrong stays, everything else goes on', () => {
  test('an invalid document keeps its object as it was, and only its object', async () => {
    save('a.yaml', `${peerText('a')}---\n${peerText('b')}`)
    await using store = new DirectoryStore(path)
    await store.list({ kind: 'BGPPeer' })
    save('a.yaml', `${peerText('a', 'zero')}---\n${peerText('b', 65002)}---\n${peerText('c')}`)
    expect(await asNumbers(store)).toEqual({ a: 65001, b: 65002, c: 65001 })
    const [problem, ...others] = await store.problems()
    expect(others).toEqual([])
    expect(problem).toEqual({
      severity: 'error',
      subject: 'BGPPeer/a',
      file: 'a.yaml',
      document: 1,
      line: 4,
      field: 'spec.asNumber',
      message: 'a.yaml, document 1, line 4: BGPPeer/a: spec.asNumber: expected a whole number, got "zero"',
    })
    save('a.yaml', `${peerText('a', 65003)}---\n${peerText('b', 65002)}`)
    expect(await asNumbers(store)).toEqual({ a: 65003, b: 65002 })
    expect(await store.problems()).toEqual([])
  })

  test('a text that cannot be read keeps every object of its file that nobody else speaks for', async () => {
    save('a.yaml', `${peerText('a')}---\n${peerText('b')}`)
    save('b.yaml', peerText('c'))
    await using store = new DirectoryStore(path)
    await store.list({ kind: 'BGPPeer' })
    save('a.yaml', `${peerText('a', 65002)}---\nkind: "BGPPeer\n---\n${peerText('b')}`)
    expect(await asNumbers(store)).toEqual({ a: 65002, b: 65001, c: 65001 })
    expect((await store.problems()).map(({ message }) => message)).toEqual([
      expect.stringMatching(/^a\.yaml, document 2, line \d+: not valid YAML: .*quote/),
    ])
    save('a.yaml', peerText('a', 65002))
    expect(await asNumbers(store)).toEqual({ a: 65002, c: 65001 })
  })

  test('bytes that are no text', async () => {
    save('a.yaml', peerText('a'))
    await using store = new DirectoryStore(path)
    await store.list({ kind: 'BGPPeer' })
    writeFileSync(join(path, 'a.yaml'), Buffer.from([0xff, 0xfe, 0x00]))
    expect(await asNumbers(store)).toEqual({ a: 65001 })
    expect(await store.problems()).toMatchObject([{ subject: 'a.yaml', message: expect.stringContaining('a.yaml: cannot be read') }])
  })

  test('a file cut short anywhere never yields an object that is not in the whole, and the whole heals it', async () => {
    const whole = `# peers\n---\n${peerText('a', 65001, ' # one')}---\n${peerText('b')}`
    for (let end = 0; end < whole.length; end += 3) {
      save('a.yaml', whole)
      await using store = new DirectoryStore(path)
      const complete = await store.list({ kind: 'BGPPeer' })
      save('a.yaml', whole.slice(0, end))
      for (const object of await store.list({ kind: 'BGPPeer' })) {
        const { name } = object.metadata
        if (object.spec.asNumber === 65001) expect(complete.map(({ metadata }) => metadata.name)).toContain(name)
        else expect('65001'.startsWith(String(object.spec.asNumber))).toBe(true) // 650 is a whole number too: why a watcher waits
      }
      save('a.yaml', whole)
      expect(await store.list({ kind: 'BGPPeer' })).toEqual(complete)
    }
  })

  test('one object in two files: the one that had it keeps it, the other is told, and takes over when it is alone', async () => {
    save('b.yaml', peerText('a', 65002))
    await using store = new DirectoryStore(path)
    using watch = await watching(store, [{ kind: 'BGPPeer' }])
    save('a.yaml', peerText('a', 65001))
    await watch.recorder.until((seen) => seen.lastProblems.length > 0)
    expect(watch.recorder.lastProblems).toMatchObject([
      {
        file: 'a.yaml',
        message:
          'a.yaml, document 1, line 1: BGPPeer/a: defined twice, also in b.yaml, document 1, line 1, which counts; remove one of the two',
      },
    ])
    expect(await asNumbers(store)).toEqual({ a: 65002 })
    unlinkSync(join(path, 'b.yaml'))
    await watch.recorder.until((seen) => seen.lastProblems.length === 0)
    expect(watch.recorder.changes.map(({ type }) => type)).toEqual(['put', 'put'])
    expect(await asNumbers(store)).toEqual({ a: 65001 })
  })

  test('two documents of one file count as two files do; a fresh start takes the first by name', async () => {
    save('b.yaml', `${peerText('a', 2)}---\n${peerText('a', 3)}`)
    save('a.yaml', peerText('a', 1))
    await using store = new DirectoryStore(path)
    expect(await asNumbers(store)).toEqual({ a: 1 })
    expect((await store.problems()).map(({ document }) => document)).toEqual([1, 2])
  })

  test('a value of a Secret is in no problem', async () => {
    save(
      'a.yaml',
      'apiVersion: v1\nkind: Secret\nmetadata: { name: tor }\ndata: { password: hunter2! }\nstringData: { other: 12345 }\nbad: *hunter2\n',
    )
    save('b.yaml', 'apiVersion: v1\nkind: Secret\nmetadata: { name: two }\ndata: { password: hunter2! }\nstringData: { other: 12345 }\n')
    save('c.yaml', 'apiVersion: v1\nkind: Secret\nmetadata: { name: three }\nstringData:\n  password: "hunter2\n')
    save('d.yaml', `${peerText('p').replace('asNumber', 'password: hunter2, asNumber')}`)
    await using store = new DirectoryStore(path)
    const told = JSON.stringify(await store.problems())
    expect(told).not.toMatch(/hunter2|12345/)
    expect(await store.problems()).toHaveLength(5)
  })
})

describe('saving takes effect', () => {
  test.each<[string, (name: string, text: string) => void]>([
    ['written in place', save],
    [
      'written beside and renamed over',
      (name, text) => {
        save('.new', text)
        renameSync(join(path, '.new'), join(path, name))
      },
    ],
    [
      'the old one renamed away, then written anew',
      (name, text) => {
        renameSync(join(path, name), join(path, `${name}~`))
        save(name, text)
      },
    ],
    [
      'removed, then written anew',
      (name, text) => {
        unlinkSync(join(path, name))
        save(name, text)
      },
    ],
  ])('%s: a change, and never a gap', async (_, edit) => {
    save('a.yaml', peerText('a'))
    await using store = new DirectoryStore(path)
    using watch = await watching(store, [{ kind: 'BGPPeer' }])
    edit('a.yaml', peerText('a', 65002))
    await watch.recorder.until((seen) => seen.changes.length > 1)
    expect(watch.recorder.changes.map(({ type, object }) => `${type} ${asNumberOf(object)}`)).toEqual(['put 65001', 'put 65002'])
  })

  test('a new file brings objects, a removed one takes them away', async () => {
    await using store = new DirectoryStore(path)
    using watch = await watching(store, [{ kind: 'BGPPeer' }])
    save('a.yaml', `${peerText('a')}---\n${peerText('b')}`)
    await watch.recorder.until((seen) => seen.names().length === 2)
    unlinkSync(join(path, 'a.yaml'))
    await watch.recorder.until((seen) => seen.names().length === 0)
  })

  test('a comment changes nothing', async () => {
    save('a.yaml', peerText('a'))
    await using store = new DirectoryStore(path)
    using watch = await watching(store, [{ kind: 'BGPPeer' }])
    save('a.yaml', `# new\n${peerText('a')}`)
    save('b.yaml', peerText('b'))
    await watch.recorder.until((seen) => seen.names().length === 2)
    expect(watch.recorder.changes).toHaveLength(2)
  })

  test('what events do not tell, the timer finds', async () => {
    const clock = new WallClock()
    await using store = new DirectoryStore(path, { clock, rescanMs: 30_000 })
    using watch = await watching(store, [{ kind: 'BGPPeer' }, { kind: 'IPAMBlock' }])
    // A folder that is replaced takes its inotify watch with it: nothing tells of what happens in the new one.
    rmSync(join(path, 'state'), { recursive: true })
    mkdirSync(join(path, 'state'))
    save('state/ipamblock.10-0-0-0-26.yaml', JSON.stringify(block('10.0.0.0/26', 'n1')))
    await watch.recorder.until((seen) => {
      clock.advance(31_000)
      return seen.names().includes('IPAMBlock/10-0-0-0-26')
    })
  })

  test('a store gives back its timers', async () => {
    const clock = new FakeClock()
    const store = new DirectoryStore(path, { clock })
    const watch = await watching(store, [{ kind: 'BGPPeer' }])
    expect(clock.armed).toBeGreaterThan(0)
    watch[Symbol.dispose]()
    await store[Symbol.asyncDispose]()
    expect(clock.armed).toBe(0)
  })
})

/** Timers stand still until told, the wall clock runs. */
class WallClock extends FakeClock implements Clock {
  override wallMs(): number {
    return Date.now()
  }
}

describe('state', () => {
  test('one readable file an object, named after it, and a status beside the manifest it belongs to', async () => {
    await using store = new DirectoryStore(path)
    await store.create(block('10.0.0.0/26', 'n1'))
    const made = await store.create(peer('tor-a'))
    await store.updateStatus({ ...made, status: { sessions: [], conditions: [] } })
    expect(readdirSync(join(path, 'state')).sort()).toEqual(['.lock', 'bgppeer.tor-a.status.yaml', 'ipamblock.10-0-0-0-26.yaml'])
    expect(readBack('state/ipamblock.10-0-0-0-26.yaml')).toMatch(/^\{\n {2}"apiVersion"/)
    expect(files()).toEqual(['bgppeer.tor-a.yaml'])
  })

  test('a person may put a block there by hand, as YAML', async () => {
    mkdirSync(join(path, 'state'))
    save(
      'state/ipamblock.10-0-0-0-26.yaml',
      '# by hand\napiVersion: fibula.network/v1alpha1\nkind: IPAMBlock\nmetadata: { name: 10-0-0-0-26 }\nspec: { cidr: 10.0.0.0/26, node: n1 }\n',
    )
    await using store = new DirectoryStore(path)
    const found = await store.get('IPAMBlock', { name: '10-0-0-0-26' })
    if (found === null) throw new Error('not found')
    const changed = await store.update({ ...found, spec: { ...found.spec, sequence: 4 } })
    expect(Number(changed.metadata.resourceVersion)).toBeGreaterThan(0)
  })

  test('a file cut short anywhere is a problem, no object, and nothing writes over it', async () => {
    await using maker = new DirectoryStore(path)
    await maker.create(block('10.0.0.0/26', 'n1'))
    const name = 'state/ipamblock.10-0-0-0-26.yaml'
    const whole = readBack(name)
    for (let end = 0; end < whole.length - 2; end += 7) {
      save(name, whole.slice(0, end))
      await using store = new DirectoryStore(path)
      expect(await store.list({ kind: 'IPAMBlock' })).toEqual([])
      expect(await store.problems()).toMatchObject([{ file: name, message: expect.stringContaining('by hand') }])
      await expect(store.create(block('10.0.0.0/26', 'n2'))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
      expect(readBack(name)).toBe(whole.slice(0, end))
    }
  })

  test('a watcher keeps the last good state of a file that was spoilt', async () => {
    await using store = new DirectoryStore(path)
    await store.create(block('10.0.0.0/26', 'n1'))
    using watch = await watching(store, [{ kind: 'IPAMBlock' }])
    save('state/ipamblock.10-0-0-0-26.yaml', '{')
    await watch.recorder.until((seen) => seen.lastProblems.length === 1)
    expect(watch.recorder.names()).toEqual(['IPAMBlock/10-0-0-0-26'])
    expect(watch.recorder.changes).toHaveLength(1)
  })

  test('a file under a wrong name is not believed', async () => {
    await using store = new DirectoryStore(path)
    await store.create(block('10.0.0.0/26', 'n1'))
    save('state/ipamblock.10-9-9-9-26.yaml', readBack('state/ipamblock.10-0-0-0-26.yaml'))
    expect(await store.list({ kind: 'IPAMBlock' })).toHaveLength(1)
    expect(await store.problems()).toMatchObject([{ message: expect.stringContaining('belongs into ipamblock.10-0-0-0-26.yaml') }])
  })

  test('what is no state file is left alone', async () => {
    await using store = new DirectoryStore(path)
    await store.create(block('10.0.0.0/26', 'n1'))
    using watch = await watching(store, [{ kind: 'IPAMBlock' }])
    save('state/notes.txt', 'not an object')
    save('state/.hidden.yaml', 'not an object')
    await store.create(block('10.0.0.64/26', 'n1'))
    await watch.recorder.until((seen) => seen.names().length === 2)
    expect(await store.problems()).toEqual([])
  })

  test('names of any length have files of their own', async () => {
    await using store = new DirectoryStore(path)
    const long = (last: string): string => `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(58)}${last}`
    for (const last of ['x', 'y']) {
      const made = await store.create(peer(long(last)))
      await store.updateStatus({ ...made, status: { sessions: [], conditions: [] } })
    }
    expect(await store.list({ kind: 'BGPPeer' })).toHaveLength(2)
    expect((await store.list({ kind: 'BGPPeer' })).every(({ status }) => status !== undefined)).toBe(true)
  })
})

describe("writing into people's files", () => {
  const THREE = `# the racks
# of hall 1
---
${peerText('a', 65001, '   # left')}---
# about b
${peerText('b', 65001, ' # middle')}# behind b
---
${peerText('c', 65001, ' # right')}# the end
`

  test.each([
    [
      'a',
      `# the racks\n# of hall 1\n---\nNEW---\n# about b\n${peerText('b', 65001, ' # middle')}# behind b\n---\n${peerText('c', 65001, ' # right')}# the end\n`,
    ],
    ['b', `# the racks\n# of hall 1\n---\n${peerText('a', 65001, '   # left')}---\nNEW---\n${peerText('c', 65001, ' # right')}# the end\n`],
    [
      'c',
      `# the racks\n# of hall 1\n---\n${peerText('a', 65001, '   # left')}---\n# about b\n${peerText('b', 65001, ' # middle')}# behind b\n---\nNEW`,
    ],
  ])('replacing %s changes no byte of the others', async (name, expected) => {
    save('racks.yaml', THREE)
    await using store = new DirectoryStore(path)
    const now = await store.get('BGPPeer', { name })
    if (now === null) throw new Error('not there')
    const text = `# as written\n${peerText(name, 65009)}`
    await store.update({ ...now, spec: { ...now.spec, asNumber: 65009 } }, { text })
    expect(readBack('racks.yaml')).toBe(expected.replace('NEW', text))
    expect(await asNumbers(store)).toMatchObject({ [name]: 65009 })
    expect(files()).toEqual(['racks.yaml'])
  })

  test('removing one leaves the others, removing the last removes the file', async () => {
    save('racks.yaml', THREE.replace('# the racks\n# of hall 1\n', ''))
    await using store = new DirectoryStore(path)
    await store.delete('BGPPeer', { name: 'b' })
    expect(readBack('racks.yaml')).toBe(`---\n${peerText('a', 65001, '   # left')}---\n${peerText('c', 65001, ' # right')}# the end\n`)
    await store.delete('BGPPeer', { name: 'a' })
    await store.delete('BGPPeer', { name: 'c' })
    expect(files()).toEqual([])
  })

  test('a new object has a file of its own, named after it, without what stores add', async () => {
    await using store = new DirectoryStore(path)
    await store.create(peer('tor-a', { filters: ['x'] }))
    await store.create(secret('tor-md5', 'fibula-system', { password: 'x' }))
    expect(files()).toEqual(['bgppeer.tor-a.yaml', 'secret.fibula-system.tor-md5.yaml'])
    expect(readBack('bgppeer.tor-a.yaml')).not.toMatch(/resourceVersion|uid|labels|status/)
    expect(statSync(join(path, 'secret.fibula-system.tor-md5.yaml')).mode & 0o777).toBe(0o600)
    expect(statSync(join(path, 'bgppeer.tor-a.yaml')).mode & 0o777).toBe(0o644)
  })

  test('a file of that name which holds something else is left alone', async () => {
    save('bgppeer.tor-a.yaml', peerText('other'))
    await using store = new DirectoryStore(path)
    await store.create(peer('tor-a'))
    expect(files()).toEqual(['bgppeer.tor-a.2.yaml', 'bgppeer.tor-a.yaml'])
    expect(Object.keys(await asNumbers(store))).toEqual(['other', 'tor-a'])
  })

  test('a valid manifest replaces the invalid one of the same object where it stands', async () => {
    save('a.yaml', `${peerText('a', 'wrong')}---\n${peerText('b')}`)
    await using store = new DirectoryStore(path)
    await store.create(peer('a'), { text: peerText('a') })
    expect(readBack('a.yaml')).toBe(`${peerText('a')}---\n${peerText('b')}`)
    expect(await store.problems()).toEqual([])
  })

  test('items of a List, in YAML and in JSON', async () => {
    const list = { apiVersion: 'v1', kind: 'List', items: ['a', 'b'].map((name) => peer(name)) }
    save('a.json', JSON.stringify(list))
    save(
      'b.yaml',
      `# mine\napiVersion: v1\nkind: List\nitems:\n- ${peerText('c').trim().replaceAll('\n', '\n  ')} # c\n- ${peerText('d').trim().replaceAll('\n', '\n  ')}\n`,
    )
    await using store = new DirectoryStore(path)
    for (const name of ['a', 'd']) {
      const now = await store.get('BGPPeer', { name })
      if (now === null) throw new Error('not there')
      await store.update({ ...now, spec: { ...now.spec, asNumber: 65009 } })
    }
    await store.delete('BGPPeer', { name: 'b' })
    expect(await asNumbers(store)).toEqual({ a: 65009, c: 65001, d: 65009 })
    expect(JSON.parse(readBack('a.json')).items).toHaveLength(1)
    expect(readBack('b.yaml')).toContain('# mine')
    expect(await store.problems()).toEqual([])
  })

  test('an object in a text that cannot be read is not written beside it', async () => {
    save('a.yaml', `${peerText('a')}---\n${peerText('b')}`)
    await using store = new DirectoryStore(path)
    const now = await store.get('BGPPeer', { name: 'b' })
    if (now === null) throw new Error('not there')
    save('a.yaml', `${peerText('a')}---\n{`)
    const work = store.update({ ...now, spec: { ...now.spec, asNumber: 65009 } })
    await expect(work).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('a.yaml') })
    await expect(store.delete('BGPPeer', { name: 'b' })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  test('a symbolic link stays one', async () => {
    mkdirSync(join(path, 'real'))
    save('real/peers', peerText('a'))
    symlinkSync('real/peers', join(path, 'a.yaml'))
    await using store = new DirectoryStore(path)
    const now = await store.get('BGPPeer', { name: 'a' })
    if (now === null) throw new Error('not there')
    await store.update({ ...now, spec: { ...now.spec, asNumber: 65009 } })
    expect(readBack('real/peers')).toContain('65009')
    expect(await asNumbers(store)).toEqual({ a: 65009 })
  })
})

function asNumberOf(object: Resource): number | undefined {
  return object.kind === 'BGPPeer' ? object.spec.asNumber : undefined
}
