// What the store knows of addresses, as `fibula get` shows it.
import { exec } from '../../../src/lib/exec.ts'
import { fibula } from '../../support/agent.ts'

const [FIBULA = ''] = fibula.programs

type Block = {
  readonly spec: { readonly cidr: string; readonly allocations?: readonly { readonly address: string; readonly handle: string }[] }
}

/** Addresses in use and their owners, `ADDRESS HANDLE`. */
export async function allocationsIn(store: string): Promise<readonly string[]> {
  const { stdout } = await exec(FIBULA, ['get', 'ipamblocks', '--store', `dir:${store}`, '-o', 'json'])
  const { items } = JSON.parse(stdout) as { readonly items: readonly Block[] }
  return items.flatMap(({ spec }) => (spec.allocations ?? []).map(({ address, handle }) => `${address} ${handle}`))
}
