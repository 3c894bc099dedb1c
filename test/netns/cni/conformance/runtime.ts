// What a container runtime does with a configuration list (CNI 1.1.0 section 3), for real plugins: picks the version, runs plugins in
// order and back, passes results on, gives each only the capabilities that it declares.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { SUPPORTED_VERSIONS } from '../../../../src/cni/version.ts'
import { type Execution, execPlugin } from './plugins.ts'

type PluginConfig = { readonly type: string; readonly capabilities?: Readonly<Record<string, boolean>> }
export type Conflist = {
  readonly cniVersion: string
  readonly cniVersions?: readonly string[]
  readonly name: string
  readonly disableCheck?: boolean
  readonly disableGC?: boolean
  readonly plugins: readonly (PluginConfig & Readonly<Record<string, unknown>>)[]
}
export type Container = { readonly containerId: string; readonly netns: string; readonly ifName: string }

export class Runtime {
  readonly #list: Conflist
  readonly #binDirs: readonly string[]
  readonly #hostNetns: string
  readonly #results = new Map<string, unknown>()
  readonly version: string

  /** Speaks versions up to `speaksUpTo`. */
  constructor(list: Conflist, options: { readonly binDirs: readonly string[]; readonly hostNetns: string; readonly speaksUpTo?: string }) {
    this.#list = list
    this.#binDirs = options.binDirs
    this.#hostNetns = options.hostNetns
    const { speaksUpTo = '1.1.0' } = options
    const offered = new Set<string>([list.cniVersion, ...(list.cniVersions ?? [])])
    this.version = SUPPORTED_VERSIONS.findLast((version) => version <= speaksUpTo && offered.has(version)) ?? list.cniVersion
  }

  /** Of the last plugin, or the first that failed. */
  async add(container: Container, capabilities: Readonly<Record<string, unknown>> = {}): Promise<Execution> {
    let last: Execution | null = null
    for (const plugin of this.#list.plugins) {
      last = await this.#run('ADD', plugin, container, capabilities, last?.json ?? undefined)
      if (last.exitStatus !== 0) return last
    }
    if (last === null) throw new Error('no plugins')
    this.#results.set(container.containerId, last.json)
    return last
  }

  async check(container: Container, capabilities: Readonly<Record<string, unknown>> = {}): Promise<readonly Execution[]> {
    if (this.#list.disableCheck === true) return []
    const done: Execution[] = []
    for (const plugin of this.#list.plugins)
      done.push(await this.#run('CHECK', plugin, container, capabilities, this.#results.get(container.containerId)))
    return done
  }

  async del(container: Container, capabilities: Readonly<Record<string, unknown>> = {}): Promise<readonly Execution[]> {
    const done: Execution[] = []
    for (const plugin of [...this.#list.plugins].reverse())
      done.push(await this.#run('DEL', plugin, container, capabilities, this.#results.get(container.containerId)))
    this.#results.delete(container.containerId)
    return done
  }

  #run(
    command: string,
    plugin: PluginConfig,
    container: Container,
    supplied: Readonly<Record<string, unknown>>,
    prevResult: unknown,
  ): Promise<Execution> {
    const { capabilities = {}, ...config } = plugin
    const runtimeConfig = Object.fromEntries(Object.entries(supplied).filter(([name]) => capabilities[name] === true))
    const stdin = {
      ...config,
      name: this.#list.name,
      cniVersion: this.version,
      ...(Object.keys(runtimeConfig).length === 0 ? {} : { runtimeConfig }),
      ...(prevResult === undefined ? {} : { prevResult }),
    }
    const folder = this.#binDirs.find((each) => existsSync(join(each, plugin.type)))
    if (folder === undefined) throw new Error(`no plugin ${plugin.type} in ${this.#binDirs}`)
    const environment = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: container.containerId,
      CNI_NETNS: container.netns,
      CNI_IFNAME: container.ifName,
      CNI_PATH: this.#binDirs.join(':'),
    }
    return execPlugin(this.#hostNetns, join(folder, plugin.type), environment, JSON.stringify(stdin))
  }
}
