// Proves the drivers themselves: BIRD peers with every other daemon, each read through its own command line, so that a failure
// between Fibula and a daemon is Fibula's.
import { test } from '@jest/globals'
import { bird, DAEMONS } from '../../support/daemons/index.ts'
import { describeWith } from '../../support/tier.ts'
import { exchange, variantsOf } from './exchange.ts'

for (const daemon of DAEMONS) {
  describeWith([...bird.programs, ...daemon.programs], `driver: BIRD with ${daemon.name}`, () => {
    for (const variant of variantsOf(bird, daemon))
      test(`${variant.name}: both hold exactly what the other announced`, async () => {
        await exchange([bird, daemon], variant)
      })
  })
}
