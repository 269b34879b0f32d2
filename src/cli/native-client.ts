import { type Connection, connect, ManifoldError, type Message, type Messages } from '../client.ts'
import type { CommandClient, Received } from './client.ts'
import { CommandError } from './failure.ts'
import type { Headers } from './stompit.ts'

const connectMsMax = 5_000
/** Headers of a command that are fields of a message; all others are properties. */
const fieldNames = new Set(['destination', 'content-type', 'persistent', 'priority', 'expires'])

/** A connection of a command over the native protocol. */
export class NativeCommandClient implements CommandClient {
  readonly failed: Promise<never>
  readonly #connection: Connection
  #fail: (error: Error) => void
  #messages: Messages<unknown> | undefined
  #isClosing: boolean

  private constructor(connection: Connection) {
    this.#connection = connection
    this.#fail = () => undefined
    this.#messages = undefined
    this.#isClosing = false
    this.failed = new Promise((_resolve, reject) => {
      this.#fail = reject
    })
    // Whoever awaits it is told; nobody need.
    this.failed.catch(() => undefined)
    connection.on('closed', ({ error }) => {
      if (!this.#isClosing) this.#fail(new CommandError(`the connection is lost: ${error?.message ?? 'it was closed'}`))
    })
  }

  static async connect(url: string): Promise<NativeCommandClient> {
    try {
      return new NativeCommandClient(await connect(url, { reconnect: false, timeout: connectMsMax }))
    } catch (error) {
      throw error instanceof ManifoldError ? new CommandError(error.message) : error
    }
  }

  send(headers: Headers, body: Uint8Array, onConfirmed: () => void): void {
    const properties = Object.fromEntries(Object.entries(headers).filter(([name]) => !fieldNames.has(name)))
    const isText = headers['content-type'] !== undefined
    const { priority, expires } = headers
    const options = {
      persistent: headers.persistent === 'true',
      priority: priority === undefined ? undefined : Number(priority),
      ttl: expires === undefined ? undefined : Number(expires) - Math.round(performance.timeOrigin + performance.now()),
      properties,
    }
    this.#connection
      .send(String(headers.destination), isText ? Buffer.from(body).toString() : body, options)
      .then(onConfirmed, (error: Error) => this.#refused(error))
  }

  subscribe(headers: Headers, onMessage: (message: Received) => void): void {
    const { destination, selector, browser } = headers
    const queue = this.#connection.queue(String(destination))
    const choice = selector === undefined ? {} : { selector: String(selector) }
    const messages =
      browser === 'true'
        ? queue.browse(choice)
        : queue.consume({ ...choice, credit: Number(headers['activemq.prefetchSize'] ?? 1000) })
    this.#messages = messages
    this.#hand(messages, onMessage).then(
      () => onMessage({ headers: { browser: 'end' }, body: Buffer.alloc(0), accept: () => undefined }),
      (error: Error) => this.#refused(error),
    )
  }

  acknowledge(message: Received): void {
    message.accept()
  }

  async close(): Promise<void> {
    this.#isClosing = true
    await this.#messages?.return()
    await this.#connection.drain()
  }

  destroy(): void {
    this.#isClosing = true
    void this.#connection.close()
  }

  async #hand(messages: Messages<unknown>, onMessage: (message: Received) => void): Promise<void> {
    for await (const message of messages) {
      onMessage({ headers: headersOf(message), body: Buffer.from(message.bytes), accept: () => void message.accept() })
    }
  }

  #refused(error: Error): void {
    if (!this.#isClosing) this.#fail(new CommandError(`the broker refuses: ${error.message}`))
  }
}

function headersOf(message: Message<unknown>): Record<string, string> {
  const headers: Record<string, string> = {
    destination: message.address,
    'message-id': message.id,
    priority: String(message.priority),
  }
  const add = (name: string, value: unknown): void => {
    if (value !== undefined) headers[name] = String(value)
  }
  if (message.persistent) add('persistent', true)
  if (message.redelivered) add('redelivered', true)
  if (message.deliveryCount > 0) add('delivery-count', message.deliveryCount)
  add('expires', message.expiresAt?.getTime())
  add('correlation-id', message.correlationId)
  add('reply-to', message.replyTo)
  add('type', message.subject)
  add('content-type', message.contentType)
  for (const [name, value] of Object.entries({ ...message.properties, ...message.annotations })) add(name, value)
  return headers
}
