// The cables of a lab as a person handles them: which are plugged in, and plugging them in and out.
import { exec } from '../lib/exec.ts'
import { LabError } from './error.ts'
import type { Lab } from './lab.ts'
import { runBatch } from './netns.ts'
import { cutLines, wireOf } from './wiring.ts'

export type LinkReport = {
  readonly name: string
  readonly kind: 'spine' | 'rack'
  readonly between: readonly [string, string]
  readonly isUp: boolean
}

export async function readLinks({ plan }: Lab): Promise<readonly LinkReport[]> {
  const shown: readonly { readonly ifname: string; readonly flags: readonly string[] }[] = JSON.parse(
    (await exec('ip', ['-n', plan.wires, '-j', 'link'])).stdout,
  )
  const up = new Set(shown.filter(({ flags }) => flags.includes('UP')).map(({ ifname }) => ifname))
  return plan.links.map((link) => {
    const { name, kind, ends } = link
    return { name, kind, between: [ends[0].speaker, ends[1].speaker], isUp: up.has(wireOf(link, 0)) && up.has(wireOf(link, 1)) }
  })
}

/** Cuts the cable (both ends lose carrier, as when a fibre breaks) or mends it. */
export async function setLink({ plan }: Lab, name: string, isUp: boolean): Promise<void> {
  const link = plan.links.find((each) => each.name === name)
  if (link === undefined)
    throw new LabError('USAGE', `there is no link ${name}: there are ${plan.links.map((each) => each.name).join(', ')}`)
  await runBatch({ netns: plan.wires, lines: cutLines(link, isUp) })
}
