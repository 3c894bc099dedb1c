// The port to the kernel's tunnel devices. Synchronous; adapter in netlink-backend.ts, fake in test/support/fake-tunnels.ts.
import type { Result } from '../../lib/result.ts'
import type { IpFamily } from '../../net/index.ts'
import type { TunnelState, TunnelStep } from './plan.ts'

/** What the kernel said: errno's name, and its own words if it gave some. */
export type TunnelRefusal = { readonly code: string; readonly text: string | null }

export interface TunnelBackend extends Disposable {
  /** The link with the name of our tunnel of a family; null: there is none. */
  find(family: IpFamily): Result<TunnelState | null, TunnelRefusal>
  /** Does one step. Removing what is gone already is fine. */
  perform(family: IpFamily, step: TunnelStep): Result<void, TunnelRefusal>
}
