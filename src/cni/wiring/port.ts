// Links of pods as the dataplane thread makes them: the synchronous half of PodWiring. Routes to pods are not made here.
import type { Result } from '../../lib/result.ts'
import type { PodLink, WiredPod, WiringFault } from '../ports.ts'

/** A link that was made. */
export type WiredLink = WiredPod & {
  /** Settings that should be otherwise and could not be set, in words with the remedy; the link works all the same. */
  readonly warnings: readonly string[]
}

/** Enough of a link to take it away. With `netns` the rules of a pod's further interface go too; the namespace may be gone. */
export type DetachedLink = Pick<PodLink, 'hostInterface' | 'addresses'> & Partial<Pick<PodLink, 'netns'>>

/** Links of pods in the network namespace of the calling thread. Every method blocks for as long as the kernel takes: milliseconds. */
export interface LinkWiring {
  /**
   * Makes the link with all that is inside the pod; every address carries packets when this returns. What failed half-way has been
   * undone. A host end of this name left by a crash is removed first, unless its pod end is the very interface asked for.
   */
  attach(link: PodLink): Result<WiredLink, WiringFault>
  /**
   * Removes links and what conntrack knows of their addresses; links that are gone already are fine. Their host ends are gone when
   * this returns. One wait of the kernel serves for all of them. Returns in words what is left and why; empty: nothing.
   */
  detach(links: readonly DetachedLink[]): readonly string[]
  /** What is not as `attach` left it, in words; empty: all is well. Changes nothing, and minds nothing that others have added. */
  check(link: PodLink): readonly string[]
  /** Sets host settings of a link that is there right again (after a restart of the agent). Returns warnings, as `attach` does. */
  repair(link: PodLink): readonly string[]
  /** Names of all host ends present. */
  list(): readonly string[]
  /**
   * Gives a running pod another MTU without losing a packet: the pod sends no more than `mtu` before its link takes no more.
   * A pod end whose MTU others have set (it differs from `link.mtu`) is only ever lowered. Returns what could not be done, in words.
   */
  setMtu(link: PodLink, mtu: number): readonly string[]
}
