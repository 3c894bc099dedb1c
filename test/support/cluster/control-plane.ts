// etcd, API server, controller manager and scheduler, in the namespace of the control plane.
import path from 'node:path'
import { exec } from '../../../src/lib/exec.ts'
import { until } from '../poll.ts'
import { toolPath } from '../tools/index.ts'
import type { Credentials } from './credentials.ts'
import { API_PORT, CONTROL, SERVICE_RANGE } from './layout.ts'
import { PATIENCE_MS } from './patience.ts'
import { type Place, Program } from './process.ts'

export class ControlPlane {
  readonly #programs: readonly Program[]

  private constructor(programs: readonly Program[]) {
    this.#programs = programs
  }

  /** Ready to answer. */
  static async start(place: Place, folder: string, credentials: Credentials): Promise<ControlPlane> {
    const start = (tool: string, ...args: readonly string[]) =>
      Program.start(tool, place, [toolPath(tool), ...args], path.join(folder, `${tool}.log`))
    const etcd = start(
      'etcd',
      `--data-dir=${path.join(folder, 'etcd')}`,
      '--listen-client-urls=http://127.0.0.1:2379',
      '--advertise-client-urls=http://127.0.0.1:2379',
      '--listen-peer-urls=http://127.0.0.1:2380',
      '--unsafe-no-fsync',
    )
    const apiServer = start(
      'kube-apiserver',
      '--etcd-servers=http://127.0.0.1:2379',
      `--advertise-address=${CONTROL.ipv4}`,
      '--bind-address=::',
      `--secure-port=${API_PORT}`,
      `--tls-cert-file=${credentials.file('server.crt')}`,
      `--tls-private-key-file=${credentials.file('server.key')}`,
      `--client-ca-file=${credentials.file('ca.crt')}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${credentials.file('sa.pub')}`,
      `--service-account-signing-key-file=${credentials.file('sa.key')}`,
      '--authorization-mode=Node,RBAC',
      '--enable-admission-plugins=NodeRestriction',
      `--token-auth-file=${credentials.file('tokens.csv')}`,
      `--service-cluster-ip-range=${SERVICE_RANGE.ipv4},${SERVICE_RANGE.ipv6}`,
      '--kubelet-preferred-address-types=InternalIP',
      '--allow-privileged=true',
    )
    const admin = credentials.kubeconfig('admin')
    const kubectl = (...args: readonly string[]) =>
      exec(place[0] ?? '', [...place.slice(1), toolPath('kubectl'), '--kubeconfig', admin, ...args])
    await until(
      'the API server is ready',
      async () => {
        for (const each of [etcd, apiServer]) each.assertRunning()
        return await kubectl('get', '--raw', '/readyz')
      },
      { deadlineMs: PATIENCE_MS, everyMs: 200 },
    )
    const controllerManager = start(
      'kube-controller-manager',
      `--kubeconfig=${credentials.kubeconfig('system:kube-controller-manager')}`,
      `--root-ca-file=${credentials.file('ca.crt')}`,
      `--service-account-private-key-file=${credentials.file('sa.key')}`,
      '--use-service-account-credentials',
      '--leader-elect=false',
    )
    const scheduler = start('kube-scheduler', `--kubeconfig=${credentials.kubeconfig('system:kube-scheduler')}`, '--leader-elect=false')
    await until(
      'service accounts are made',
      async () => {
        for (const each of [controllerManager, scheduler]) each.assertRunning()
        return await kubectl('get', 'serviceaccount', 'default')
      },
      { deadlineMs: PATIENCE_MS, everyMs: 200 },
    )
    return new ControlPlane([scheduler, controllerManager, apiServer, etcd])
  }

  async stop(): Promise<void> {
    for (const each of this.#programs) await each.kill()
  }
}
