// One node's IPAM as a process of its own: node child.ts STORE-FOLDER NODE JOURNAL PODS. It adds and removes pods at random, keeping
// what it holds in the journal as an agent does, and prints a line after each; with PODS `settle` it starts nothing new and ends once
// the blocks show what the journal has, and nothing more.
import { existsSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { type Assignment, createNodeIpam, type HeldAllocation, nodeOfAllocation } from '../../../src/ipam/index.ts'
import { sleep, systemClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { cidr, formatIp, formatPrefix, ip } from '../../../src/net/index.ts'
import { createBlockStore, DirectoryStore } from '../../../src/store/index.ts'

type Kept = {
  readonly handle: string
  readonly isReleased: boolean
  readonly assignments: readonly {
    readonly address: string
    readonly block: string
    readonly sequence: number
    readonly isBorrowed: boolean
  }[]
}

const [folder = '', node = '', journal = '', pods = ''] = process.argv.slice(2)
const POOL = { name: 'pods', range: cidr('10.0.0.0/26'), blockSize: 28 }

function held({ handle, isReleased, assignments }: Kept): HeldAllocation {
  const restored = assignments.map(
    ({ address, block, ...rest }): Assignment => ({ ...rest, address: ip(address), block: cidr(block), family: 4, pool: POOL.name }),
  )
  return { handle, pod: null, isReleased, assignments: restored }
}

const kept = new Map<string, Kept>(
  existsSync(journal) ? (JSON.parse(readFileSync(journal, 'utf8')) as readonly Kept[]).map((each) => [each.handle, each]) : [],
)
function save(): void {
  writeFileSync(`${journal}.new`, JSON.stringify([...kept.values()]))
  renameSync(`${journal}.new`, journal)
}

const alive = setInterval(() => {}, 60_000)
await using store = new DirectoryStore(folder)
const blocks = createBlockStore(store)
await using ipam = createNodeIpam({
  node,
  store: blocks,
  clock: systemClock,
  random: Math.random,
  log: silentLog,
  options: { reserveSize: 2, batchMs: 5, refreshMs: 200, leakGraceMs: 200, exhaustedRetryMs: 20 },
})
ipam.configure({
  pools: [{ ...POOL, selectsNode: true, namespaceSelector: null, disabled: false, assignmentMode: 'Automatic', forWorkloads: true }],
  reservations: [],
  strictAffinity: false,
  maxBlocksPerHost: null,
  coolDownSeconds: 0,
})
ipam.adopt([...kept.values()].map(held))

async function finish(handle: string): Promise<void> {
  await ipam.release(handle)
  kept.delete(handle)
  save()
}
for (const { handle, isReleased } of kept.values()) if (isReleased) await finish(handle)

for (let at = 0; pods !== 'settle'; at++) {
  const handle = `${node}-${process.pid}-${at}`
  const live = [...kept.values()].filter(({ isReleased }) => !isReleased)
  const old = live[Math.floor(Math.random() * live.length)]
  if (old !== undefined && Math.random() < live.length / 20) {
    kept.set(old.handle, { ...old, isReleased: true })
    save()
    await finish(old.handle)
  } else {
    const answer = await ipam.assign({ handle, pod: null, namespaceLabels: null, requested: [], pools: { ipv4: null, ipv6: null } })
    if (answer.ok) {
      const assignments = answer.value.map(({ address, block, sequence, isBorrowed }) => ({
        address: formatIp(address),
        block: formatPrefix(block),
        sequence,
        isBorrowed,
      }))
      kept.set(handle, { handle, isReleased: false, assignments })
      save()
    } else await sleep(20)
  }
  writeSync(1, `${at}\n`)
}

const mine = [...kept.values()].map(({ handle, assignments }) => `${handle} ${assignments.map(({ address }) => address).join()}`).sort()
for (;;) {
  const shown = (await blocks.listIn(POOL.range)).flatMap(({ block }) =>
    block.allocations
      .filter((each) => nodeOfAllocation(block, each) === node)
      .map(({ handle, address }) => `${handle} ${formatIp(address)}`),
  )
  if (shown.sort().join('\n') === mine.join('\n')) break
  await sleep(50)
}
clearInterval(alive)
