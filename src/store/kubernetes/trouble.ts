// Why the API server cannot be heard or refuses, in words that say what to do. Pure.

import { toIdentity } from '../identity.ts'
import { GROUP_VERSION } from '../kinds/kind.ts'
import { kindInfo } from '../kinds/registry.ts'
import { type Selection, StoreError } from '../port.ts'
import { formatIdentity } from '../problem.ts'
import type { FieldFault } from '../validate.ts'
import { ApiError } from './api-server.ts'
import type { Verb } from './reflector.ts'

type Words = { readonly subject: string; readonly message: string }

/** What a list or watch of a selection ran into. */
export function wordsOf(error: unknown, verb: Verb, { kind, namespace, name }: Selection): Words {
  const { plural, apiVersion } = kindInfo(kind)
  const group = apiVersion.includes('/') ? `.${apiVersion.split('/')[0]}` : ''
  if (!(error instanceof ApiError))
    return { subject: 'API server', message: `the API server cannot be heard: ${reasonOf(error)}; what was last known stays` }
  switch (error.status) {
    case 401:
      return {
        subject: 'API server',
        message: `the API server does not know us: ${error.message}; look at the token of the service account`,
      }
    case 403: {
      const role = namespace === undefined ? 'ClusterRole' : `Role of namespace ${namespace}`
      const only = name === undefined ? '' : ` (resourceNames: ${name})`
      return {
        subject: name === undefined ? kind : formatIdentity(toIdentity(kind, { name, ...(namespace === undefined ? {} : { namespace }) })),
        message: `not allowed to ${verb} ${plural}${group}: grant the verbs list and watch${only} in the ${role} (${error.message})`,
      }
    }
    case 404:
      return {
        subject: kind,
        message:
          apiVersion === GROUP_VERSION
            ? `the API server has no ${plural}${group}: install the CRDs (kubectl apply -f crds/); waiting for them`
            : `the API server has no ${plural}${group}: ${error.message}`,
      }
    case 429:
      return { subject: 'API server', message: `the API server is overloaded and asks to wait: ${error.message}` }
    default:
      return { subject: 'API server', message: `the API server refuses to ${verb} ${plural}${group}: ${error.message}` }
  }
}

/** What a single read or write ran into. */
export function storeErrorOf(error: unknown): StoreError {
  if (error instanceof StoreError) return error
  if (!(error instanceof ApiError))
    return new StoreError('UNAVAILABLE', `the API server cannot be reached: ${reasonOf(error)}`, { cause: error })
  switch (error.status) {
    case 404:
      return new StoreError('NOT_FOUND', error.message, { cause: error })
    case 409:
      return new StoreError(error.reason === 'AlreadyExists' ? 'ALREADY_EXISTS' : 'CONFLICT', error.message, { cause: error })
    case 400:
    case 422:
      return new StoreError('INVALID', error.message, { cause: error, faults: error.causes.map(faultOf) })
    default:
      return new StoreError('UNAVAILABLE', error.message, { cause: error })
  }
}

function faultOf({ field, message }: { readonly field: string; readonly message: string }): FieldFault {
  const path = [...field.matchAll(/\[(\d+)\]|([^.[\]]+)/g)].map(([, index, name]) => (index === undefined ? (name ?? '') : Number(index)))
  return { path, message: `${field}: ${message}` }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error && typeof error.code === 'string' ? error.code : null
  return error.message === '' ? (code ?? error.name) : error.message
}
