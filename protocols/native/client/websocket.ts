import type { Environment } from './environment.ts'
import { ConnectionError } from './errors.ts'
import type { Transport, TransportEvents } from './wire-peer.ts'

/** What is used of a WebSocket; that of browsers, and that of Node's `ws` package, have it. */
export interface WebSocketLike {
  binaryType: string
  readonly bufferedAmount: number
  send(bytes: Uint8Array): void
  close(): void
  addEventListener(type: string, listener: (event: { readonly data?: unknown; readonly reason?: string }) => void): void
}

export type WebSocketClass = new (url: string, subprotocol: string) => WebSocketLike

export const subprotocol = 'mnp.v1'
/** Bytes that wait in one piece. */
const bufferBytes = 64 * 1024
/** Bytes at least this many go by themselves instead of being copied. */
const copyBytesMax = 8 * 1024
/** Bytes the WebSocket may hold before more is kept from it, how few it must hold again, and how often it is looked at. */
const heldBytesMax = 1024 * 1024
const heldBytesLow = 256 * 1024
const lookMs = 4

/** Opens a WebSocket: `ws://host:port/path` or `wss://…`. Rejects with a ConnectionError. */
export function openWebSocket(
  create: WebSocketClass,
  url: URL,
  given: { readonly environment: Environment; readonly signal: AbortSignal },
  events: TransportEvents,
): Promise<Transport> {
  const { environment, signal } = given
  return new Promise((resolve, reject) => {
    const plain = new URL(url)
    plain.username = ''
    plain.password = ''
    const socket = new create(plain.href, subprotocol)
    socket.binaryType = 'arraybuffer'
    let isOpen = false
    const onAbort = (): void => socket.close()
    signal.addEventListener('abort', onAbort)
    socket.addEventListener('open', () => {
      signal.removeEventListener('abort', onAbort)
      isOpen = true
      resolve(new WebSocketTransport(socket, environment, events))
    })
    socket.addEventListener('message', ({ data }) => {
      if (data instanceof ArrayBuffer) events.data(new Uint8Array(data))
    })
    // Of an error a page is told nothing; that the WebSocket is closed follows.
    socket.addEventListener('error', () => undefined)
    socket.addEventListener('close', ({ reason }) => {
      signal.removeEventListener('abort', onAbort)
      const cause = reason ? new Error(reason) : undefined
      if (isOpen) events.closed(cause)
      else reject(refused(plain, cause))
    })
    if (signal.aborted) onAbort()
  })
}

/** A WebSocket copies what it is given before it returns, so that one buffer is enough. */
class WebSocketTransport implements Transport {
  buffer: Uint8Array
  position: number
  readonly #socket: WebSocketLike
  readonly #environment: Environment
  readonly #events: TransportEvents
  #isDirty: boolean
  #isLooking: boolean

  constructor(socket: WebSocketLike, environment: Environment, events: TransportEvents) {
    this.buffer = new Uint8Array(bufferBytes)
    this.position = 0
    this.#socket = socket
    this.#environment = environment
    this.#events = events
    this.#isDirty = false
    this.#isLooking = false
  }

  get isCongested(): boolean {
    return this.#socket.bufferedAmount > heldBytesMax
  }

  reserve(bytes: number): void {
    if (this.buffer.length - this.position < bytes) {
      this.flush()
      if (this.buffer.length < bytes) this.buffer = new Uint8Array(bytes)
    }
    if (this.#isDirty) return
    this.#isDirty = true
    this.#events.dirty()
  }

  write(bytes: Uint8Array): void {
    if (bytes.length < copyBytesMax) {
      this.reserve(bytes.length)
      this.buffer.set(bytes, this.position)
      this.position += bytes.length
    } else {
      this.flush()
      this.#send(bytes)
    }
  }

  flush(): void {
    this.#isDirty = false
    if (this.position === 0) return
    this.#send(this.buffer.subarray(0, this.position))
    this.position = 0
  }

  end(): void {
    this.#socket.close()
  }

  destroy(): void {
    this.#socket.close()
  }

  #send(bytes: Uint8Array): void {
    this.#socket.send(bytes)
    if (!this.#isLooking && this.isCongested) this.#look()
  }

  #look(): void {
    this.#isLooking = true
    this.#environment.after(lookMs, () => {
      if (this.#socket.bufferedAmount > heldBytesLow) {
        this.#look()
        return
      }
      this.#isLooking = false
      this.#events.drained()
    })
  }
}

function refused(url: URL, cause: Error | undefined): ConnectionError {
  const why = cause === undefined ? 'no broker answers there, or it does not let this page in' : cause.message
  return new ConnectionError('connection-refused', `cannot connect to ${url.href}: ${why}`, { retryable: true, cause })
}
