// The tests of Fibula with one daemon: every kind of session, with every feature both have.
import { test } from '@jest/globals'
import { fibula } from '../../support/agent.ts'
import type { DaemonDriver } from '../../support/daemons/index.ts'
import { describeWith } from '../../support/tier.ts'
import { exchange, variantsOf } from './exchange.ts'

/** Declares them; one test file a daemon, so that they run side by side. */
export function testsWith(daemon: DaemonDriver): void {
  describeWith([...fibula.programs, ...daemon.programs], `Fibula with ${daemon.name}`, () => {
    for (const variant of variantsOf(fibula, daemon))
      test(`${variant.name}: both hold exactly what the other announced [rules 15, 16, 79, 85, 91, 96, 108, 111, 171, 172, 174]`, async () => {
        await exchange([fibula, daemon], variant)
      })
  })
}
