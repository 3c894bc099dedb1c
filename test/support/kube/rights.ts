// Roles for the user of a test: what an agent may do, and no more.
import type { Right } from '../../../src/store/index.ts'
import { type ApiConnection, ApiServer } from '../../../src/store/kubernetes/api-server.ts'
import { type PolicyRule, untilAuthorized } from './apply.ts'

const GROUP = '/apis/rbac.authorization.k8s.io/v1'
const apiVersion = 'rbac.authorization.k8s.io/v1'

/** The rule of a role that grants it. */
export function ruleOf({ apiGroup, resources, verbs, resourceNames }: Right): PolicyRule {
  return { apiGroups: [apiGroup], resources, verbs, ...(resourceNames === undefined ? {} : { resourceNames }) }
}

/** Binds the user to these rights: a ClusterRole, and a Role in `namespace`. Resolves when they are in force. */
export async function grantRights(
  connect: () => Promise<ApiConnection>,
  user: string,
  namespace: string,
  rights: readonly Right[],
): Promise<void> {
  const rules = (scope: Right['scope']): readonly PolicyRule[] => rights.filter((right) => right.scope === scope).map(ruleOf)
  await put(connect, `${GROUP}/clusterroles`, { kind: 'ClusterRole', metadata: { name: 'agent' }, rules: rules('cluster') })
  await put(connect, `${GROUP}/clusterrolebindings`, binding('ClusterRoleBinding', 'ClusterRole', user))
  await setSecretsRole(connect, namespace, rules('ownNamespace'))
  await put(connect, `${GROUP}/namespaces/${namespace}/rolebindings`, binding('RoleBinding', 'Role', user))
  await untilAuthorized(connect, { user, namespace: null, rules: rules('cluster') })
  await untilAuthorized(connect, { user, namespace, rules: rules('ownNamespace') })
}

/** Replaces what the agent may do in its own namespace. */
export async function setSecretsRole(
  connect: () => Promise<ApiConnection>,
  namespace: string,
  rules: readonly PolicyRule[],
): Promise<void> {
  await put(connect, `${GROUP}/namespaces/${namespace}/roles`, { kind: 'Role', metadata: { name: 'agent' }, rules })
}

function binding(kind: string, role: string, user: string): Body {
  const roleRef = { kind: role, name: 'agent', apiGroup: 'rbac.authorization.k8s.io' }
  return { kind, metadata: { name: 'agent' }, roleRef, subjects: [{ kind: 'User', name: user, apiGroup: 'rbac.authorization.k8s.io' }] }
}

type Body = { readonly kind: string; readonly metadata: { readonly name: string } } & Readonly<Record<string, unknown>>

async function put(connect: () => Promise<ApiConnection>, path: string, body: Body): Promise<void> {
  using api = new ApiServer(connect)
  const full = { apiVersion, ...body }
  const query = { fieldManager: 'test', force: 'true' }
  await api.request({
    method: 'PATCH',
    path: `${path}/${body.metadata.name}`,
    query,
    body: full,
    contentType: 'application/apply-patch+yaml',
  })
}
