// Runs inside a namespace: a port of its loopback leads to a unix socket, which namespaces share. Arguments: address, port, path of the socket.
import { connect, createServer } from 'node:net'

const [address = '', port = '', socket = ''] = process.argv.slice(2)
createServer((client) => {
  const upstream = connect(socket)
  for (const each of [client, upstream]) each.on('error', () => {}) // its other end is gone
  client.on('close', () => upstream.destroy())
  upstream.on('close', () => client.destroy())
  client.pipe(upstream)
  upstream.pipe(client)
}).listen(Number(port), address, () => process.stdout.write('ready\n'))
