// Fuzzes the BGP decoder: scripts/node test/fuzz/wire.ts [--messages N] [--seed S]. Ends with status 1 and the octets of the first
// message that breaks an invariant.
import { WireFuzzer } from '../bgp/wire/fuzz-target.ts'

function option(name: string, otherwise: number): number {
  const at = process.argv.indexOf(`--${name}`)
  const value = at < 0 ? otherwise : Number(process.argv[at + 1])
  if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`--${name} wants a positive number`)
  return value
}

const messages = option('messages', 1_000_000)
const seed = option('seed', 1)
const SLICE = 1_000_000
const fuzzer = new WireFuzzer(seed)
const started = performance.now()
for (let done = 0; done < messages; done += SLICE) {
  const report = fuzzer.run(Math.min(SLICE, messages - done))
  const seconds = (performance.now() - started) / 1000
  const total = done + report.messages
  console.log(
    `${total} messages in ${seconds.toFixed(1)} s: ${report.decoded} decoded, ${report.refused} refused, ${report.framed} streams cut in two`,
  )
}
