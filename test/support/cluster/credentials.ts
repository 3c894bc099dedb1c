// Who may ask what: a certificate authority of our own, tokens for users, the keys of service accounts, and kubeconfigs.
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { exec } from '../../../src/lib/exec.ts'
import { API_PORT, API_SERVICE, CONTROL, NODES } from './layout.ts'

const USERS: readonly { readonly name: string; readonly groups: readonly string[] }[] = [
  { name: 'admin', groups: ['system:masters'] },
  { name: 'system:kube-controller-manager', groups: [] },
  { name: 'system:kube-scheduler', groups: [] },
  { name: 'system:kube-proxy', groups: [] },
  ...NODES.map(({ name }) => ({ name: `system:node:${name}`, groups: ['system:nodes'] })),
]

/** Files of the control plane's secrets, made in a folder. */
export class Credentials {
  readonly #folder: string
  readonly #tokens: ReadonlyMap<string, string>

  private constructor(folder: string, tokens: ReadonlyMap<string, string>) {
    this.#folder = folder
    this.#tokens = tokens
  }

  static async make(folder: string): Promise<Credentials> {
    fs.mkdirSync(folder, { recursive: true })
    const file = (name: string): string => path.join(folder, name)
    const tokens = new Map(USERS.map(({ name }) => [name, randomBytes(16).toString('hex')]))
    const lines = USERS.map(({ name, groups }) => `${tokens.get(name)},${name},${name},"${groups.join(',')}"\n`)
    fs.writeFileSync(file('tokens.csv'), lines.join(''))
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    fs.writeFileSync(file('sa.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }))
    fs.writeFileSync(file('sa.pub'), publicKey.export({ type: 'spki', format: 'pem' }))
    const names = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local', 'localhost']
    const addresses = [CONTROL.ipv4, CONTROL.ipv6, API_SERVICE, '127.0.0.1']
    const alternatives = [...names.map((each) => `DNS:${each}`), ...addresses.map((each) => `IP:${each}`)].join(',')
    const openssl = (...args: readonly string[]) => exec('openssl', args)
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    await openssl('req', '-x509', ...key, '-days', '30', '-subj', '/CN=fibula-test', '-keyout', file('ca.key'), '-out', file('ca.crt'))
    const server = ['-subj', '/CN=kube-apiserver', '-addext', `subjectAltName=${alternatives}`, '-days', '30']
    const signed = ['-CA', file('ca.crt'), '-CAkey', file('ca.key'), '-keyout', file('server.key'), '-out', file('server.crt')]
    await openssl('req', '-x509', ...key, ...server, '-addext', 'basicConstraints=critical,CA:FALSE', ...signed)
    return new Credentials(folder, tokens)
  }

  file(name: 'tokens.csv' | 'sa.key' | 'sa.pub' | 'ca.crt' | 'server.key' | 'server.crt'): string {
    return path.join(this.#folder, name)
  }

  /** Path of a kubeconfig for a user; `server` is where that user reaches the API. */
  kubeconfig(user: string, server = `https://${CONTROL.ipv4}:${API_PORT}`): string {
    const token = this.#tokens.get(user)
    if (token === undefined) throw new RangeError(`no user ${user}`)
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        { name: 'fibula-test', cluster: { server, 'certificate-authority-data': fs.readFileSync(this.file('ca.crt')).toString('base64') } },
      ],
      users: [{ name: user, user: { token } }],
      contexts: [{ name: 'fibula-test', context: { cluster: 'fibula-test', user } }],
      'current-context': 'fibula-test',
    }
    const target = path.join(this.#folder, `${user.replaceAll(':', '-')}-${new URL(server).hostname}.kubeconfig`)
    fs.writeFileSync(target, JSON.stringify(config), { mode: 0o600 })
    return target
  }
}
