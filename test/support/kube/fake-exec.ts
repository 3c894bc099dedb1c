// What of an API server commands need that reach agents through their pods: a list of pods, and executions in them over WebSocket
// (Kubernetes, "remotecommand": stdout is channel 1, stderr 2, the final Status 3).
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type FakePod = {
  readonly name: string
  readonly node: string
  readonly phase?: string
  /** What a command in it writes, and how it ends. */
  readonly execute: (command: readonly string[]) => { readonly stdout?: string; readonly stderr?: string; readonly exitCode?: number }
}

export type FakeCluster = AsyncDisposable & {
  readonly kubeconfig: string
  /** `POD: command`, in order. */
  readonly executed: readonly string[]
  /** Paths with queries of the other requests. */
  readonly asked: readonly string[]
}

const HANDSHAKE = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11' // RFC 6455 §1.3

export async function fakeCluster(pods: readonly FakePod[]): Promise<FakeCluster> {
  const [executed, asked]: [string[], string[]] = [[], []]
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    const { searchParams } = new URL(request.url ?? '/', 'http://server')
    const node = /^spec\.nodeName=(.*)$/.exec(searchParams.get('fieldSelector') ?? '')?.[1]
    const items = pods
      .filter((pod) => node === undefined || pod.node === node)
      .map((pod) => ({
        metadata: { name: pod.name, namespace: 'fibula-system', uid: pod.name, resourceVersion: '1' },
        spec: { nodeName: pod.node },
        status: { phase: pod.phase ?? 'Running' },
      }))
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ kind: 'PodList', apiVersion: 'v1', metadata: { resourceVersion: '1' }, items }))
  })
  server.on('upgrade', (request, socket) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://server')
    const name = /\/pods\/([^/]+)\/exec$/.exec(pathname)?.[1]
    const pod = pods.find((each) => each.name === name)
    if (pod === undefined) return void socket.end('HTTP/1.1 404 Not Found\r\n\r\n')
    const command = searchParams.getAll('command')
    executed.push(`${pod.name}: ${command.join(' ')}`)
    const { stdout = '', stderr = '', exitCode = 0 } = pod.execute(command)
    const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}${HANDSHAKE}`).digest('base64')
    const status =
      exitCode === 0
        ? { kind: 'Status', status: 'Success' }
        : { kind: 'Status', status: 'Failure', reason: 'NonZeroExitCode', message: `command terminated with exit code ${exitCode}` }
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n`,
    )
    if (stdout !== '') socket.write(binaryFrame(1, stdout))
    if (stderr !== '') socket.write(binaryFrame(2, stderr))
    socket.write(binaryFrame(3, JSON.stringify(status)))
    socket.end(Buffer.from([0x88, 0])) // close
    socket.resume() // what the client says is of no interest, but its end is
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  const folder = mkdtempSync(join(tmpdir(), 'fib-kubeconfig-'))
  const kubeconfig = join(folder, 'config')
  const cluster = { name: 'fake', cluster: { server: `http://127.0.0.1:${address.port}`, 'insecure-skip-tls-verify': true } }
  const contexts = [{ name: 'fake', context: { cluster: 'fake', user: 'fake' } }]
  const config = { apiVersion: 'v1', kind: 'Config', clusters: [cluster], users: [{ name: 'fake', user: {} }], contexts }
  writeFileSync(kubeconfig, JSON.stringify({ ...config, 'current-context': 'fake' }))
  return {
    kubeconfig,
    executed,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** One unmasked, final, binary frame (RFC 6455 §5.2); its first octet is the channel. */
function binaryFrame(channel: number, text: string): Buffer {
  const payload = Buffer.concat([Buffer.from([channel]), Buffer.from(text)])
  const { length } = payload
  const head =
    length < 126 ? Buffer.from([0x82, length]) : length < 0x1_0000 ? Buffer.from([0x82, 126, length >> 8, length & 0xff]) : Buffer.alloc(10)
  if (head.length === 10) {
    head.set([0x82, 127])
    head.writeBigUInt64BE(BigInt(length), 2)
  }
  return Buffer.concat([head, payload])
}
