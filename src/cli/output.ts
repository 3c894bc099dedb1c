// How commands speak: tables for people, JSON and YAML for programs, errors of one line. Every command prints through here, so
// alignment, colour, width and escaping are decided once. Text may come from peers and files: control characters never reach
// the terminal.
import { styleText } from 'node:util'
import { unreachable } from '../lib/result.ts'

export type OutputFormat = 'table' | 'json' | 'yaml'
const OUTPUT_FORMATS = ['table', 'json', 'yaml'] as const

/** The `-o` option every command takes; spread into a yargs builder, or registered once for all. */
export const OUTPUT_OPTION = {
  output: { alias: 'o', choices: OUTPUT_FORMATS, default: 'table', describe: 'Output: a table for people, or json or yaml for programs' },
} as const

/**
 * A failure to show to the user as one line: what was wrong and what to do. Exit status 1: the thing asked about is unhealthy
 * or the command failed; 2: wrong usage.
 */
export class CliError extends Error {
  readonly exitStatus: 1 | 2
  constructor(message: string, exitStatus: 1 | 2 = 1, options?: ErrorOptions) {
    super(message, options)
    this.name = 'CliError'
    this.exitStatus = exitStatus
  }
}

/** What a text means; colours follow from it and are used only on a terminal. */
export type Tone = 'good' | 'bad' | 'warning' | 'quiet' | 'heading'
export type Cell = string | { readonly text: string; readonly tone: Tone }

export type Column<Row> = {
  readonly title: string
  readonly cell: (row: Row) => Cell
  readonly align?: 'left' | 'right'
  /** On a terminal too narrow for the table, this column is cut with `…` instead of wrapping the line. */
  readonly shrinks?: boolean
}

/** Where a command writes. `width` is that of the terminal in columns; null: not a terminal, nothing is ever cut. */
export interface Screen {
  readonly colour: boolean
  readonly width: number | null
  write(text: string): void
}

/** Standard output: coloured only on a terminal that can and without NO_COLOR. */
export function standardScreen(stream: NodeJS.WriteStream = process.stdout): Screen {
  const isTerminal = stream.isTTY === true
  return {
    colour: isTerminal && stream.hasColors(),
    width: isTerminal && stream.columns > 0 ? stream.columns : null,
    write: (text) => void stream.write(text),
  }
}

const GAP = '  '
const NARROWEST_SHRUNK_COLUMN = 12
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/

/** An aligned table without borders: a line of titles, then one line a row. Ends with a newline. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[], screen: Screen): string {
  const head: readonly Cell[] = columns.map(({ title }) => ({ text: title.toUpperCase(), tone: 'heading' }))
  const lines = [head, ...rows.map((row) => columns.map(({ cell }) => cell(row)))]
  const widths = fitWidths(
    columns.map(({ shrinks = false }, at) => ({
      shrinks,
      natural: lines.reduce((most, line) => Math.max(most, widthOf(plain(line[at] ?? ''))), 0),
    })),
    screen.width,
  )
  const lineOf = (cells: readonly Cell[]): string => {
    const last = cells.findLastIndex((cell) => plain(cell) !== '') // what follows is empty: no blanks at the end of a line
    const parts = cells.slice(0, last + 1).map((cell, at) => {
      const { text, blanks } = fitted(plain(cell), widths[at] ?? 0)
      const shown = paint(typeof cell === 'string' ? text : { text, tone: cell.tone }, screen)
      return columns[at]?.align === 'right' ? `${blanks}${shown}` : at === last ? shown : `${shown}${blanks}`
    })
    return `${parts.join(GAP)}\n`
  }
  return lines.map(lineOf).join('')
}

/** The columns with that of the node before them, if the rows are of several nodes. */
export function withNodes<Row extends { readonly node?: string }>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
): readonly Column<Row>[] {
  return rows.some(({ node }) => node !== undefined) ? [{ title: 'node', cell: ({ node }) => node ?? '' }, ...columns] : columns
}

/** Text cut to a width, and the blanks that fill it up. */
function fitted(text: string, width: number): { readonly text: string; readonly blanks: string } {
  const excess = widthOf(text) - width
  return excess > 0 ? { text: `${[...text].slice(0, width - 1).join('')}…`, blanks: '' } : { text, blanks: ' '.repeat(-excess) }
}

/** Columns a text takes on the screen: one for each code point, except marks that combine with the one before. */
function widthOf(text: string): number {
  if (PRINTABLE_ASCII.test(text)) return text.length
  return [...text.replace(/\p{Mn}/gu, '')].length
}

/** Labelled values one below another, for the detailed view of one thing. Ends with a newline. */
export function formatFields(fields: readonly (readonly [label: string, value: Cell])[], screen: Screen): string {
  const width = Math.max(0, ...fields.map(([label]) => label.length)) + GAP.length
  return fields.map(([label, value]) => `${paint({ text: label.padEnd(width), tone: 'quiet' }, screen)}${paint(value, screen)}\n`).join('')
}

/** Text in the colour of its tone, if the screen has colours. Control characters are shown escaped. */
export function paint(cell: Cell, screen: Screen): string {
  const text = plain(cell)
  if (typeof cell === 'string' || !screen.colour) return text
  return styleText(styleOf(cell.tone), text, { validateStream: false })
}

/**
 * Prints `value` as JSON or YAML exactly as it is, or what `asTable` makes of it. Everything that is not the answer itself
 * (progress, hints) goes to standard error, so that the output of `-o json` can be piped.
 */
export async function print<T>(
  format: OutputFormat,
  value: T,
  asTable: (value: T, screen: Screen) => string,
  screen: Screen = standardScreen(),
): Promise<void> {
  switch (format) {
    case 'table':
      return screen.write(asTable(value, screen))
    case 'json':
      return screen.write(`${JSON.stringify(value, null, 2)}\n`)
    case 'yaml': {
      const { stringify } = await import('yaml')
      return screen.write(stringify(value, { aliasDuplicateObjects: false, lineWidth: 0 }))
    }
    default:
      return unreachable(format)
  }
}

/** `3d4h`, `2h5m`, `1m30s`, `12s`: the two largest units, as in kubectl. */
export function formatAge(seconds: number): string {
  const units = [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
    ['s', 1],
  ] as const
  let rest = Math.max(0, Math.floor(seconds))
  const parts: string[] = []
  for (const [name, size] of units) {
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count > 0) parts.push(`${count}${name}`)
    else if (parts.length > 0) break
    if (parts.length === 2) break
  }
  return parts.length === 0 ? '0s' : parts.join('')
}

function plain(cell: Cell): string {
  const text = typeof cell === 'string' ? cell : cell.text
  if (PRINTABLE_ASCII.test(text)) return text
  return text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, escapeCharacter)
}

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

type ColumnWidth = { readonly shrinks: boolean; readonly natural: number }

/** Widths of the columns; those that may shrink give way, the last first, until a line fits the screen. */
function fitWidths(columns: readonly ColumnWidth[], screenWidth: number | null): readonly number[] {
  const widths = columns.map(({ natural }) => natural)
  const total = widths.reduce((sum, width) => sum + width, GAP.length * (columns.length - 1))
  let excess = screenWidth === null ? 0 : total - screenWidth
  for (let at = columns.length - 1; at >= 0 && excess > 0; at--) {
    const { shrinks = false, natural = 0 } = columns[at] ?? {}
    if (!shrinks || natural <= NARROWEST_SHRUNK_COLUMN) continue
    widths[at] = Math.max(NARROWEST_SHRUNK_COLUMN, natural - excess)
    excess -= natural - (widths[at] ?? 0)
  }
  return widths
}

function styleOf(tone: Tone): Parameters<typeof styleText>[0] {
  switch (tone) {
    case 'good':
      return 'green'
    case 'bad':
      return 'red'
    case 'warning':
      return 'yellow'
    case 'quiet':
      return 'dim'
    case 'heading':
      return 'bold'
    default:
      return unreachable(tone)
  }
}
