// The API server that kubectl would talk to: KUBECONFIG, or ~/.kube/config, with all their ways to authenticate. The client library
// reads it; it is loaded only here, because it is large.
import { existsSync } from 'node:fs'
import type { RequestOptions } from 'node:https'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { ApiConnection } from './api-server.ts'
import { inClusterConnection, isInCluster } from './in-cluster.ts'

/** The cluster we run in, else that of the kubeconfig; with `context` always the latter. Rejects, in words, if there is none. */
export async function connectKubernetes(env: NodeJS.ProcessEnv, context: string | null = null): Promise<ApiConnection> {
  const hasConfig = context !== null || (env['KUBECONFIG'] ?? '') !== ''
  if (!hasConfig && isInCluster(env)) return inClusterConnection(env)
  const home = join(homedir(), '.kube', 'config')
  if ((env['KUBECONFIG'] ?? '') === '' && !existsSync(home))
    throw new Error(`there is no kubeconfig: set KUBECONFIG, or put one at ${home}`)
  const { KubeConfig } = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  config.loadFromDefault()
  if (context !== null) {
    if (!config.getContexts().some(({ name }) => name === context))
      throw new Error(`the kubeconfig has no context ${JSON.stringify(context)}`)
    config.setCurrentContext(context)
  }
  const cluster = config.getCurrentCluster()
  if (cluster === null)
    throw new Error(`the kubeconfig has no cluster for its current context ${JSON.stringify(config.getCurrentContext())}`)
  return {
    url: new URL(cluster.server),
    async options() {
      const options: RequestOptions = {}
      await config.applyToHTTPSOptions(options)
      return options
    },
    [Symbol.dispose]() {}, // its agents are its own, and end with the process
  }
}
