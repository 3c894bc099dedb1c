// Passes connections on, from one socket to another: a path (unix) or HOST:PORT each. Two of them in a row, with a unix socket between,
// lead from this machine into the cluster's network, which no route does.
// Usage: relay.ts --listen ADDRESS --to ADDRESS [--while PID]     ends when that process has ended
import fs from 'node:fs'
import { connect, createServer, type TcpNetConnectOpts } from 'node:net'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { listen: { type: 'string' }, to: { type: 'string' }, while: { type: 'string' } } })
if (values.listen === undefined || values.to === undefined) throw new Error('relay: --listen ADDRESS --to ADDRESS')

type Address = TcpNetConnectOpts | { readonly path: string }

function address(text: string): Address {
  if (text.startsWith('/')) return { path: text }
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) }
}

const [from, to] = [address(values.listen), address(values.to)]
if ('path' in from) fs.rmSync(from.path, { force: true })
createServer((client) => {
  const server = connect(to)
  client.on('error', () => server.destroy()) // one end has gone: the other follows
  server.on('error', () => client.destroy())
  client.pipe(server).pipe(client)
}).listen(from)

const { while: pid } = values
if (pid !== undefined)
  setInterval(() => {
    if (!fs.existsSync(`/proc/${pid}`)) process.exit(0)
  }, 1_000)
