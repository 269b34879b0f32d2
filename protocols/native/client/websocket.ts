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
/** Bytes the WebSocket may hold before more is kept from it, and how often it is looked at then. */
const bufferedBytesMax = 256 * 1024
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
    let isOver = false
    const over = (error: Error | undefined): void => {
      if (isOver) return
      isOver = true
      signal.removeEventListener('abort', onAbort)
      if (isOpen) events.closed(error)
      else reject(refused(plain, error))
    }
    const onAbort = (): void => {
      over(new Error('connecting was aborted'))
      socket.close()
    }
    signal.addEventListener('abort', onAbort)
    socket.addEventListener('open', () => {
      signal.removeEventListener('abort', onAbort)
      isOpen = true
      resolve(new WebSocketTransport(socket, environment, () => over(undefined)))
    })
    socket.addEventListener('message', ({ data }) => {
      if (data instanceof ArrayBuffer) events.data(new Uint8Array(data))
    })
    socket.addEventListener('error', () => undefined)
    socket.addEventListener('close', ({ reason }) => over(reason ? new Error(reason) : undefined))
    if (signal.aborted) onAbort()
  })
}

class WebSocketTransport implements Transport {
  readonly #socket: WebSocketLike
  readonly #environment: Environment
  readonly #onDestroyed: () => void
  /** Told once the WebSocket holds less. */
  #waiting: (() => void)[]

  constructor(socket: WebSocketLike, environment: Environment, onDestroyed: () => void) {
    this.#socket = socket
    this.#environment = environment
    this.#onDestroyed = onDestroyed
    this.#waiting = []
  }

  write(bytes: Uint8Array, done: () => void): void {
    // It copies what it is given before it returns.
    this.#socket.send(bytes)
    if (this.#waiting.length === 0 && this.#socket.bufferedAmount <= bufferedBytesMax) done()
    else if (this.#waiting.push(done) === 1) this.#look()
  }

  end(): void {
    this.#socket.close()
  }

  destroy(): void {
    this.#socket.close()
    this.#onDestroyed()
  }

  #look(): void {
    this.#environment.after(lookMs, () => {
      if (this.#socket.bufferedAmount > bufferedBytesMax) {
        this.#look()
        return
      }
      for (const done of this.#waiting.splice(0)) done()
    })
  }
}

function refused(url: URL, cause: Error | undefined): ConnectionError {
  const why = cause === undefined ? 'no broker answers there, or it does not let this page in' : cause.message
  return new ConnectionError('connection-refused', `cannot connect to ${url.href}: ${why}`, { retryable: true, cause })
}
