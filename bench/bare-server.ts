/**
 * A bare Node server with a small object beside each socket, which answers whatever comes first with CONNECTED: what a
 * connection costs before any broker has done anything for it.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net'

interface Beside {
  readonly socket: Socket
  readonly remotePort: number | undefined
  chunks: number
  bytes: number
}

const connected = Buffer.from('CONNECTED\nversion:1.2\n\n\0\n')
const held = new Set<Beside>()
const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
  const beside: Beside = { socket, remotePort: socket.remotePort, chunks: 0, bytes: 0 }
  held.add(beside)
  socket.on('data', (chunk: Buffer) => {
    beside.chunks += 1
    beside.bytes += chunk.length
    if (beside.chunks === 1) socket.write(connected)
  })
  socket.on('error', () => undefined)
  socket.on('close', () => held.delete(beside))
})
server.listen({ host: '127.0.0.1', port: 0, backlog: 1024 }, () => {
  console.log(`ready stomp tcp://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
process.on('SIGTERM', () => process.exit(0))
