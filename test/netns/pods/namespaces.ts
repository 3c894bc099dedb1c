// The empty network namespaces that pods live in, as a runtime makes them: nothing but a loopback that is down.
import { exec } from '../../../src/lib/exec.ts'
import type { Cluster } from './cluster.ts'

/** Makes a namespace for each name, hands their paths to `work` in that order, and removes them. */
export async function withNamespaces<const N extends readonly string[]>(
  cluster: Cluster,
  names: N,
  work: (paths: { readonly [I in keyof N]: string }) => Promise<void>,
): Promise<void> {
  const stem = cluster.net.nameOf('tor').replace(/-tor$/, '')
  const full = names.map((name) => `${stem}-${name}`)
  const batch = (command: string) => exec('ip', ['-batch', '-'], { input: full.map((name) => `netns ${command} ${name}\n`).join('') })
  await batch('add')
  try {
    await work(full.map((name) => `/run/netns/${name}`) as { readonly [I in keyof N]: string }) // one path a name
  } finally {
    await batch('del')
  }
}
