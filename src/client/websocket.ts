import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { request as requestPlain } from 'node:http'
import { request as requestSecure } from 'node:https'
import type { Duplex } from 'node:stream'
import { type Carrier, type CarrierEvents, ConnectionError } from '../../protocols/native/client/index.ts'
import { subprotocol } from '../../protocols/native/client/websocket.ts'
import { headBytesMax, mask, Opcode, putHead, wordsOf } from '../transport/websocket-frame.ts'
import { WebSocketReader } from '../transport/websocket-reader.ts'
import { refused, type SocketPlace } from './sockets.ts'

/** RFC 6455 §4.2.2 */
const acceptSuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const keyBytes = 4
const isMasked = 0x80
const normalClose = Uint8Array.of(0x03, 0xe8)

/**
 * Opens a WebSocket from Node, `ws://host:port/path` or `wss://…`: Node's own HTTP shakes hands (RFC 6455 §4.1), and what is written
 * is masked where it is. Rejects with a ConnectionError that says what to do.
 */
export function openNodeWebSocket(
  { url, tls }: Omit<SocketPlace, 'scheme'>,
  events: CarrierEvents,
  signal: AbortSignal,
): Promise<Carrier> {
  const key = randomBytes(16).toString('base64')
  const request = (url.protocol === 'wss:' ? requestSecure : requestPlain)({
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port,
    path: url.pathname + url.search,
    agent: false,
    ...tls,
    signal,
    headers: {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': key,
      'Sec-WebSocket-Protocol': subprotocol,
    },
  })
  return new Promise((resolve, reject) => {
    request.on('error', (error) =>
      reject(signal.aborted ? new ConnectionError('aborted', 'connecting was aborted') : refused(url, error)),
    )
    request.on('response', (response) => {
      response.resume()
      reject(refused(url, new Error(`it answers ${response.statusCode} ${response.statusMessage} and no WebSocket`)))
    })
    request.on('upgrade', (response, socket, head) => {
      const fault = faultOf(response, key)
      if (fault === undefined) resolve(new WebSocketCarrier(socket, head, events))
      else {
        socket.destroy()
        reject(refused(url, new Error(fault)))
      }
    })
    request.end()
  })
}

/** §4.1: what is wrong with the answer to the handshake. */
function faultOf({ headers }: IncomingMessage, key: string): string | undefined {
  const accept = createHash('sha1')
    .update(key + acceptSuffix)
    .digest('base64')
  if (headers['sec-websocket-accept'] !== accept) return 'its answer belongs to another handshake'
  if (headers['sec-websocket-protocol'] !== subprotocol) return `it does not speak ${subprotocol}`
  return headers['sec-websocket-extensions'] === undefined ? undefined : 'it uses an extension that nobody asked for'
}

class WebSocketCarrier implements Carrier {
  readonly #socket: Duplex
  readonly #reader: WebSocketReader
  readonly #events: CarrierEvents
  #isClosing: boolean

  constructor(socket: Duplex, head: Buffer, events: CarrierEvents) {
    this.#socket = socket
    this.#reader = new WebSocketReader(false, 'server')
    this.#events = events
    this.#isClosing = false
    let cause: Error | undefined
    socket.on('error', (error) => {
      cause = error
    })
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('end', () => socket.end())
    socket.on('close', () => events.closed(cause))
    if (head.length > 0) socket.unshift(head)
  }

  write(bytes: Uint8Array, done: () => void, mayChange: boolean): void {
    this.#send(Opcode.binary, mayChange ? bytes : new Uint8Array(bytes), done)
  }

  cork(): void {
    this.#socket.cork()
  }

  uncork(): void {
    this.#socket.uncork()
  }

  end(): void {
    this.#close(normalClose)
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** One frame; the payload is masked in place. */
  #send(opcode: number, payload: Uint8Array, done?: () => void): void {
    const head = Buffer.allocUnsafe(headBytesMax + keyBytes)
    const key = randomBytes(keyBytes)
    const at = putHead(head, 0, opcode, payload.length)
    head[1] = (head[1] as number) | isMasked
    head.set(key, at)
    mask(payload, wordsOf(payload), 0, payload.length, key)
    this.#socket.cork()
    this.#socket.write(head.subarray(0, at + keyBytes))
    this.#socket.write(payload, done)
    this.#socket.uncork()
  }

  #read(chunk: Buffer): void {
    const reader = this.#reader
    const data = reader.push(chunk)
    if (data.length > 0) this.#events.data(data)
    const { ping, ending } = reader
    reader.ping = undefined
    if (ping !== undefined) this.#send(Opcode.pong, ping)
    if (ending === undefined) return
    this.#close(Uint8Array.of(ending.code >> 8, ending.code))
    this.#socket.end()
  }

  /** §5.5.1: says that it ends, once. */
  #close(payload: Uint8Array): void {
    if (this.#isClosing) return
    this.#isClosing = true
    this.#send(Opcode.close, new Uint8Array(payload))
  }
}
