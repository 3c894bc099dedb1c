// A thread that opens a BGP session to 127.0.0.1 and then sends a KEEPALIVE every half second, whatever the main thread does.
import net from 'node:net'
import { workerData } from 'node:worker_threads'
import { keepalive, openOf } from '../../bgp/peer/peer-world.ts'

const { port, localAddress }: { port: number; localAddress: string } = workerData
const socket = net.connect({ host: '127.0.0.1', port, localAddress })
socket.on('error', () => {})
socket.write(openOf({ holdTimeSeconds: 3 }))
socket.write(keepalive())
setInterval(() => socket.write(keepalive()), 500)
