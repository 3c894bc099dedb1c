// One suite, run with both plugins against one node.
import { afterAll, afterEach, beforeAll, describe, jest } from '@jest/globals'
import { describeWith } from '../../../support/tier.ts'
import { Node, Plugin } from './node.ts'
import { buildPlugins, PLUGINS, type PluginName, type Plugins } from './plugins.ts'

/** A hundred processes on a busy machine take their time; what hangs fails all the same. */
const TEST_TIMEOUT_MS = 300_000

export type Suite = {
  readonly node: () => Node
  readonly plugin: () => Plugin
  /** Folder of the plugin's executable. */
  readonly folder: () => string
}

/** Declares `tests` for each plugin. `programs`: what this machine must have, or the suite is skipped by name. */
export function suiteOfBoth(title: string, programs: readonly string[], tests: (suite: Suite, name: PluginName) => void): void {
  describeWith(['ip', 'cc', ...programs], title, () => {
    jest.setTimeout(TEST_TIMEOUT_MS)
    let plugins: Plugins | null = null
    let node: Node | null = null
    beforeAll(async () => {
      plugins = await buildPlugins()
      node = await Node.start()
    })
    afterAll(async () => {
      await node?.[Symbol.asyncDispose]()
      plugins?.[Symbol.dispose]()
    })
    afterEach(() => node?.restore())
    const there = <T>(value: T | null): T => {
      if (value === null) throw new Error('not set up')
      return value
    }
    for (const name of PLUGINS) {
      const folder = (): string => there(plugins).folder(name)
      describe(name, () => tests({ node: () => there(node), folder, plugin: () => new Plugin(folder(), there(node)) }, name))
    }
  })
}
