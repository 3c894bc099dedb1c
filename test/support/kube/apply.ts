// Puts our CRDs into an API server, and takes every object of ours out of it.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { KIND_NAMES, kindInfo } from '../../../src/store/index.ts'
import { type ApiConnection, ApiError, ApiServer } from '../../../src/store/kubernetes/api-server.ts'
import { collectionPath } from '../../../src/store/kubernetes/paths.ts'
import { until } from '../poll.ts'

const CRDS = join(import.meta.dirname, '..', '..', '..', 'crds')
const CRD_PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

/** Creates every CRD of crds/ and waits until the server serves them. */
export async function installCrds(connect: () => Promise<ApiConnection>): Promise<void> {
  using api = new ApiServer(connect)
  for (const name of readdirSync(CRDS)) {
    await api.request({ method: 'POST', path: CRD_PATH, body: parse(readFileSync(join(CRDS, name), 'utf8')) })
  }
  for (const kind of KIND_NAMES.filter((each) => kindInfo(each).writer !== 'core')) {
    for (;;) {
      try {
        await api.request({ method: 'GET', path: collectionPath(kind), query: { limit: '1' } })
        break
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 404) throw error
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  }
}

/** Creates a namespace, unless it is there. */
export async function makeNamespace(connect: () => Promise<ApiConnection>, name: string): Promise<void> {
  using api = new ApiServer(connect)
  try {
    await api.request({ method: 'POST', path: '/api/v1/namespaces', body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name } } })
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== 'AlreadyExists') throw error
  }
}

/** Deletes all objects of our kinds, all nodes, and the secrets of the given namespaces. */
export async function clean(connect: () => Promise<ApiConnection>, namespaces: readonly string[]): Promise<void> {
  using api = new ApiServer(connect)
  const own = KIND_NAMES.filter((each) => kindInfo(each).writer !== 'core').map((kind) => collectionPath(kind))
  for (const path of [...own, '/api/v1/nodes', ...namespaces.map((namespace) => collectionPath('Secret', namespace))]) {
    await api.request({ method: 'DELETE', path })
  }
}

export type PolicyRule = {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly resourceNames?: readonly string[]
  readonly verbs: readonly string[]
}

export type Grant = { readonly user: string; readonly namespace: string | null; readonly rules: readonly PolicyRule[] }

/**
 * Waits until a user may do, or may no longer do, what each of the rules says (told by its first verb, resource and name): the server's
 * authorizer hears of roles a moment after they were written.
 */
export async function untilAuthorized(
  connect: () => Promise<ApiConnection>,
  { user, namespace, rules }: Grant,
  isAllowed = true,
): Promise<void> {
  using api = new ApiServer(connect)
  for (const { apiGroups, resources, resourceNames, verbs } of rules) {
    const [resource = '', subresource = ''] = (resources[0] ?? '').split('/')
    const what = { group: apiGroups[0] ?? '', resource, subresource, verb: verbs[0] ?? '', name: resourceNames?.[0] ?? '' }
    const resourceAttributes = { ...what, version: '*', namespace: namespace ?? '' }
    const body = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec: { user, resourceAttributes } }
    await until(`${user} ${isAllowed ? 'may' : 'may not'} ${what.verb} ${what.resource}`, async () => {
      const answer = await api.request({ method: 'POST', path: '/apis/authorization.k8s.io/v1/subjectaccessreviews', body })
      return (answer as { readonly status: { readonly allowed: boolean } }).status.allowed === isAllowed
    })
  }
}

/** Grants a user what a new role allows, in one namespace or (null) everywhere; resolves when it is in force. */
export async function allow(connect: () => Promise<ApiConnection>, grant: Grant & { readonly role: string }): Promise<void> {
  using api = new ApiServer(connect)
  const { user, role, namespace, rules } = grant
  const apiGroup = 'rbac.authorization.k8s.io'
  const kind = namespace === null ? 'ClusterRole' : 'Role'
  const where = `/apis/${apiGroup}/v1${namespace === null ? '' : `/namespaces/${namespace}`}`
  const head = { apiVersion: `${apiGroup}/v1`, metadata: { name: role } }
  await api.request({ method: 'POST', path: `${where}/${kind.toLowerCase()}s`, body: { ...head, kind, rules } })
  const binding = {
    ...head,
    kind: `${kind}Binding`,
    subjects: [{ kind: 'User', name: user, apiGroup }],
    roleRef: { kind, name: role, apiGroup },
  }
  await api.request({ method: 'POST', path: `${where}/${kind.toLowerCase()}bindings`, body: binding })
  await untilAuthorized(connect, grant)
}
