// What the controller asks of the API server, request by request, is exactly what it says it must be allowed: nothing is missing, which
// the server would refuse, and nothing is too much, which nobody would ever ask for.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { Controller } from '../../../src/controller/controller.ts'
import { CONTROLLER_RIGHTS } from '../../../src/controller/index.ts'
import type { Log, LogFields } from '../../../src/lib/log.ts'
import type { Right } from '../../../src/store/index.ts'
import { KubernetesStore } from '../../../src/store/kubernetes/adapter.ts'
import { fill, ipamBlock, network } from '../../controller/world.ts'
import { configuration, peer, pool } from '../../store/objects.ts'
import { NAMESPACE, USER, World } from './world.ts'

const START_MS = 400_000
const LONG_MS = 400_000

let world: World
beforeAll(async () => {
  world = await World.start()
}, START_MS)
afterAll(async () => world[Symbol.asyncDispose]())

type Asked = { readonly method: string; readonly path: string; readonly isWatch: boolean }

/** Everything that is sent with the token of the controller, from now on. */
function recordRequests(): { readonly asked: Asked[] } & Disposable {
  const https = process.getBuiltinModule('node:https')
  const { request } = https
  const asked: Asked[] = []
  https.request = ((url: URL, options: { readonly method: string; readonly headers: Readonly<Record<string, string>> }, ...rest: []) => {
    if (options.headers['authorization'] === `Bearer ${USER.token}`)
      asked.push({ method: options.method, path: url.pathname, isWatch: url.searchParams.get('watch') === 'true' })
    return (request as unknown as (...all: unknown[]) => unknown)(url, options, ...rest)
  }) as unknown as typeof request
  return {
    asked,
    [Symbol.dispose]() {
      https.request = request
    },
  }
}

/** `ippools.fibula.network/status update`, and the name of a Lease where the request has one. */
function rightOf({ method, path, isWatch }: Asked): string {
  const parts = path.split('/').slice(1)
  const group = parts[0] === 'api' ? '' : (parts[1] ?? '')
  const rest = parts.slice(parts[0] === 'api' ? 2 : 3)
  const isNamespaced = rest[0] === 'namespaces' && rest.length > 2
  const [resource = '', name, subresource] = isNamespaced ? rest.slice(2) : rest
  const verb =
    method === 'GET'
      ? name !== undefined
        ? 'get'
        : isWatch
          ? 'watch'
          : 'list'
      : ({ POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }[method] ?? method)
  const named = group === 'coordination.k8s.io' && name !== undefined ? ` ${isNamespaced ? `${rest[1]}/` : ''}${name}` : ''
  return `${resource}${subresource === undefined ? '' : `/${subresource}`}${group === '' ? '' : `.${group}`} ${verb}${named}`
}

function granted({ apiGroup, resources, verbs, resourceNames }: Right): readonly string[] {
  return resources.flatMap((resource) =>
    verbs.flatMap((verb) => {
      const right = `${resource}${apiGroup === '' ? '' : `.${apiGroup}`} ${verb}`
      return resourceNames === undefined ? [right] : resourceNames.map((name) => `${right} ${NAMESPACE}/${name}`)
    }),
  )
}

class Lines implements Log {
  readonly warnings: string[] = []
  trace(): void {}
  debug(): void {}
  info(): void {}
  warn(event: string, fields: LogFields = {}): void {
    this.warnings.push(`${event} ${fields['err'] instanceof Error ? fields['err'].message : ''}`)
  }
  error(event: string, fields?: LogFields): void {
    this.warn(event, fields)
  }
  enabled(): boolean {
    return true
  }
  child(): Log {
    return this
  }
  setLevel(): void {}
}

test(
  'every right is used, and no other is needed, for a Lease, every status and every kind of leak',
  async () => {
    await world.addNode('n1')
    await world.addPod('other', 'n1', '10.244.0.9')
    await fill(world.admin, [
      pool('pods', '10.244.0.0/24'),
      configuration('default', {}),
      peer('tor'),
      network('gone'),
      ipamBlock('10.244.0.0/26', 'n1', [{ address: '10.244.0.1', pod: 'dead' }]),
      ipamBlock('10.244.0.64/26', 'gone', [{ address: '10.244.0.65', pod: 'lost' }]),
    ])
    using requests = recordRequests()
    const log = new Lines()
    {
      await using store = new KubernetesStore(world.kube.connection(USER.token), {})
      await using controller = new Controller({
        store,
        log,
        namespace: NAMESPACE,
        identity: 'test',
        leakGraceMs: 1_000,
        statusIntervalMs: 1_000,
      })
      controller.start()
      await world.until('the leak is collected', async () => {
        const block = await world.admin.get('IPAMBlock', { name: '10-244-0-0-26' })
        return block?.spec.allocations.length === 0
      })
      await world.until('the empty block is gone', async () => (await world.admin.get('IPAMBlock', { name: '10-244-0-64-26' })) === null)
      await world.until('the report is gone', async () => (await world.admin.get('NodeNetwork', { name: 'gone' })) === null)
      const status = async (): Promise<unknown> =>
        (await world.admin.get('BGPPeer', { name: 'tor' }))?.status !== undefined &&
        (await world.admin.get('IPPool', { name: 'pods' }))?.status !== undefined &&
        (await world.admin.get('BGPConfiguration', { name: 'default' }))?.status !== undefined
      await world.until('the statuses are there', status)
      const unused = (): readonly string[] =>
        CONTROLLER_RIGHTS.flatMap(granted).filter((right) => !requests.asked.map(rightOf).includes(right))
      await world.until('every right is used', () => unused().length === 0, { explain: () => unused().join(', ') })
      await world.until('the Lease is renewed', async () => (await world.lease())?.renewTime !== (await world.lease())?.acquireTime)
    }
    expect(log.warnings.filter((line) => !line.startsWith('controller.leak.collected') && !line.startsWith('controller.finding'))).toEqual(
      [],
    )
    expect([...new Set(requests.asked.map(rightOf))].sort()).toEqual(CONTROLLER_RIGHTS.flatMap(granted).sort())
  },
  LONG_MS,
)
