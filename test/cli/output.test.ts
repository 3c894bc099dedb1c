import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import { type Column, formatAge, formatFields, formatTable, print, type Screen } from '../../src/cli/output.ts'

type Row = { readonly name: string; readonly count: number; readonly note: string }
const COLUMNS: readonly Column<Row>[] = [
  { title: 'name', cell: ({ name }) => name },
  { title: 'count', cell: ({ count }) => String(count), align: 'right' },
  { title: 'note', cell: ({ note }) => ({ text: note, tone: 'bad' }), shrinks: true },
]

function screenOf(options: Partial<Screen> = {}): Screen & { readonly lines: string[] } {
  const lines: string[] = []
  return { colour: false, width: null, write: (text) => void lines.push(text), lines, ...options }
}

describe('formatTable', () => {
  test('aligns columns, ends no line in blanks, and never wraps when the output is no terminal', () => {
    const note = 'x'.repeat(300)
    const text = formatTable(
      COLUMNS,
      [
        { name: 'tor-rack-a', count: 3, note },
        { name: 'b', count: 1000, note: '' },
      ],
      screenOf(),
    )
    expect(text).toBe(`NAME        COUNT  NOTE\ntor-rack-a      3  ${note}\nb            1000\n`)
  })

  test('on a narrow terminal cuts the shrinking column, so that every line fits', () => {
    const text = formatTable(COLUMNS, [{ name: 'tor-rack-a', count: 3, note: 'y'.repeat(300) }], screenOf({ width: 60 }))
    const lines = text.trimEnd().split('\n')
    expect(lines).toHaveLength(2)
    expect(lines[1]?.length).toBeLessThanOrEqual(60)
    expect(lines[1]).toMatch(/y…$/)
  })

  test('colours do not disturb the alignment and appear only on a screen that has them', () => {
    const rows = [{ name: 'a', count: 1, note: 'down' }]
    const coloured = formatTable(COLUMNS, rows, screenOf({ colour: true }))
    expect(coloured).toContain('\u001b[31mdown')
    expect(stripVTControlCharacters(coloured).replace(/ +$/gm, '')).toBe(formatTable(COLUMNS, rows, screenOf()))
  })

  test('text from outside cannot move the cursor or colour the terminal', () => {
    const text = formatTable(COLUMNS, [{ name: '\u001b[2Jboo\nnext', count: 0, note: '\u202e' }], screenOf({ colour: true }))
    expect(text).toContain('\\u001b[2Jboo\\u000anext')
    expect(text).toContain('\\u202e')
    expect(text.trimEnd().split('\n')).toHaveLength(2)
  })

  test('letters beyond ASCII and combining marks keep the columns aligned', () => {
    const rows = [
      { name: 'Zürich', count: 1, note: 'a' },
      { name: 'Zu\u0308rich', count: 22, note: 'b' },
    ]
    expect(formatTable(COLUMNS, rows, screenOf())).toBe('NAME    COUNT  NOTE\nZürich      1  a\nZu\u0308rich     22  b\n')
  })

  test('a hundred thousand rows take time in proportion: every row is there, in order', () => {
    const rows = Array.from({ length: 100_000 }, (_, at) => ({ name: `row-${at}`, count: at, note: '' }))
    const lines = formatTable(COLUMNS, rows, screenOf({ width: 80 })).split('\n')
    expect([lines.length, lines[100_000]]).toEqual([100_002, 'row-99999  99999'])
  })

  test('no rows: the titles alone', () => {
    expect(formatTable(COLUMNS, [], screenOf())).toBe('NAME  COUNT  NOTE\n')
  })
})

test('formatFields aligns the values', () => {
  expect(
    formatFields(
      [
        ['State', 'Idle'],
        ['Last error', 'none'],
      ],
      screenOf(),
    ),
  ).toBe('State       Idle\nLast error  none\n')
})

describe('print', () => {
  const value = { peers: [{ name: 'a', since: null }], note: `${'long '.repeat(40)}` }
  test('json is the value and nothing else', async () => {
    const screen = screenOf({ colour: true, width: 20 })
    await print('json', value, () => 'table', screen)
    expect(JSON.parse(screen.lines.join(''))).toEqual(value)
  })
  test('yaml is the value, its long lines unbroken', async () => {
    const { parse } = await import('yaml')
    const screen = screenOf()
    await print('yaml', value, () => 'table', screen)
    expect(parse(screen.lines.join(''))).toEqual(value)
    expect(
      screen.lines
        .join('')
        .split('\n')
        .filter((line) => line.startsWith('note:')),
    ).toHaveLength(1)
  })
  test('table is what the command makes of it', async () => {
    const screen = screenOf()
    await print('table', value, ({ peers }) => `${peers.length} peer\n`, screen)
    expect(screen.lines).toEqual(['1 peer\n'])
  })
})

test.each([
  [0, '0s'],
  [59.9, '59s'],
  [90, '1m30s'],
  [3600, '1h'],
  [3605, '1h'],
  [7500, '2h5m'],
  [273_600, '3d4h'],
])('formatAge(%d) is %s', (seconds, text) => {
  expect(formatAge(seconds)).toBe(text)
})
