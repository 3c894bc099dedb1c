// The API server of the cluster we run in, as the service account of our pod (Kubernetes documentation, "Accessing the Kubernetes API
// from a Pod"). Read from files alone: the client library knows more ways, and costs every agent eighty megabytes.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ApiConnection } from './api-server.ts'

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'

/** True in a pod with a service account. */
export function isInCluster(env: NodeJS.ProcessEnv): boolean {
  return (env['KUBERNETES_SERVICE_HOST'] ?? '') !== '' && (env['KUBERNETES_SERVICE_PORT'] ?? '') !== ''
}

/** Throws, in words, if the service account's files cannot be read. Token and authority are read anew as they are rotated. */
export function inClusterConnection(env: NodeJS.ProcessEnv, folder: string = SERVICE_ACCOUNT): ApiConnection {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? ''
  const { Agent } = process.getBuiltinModule('node:https')
  let authority = readAccount(folder, 'ca.crt')
  let agent = new Agent({ keepAlive: true, ca: authority })
  return {
    url: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${env['KUBERNETES_SERVICE_PORT']}`),
    async options() {
      const now = readAccount(folder, 'ca.crt')
      if (now !== authority) {
        agent.destroy()
        authority = now
        agent = new Agent({ keepAlive: true, ca: authority })
      }
      return { agent, headers: { authorization: `Bearer ${readAccount(folder, 'token').trim()}` } }
    },
    [Symbol.dispose]: () => agent.destroy(),
  }
}

function readAccount(folder: string, name: string): string {
  const path = join(folder, name)
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new Error(`cannot read ${path}: give the pod a service account (automountServiceAccountToken)`, { cause })
  }
}
