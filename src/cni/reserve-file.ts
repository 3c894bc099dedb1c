// The reserve that IPAM remembers (src/ipam/reserve-memory.ts), in one small file beside the records of the journal: a check sum, then
// JSON. It is written over in place, so a kill or a power cut in the middle leaves a text whose sum is wrong: as good as none.
import { createHash } from 'node:crypto'
import { closeSync, constants, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import type { RememberedBlock, ReserveFile } from '../ipam/index.ts'
import type { Log } from '../lib/log.ts'
import { formatIp, formatPrefix, parseIp, parsePrefix } from '../net/index.ts'

const schema = z.object({
  version: z.literal(1),
  node: z.string(),
  blocks: z.array(
    z.object({
      range: z.string(),
      node: z.string().nullable(),
      reserves: z.array(z.object({ address: z.string(), sequence: z.int() })),
    }),
  ),
})

/** The file at `path`, of `node`. Nothing happens to it before the first call. */
export function openReserveFile(path: string, node: string, log: Log): ReserveFile {
  return {
    read: () => readReserve(path, node, log),
    write(blocks) {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
      const octets = Buffer.from(render(node, blocks))
      const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o600)
      try {
        const written = writeSync(fd, octets, 0, octets.length, 0)
        if (written !== octets.length)
          throw Object.assign(new Error(`${path}: only ${written} of ${octets.length} octets were written`), { code: 'ENOSPC' })
        ftruncateSync(fd, octets.length)
      } finally {
        closeSync(fd)
      }
    },
    async sync() {
      const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600)
      try {
        await file.sync()
      } finally {
        await file.close()
      }
    },
  }
}

function render(node: string, blocks: readonly RememberedBlock[]): string {
  const content: z.input<typeof schema> = {
    version: 1,
    node,
    blocks: blocks.map((block) => ({
      range: formatPrefix(block.range),
      node: block.node,
      reserves: block.reserves.map(({ address, sequence }) => ({ address: formatIp(address), sequence })),
    })),
  }
  const text = JSON.stringify(content)
  return `${sumOf(text)}\n${text}\n`
}

function readReserve(path: string, node: string, log: Log): readonly RememberedBlock[] {
  let whole: string
  try {
    whole = readFileSync(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') log.warn('cni.reserve.unreadable', { file: path, err: cause })
    return []
  }
  const parsed = parse(whole)
  if (typeof parsed === 'string') {
    log.warn('cni.reserve.damaged', { file: path, reason: parsed })
    return []
  }
  if (parsed.node === node) return parsed.blocks
  log.warn('cni.reserve.foreign', { file: path, of: parsed.node })
  return []
}

/** What is wrong with it, in words, if anything. */
function parse(whole: string): { readonly node: string; readonly blocks: readonly RememberedBlock[] } | string {
  const [sum = '', text = '', ...rest] = whole.split('\n')
  if (rest.join('') !== '' || sum !== sumOf(text)) return 'its check sum is wrong'
  const found = schema.safeParse(JSON.parse(text))
  if (!found.success) return found.error.issues[0]?.message ?? 'not of this version'
  const blocks: RememberedBlock[] = []
  for (const { range, node, reserves } of found.data.blocks) {
    const prefix = parsePrefix(range)
    if (prefix === null) return `${JSON.stringify(range)} is not a prefix`
    const claims: { address: NonNullable<ReturnType<typeof parseIp>>; sequence: number }[] = []
    for (const { address, sequence } of reserves) {
      const parsed = parseIp(address)
      if (parsed === null) return `${JSON.stringify(address)} is not an IP address`
      claims.push({ address: parsed, sequence })
    }
    blocks.push({ range: prefix, node, reserves: claims })
  }
  return { node: found.data.node, blocks }
}

function sumOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
