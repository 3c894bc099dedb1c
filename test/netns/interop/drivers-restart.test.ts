// Proves the graceful restart scenario itself: with BIRD as the node nothing is lost either, and without graceful restart probes are.
import { bird, frr } from '../../support/daemons/index.ts'
import { restartTests } from './restart.ts'

restartTests(bird, bird)
// FRR 8.4 sets the R bit for two minutes after every start, and BIRD does not wait for the End-of-RIB of such a peer: as the one that
// restarts it loses packets there, which is right by RFC 4724 §4.1
restartTests(bird, frr, ['tor'])
