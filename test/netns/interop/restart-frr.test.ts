import { fibula } from '../../support/agent.ts'
import { frr } from '../../support/daemons/index.ts'
import { restartTests } from './restart.ts'

restartTests(fibula, frr)
