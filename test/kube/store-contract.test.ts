// The contract of the store, against a real API server.
import { afterAll, beforeAll } from '@jest/globals'
import { KubernetesStore } from '../../src/store/kubernetes/adapter.ts'
import { storeContract } from '../store/contract.ts'
import { KubeApi } from '../support/kube/api-server.ts'
import { clean, installCrds, makeNamespace } from '../support/kube/apply.ts'

const START_MS = 400_000
const NAMESPACES = ['default', 'fibula-system']

let api: KubeApi
beforeAll(async () => {
  api = await KubeApi.start()
  await installCrds(api.connection())
  for (const namespace of NAMESPACES) await makeNamespace(api.connection(), namespace)
}, START_MS)
afterAll(async () => api[Symbol.asyncDispose]())

storeContract('Kubernetes', async () => {
  await clean(api.connection(), NAMESPACES)
  return { open: () => new KubernetesStore(api.connection()), [Symbol.asyncDispose]: async () => {} }
})
