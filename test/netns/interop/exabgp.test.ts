import { exabgp } from '../../support/daemons/index.ts'
import { testsWith } from './fibula.ts'

testsWith(exabgp)
