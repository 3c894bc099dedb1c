import { fibula } from '../../support/agent.ts'
import { bird } from '../../support/daemons/index.ts'
import { restartTests } from './restart.ts'

restartTests(fibula, bird)
