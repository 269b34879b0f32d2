import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

const lf = 10

/** Stands between clients and the broker and counts the heart-beats that pass: packets of nothing but end-of-lines. */
export class Tap {
  readonly port: number
  /** Heart-beats of clients. */
  sent: number
  /** Heart-beats of the broker. */
  received: number
  readonly #server: Server
  readonly #sockets: Set<Socket>
  #isDeaf: boolean

  private constructor(server: Server, brokerPort: number) {
    this.port = (server.address() as AddressInfo).port
    this.sent = 0
    this.received = 0
    this.#server = server
    this.#sockets = new Set()
    this.#isDeaf = false
    server.on('connection', (client) => this.#join(client, connect(brokerPort, '127.0.0.1')))
  }

  static async open(brokerPort: number): Promise<Tap> {
    const server = createServer({ noDelay: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Tap(server, brokerPort)
  }

  /** From now on nothing of the clients reaches the broker. */
  deafen(): void {
    this.#isDeaf = true
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #join(client: Socket, broker: Socket): void {
    client.on('data', (chunk: Buffer) => {
      if (isBeat(chunk)) this.sent += 1
      if (!this.#isDeaf) broker.write(chunk)
    })
    broker.on('data', (chunk: Buffer) => {
      if (isBeat(chunk)) this.received += 1
      client.write(chunk)
    })
    for (const [one, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      this.#sockets.add(one)
      one.on('error', () => undefined)
      one.on('close', () => {
        other.destroy()
        this.#sockets.delete(one)
      })
    }
  }
}

function isBeat(chunk: Buffer): boolean {
  return chunk.every((byte) => byte === lf) || isWebSocketBeat(chunk)
}

/** A WebSocket message of one byte, masked or not, that is an end-of-line. */
function isWebSocketBeat(chunk: Buffer): boolean {
  const [opcode = 0, length, byte = 0] = chunk
  if ((opcode & 0xfc) !== 0x80) return false
  if (chunk.length === 3) return length === 1 && byte === lf
  return chunk.length === 7 && length === 0x81 && ((chunk[6] ?? 0) ^ byte) === lf
}
