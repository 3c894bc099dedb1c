import { describeRouteBackend } from '../../support/route-backend-contract.ts'
import { openKernel } from './kernel-harness.ts'

describeRouteBackend('the kernel, by netlink', openKernel)
