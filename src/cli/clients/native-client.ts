import { type Connection, connect, ManifoldError, type Message, type Messages } from '../../client.ts'
import { CommandError } from '../failure.ts'
import {
  type Approach,
  type CommandClient,
  headersOf,
  type Intake,
  type Outgoing,
  type Received,
  type Wanted,
} from './client.ts'
import { Ending } from './ending.ts'
import { connectMsMax, refused } from './place.ts'

/** A connection over the native protocol. */
export class NativeClient implements CommandClient {
  readonly #connection: Connection
  readonly #prefetch: number
  readonly #ending: Ending
  readonly #open: Messages<unknown>[]

  private constructor(connection: Connection, prefetch: number) {
    this.#connection = connection
    this.#prefetch = prefetch
    this.#ending = new Ending()
    this.#open = []
    connection.on('closed', ({ error }) => {
      this.#ending.fail(new CommandError(`the connection is lost: ${error?.message ?? 'it was closed'}`))
    })
  }

  static async connect({ url, prefetch, clientId, user, password }: Approach): Promise<NativeClient> {
    try {
      const options = { reconnect: false, timeout: connectMsMax, clientId, user, password } as const
      return new NativeClient(await connect(url, options), prefetch)
    } catch (error) {
      throw error instanceof ManifoldError ? new CommandError(error.message) : error
    }
  }

  get failed(): Promise<never> {
    return this.#ending.failed
  }

  send(message: Outgoing, onConfirmed: () => void): void {
    const { destination, body, isText, persistent, priority, ttlMs: ttl, retain, properties } = message
    this.#connection
      .send(destination, isText ? Buffer.from(body).toString() : body, {
        persistent,
        priority,
        ttl,
        retain,
        properties,
      })
      .then(onConfirmed, (error: Error) => this.#ending.fail(refused(error.message)))
  }

  subscribe({ destination, selector, browses, settles }: Wanted, intake: Intake): void {
    const queue = this.#connection.queue(destination)
    const choice = selector === undefined ? {} : { selector }
    const credit = this.#prefetch
    const messages =
      browses === true ? queue.browse(choice) : queue.consume({ ...choice, credit, ack: settles ? 'explicit' : 'none' })
    this.#open.push(messages)
    this.#hand(messages, intake).then(
      () => intake.end(),
      (error: Error) => this.#ending.fail(refused(error.message)),
    )
  }

  async close(): Promise<void> {
    this.#ending.isExpected = true
    await Promise.all(this.#open.map((messages) => messages.return()))
    await this.#connection.drain()
  }

  destroy(): void {
    this.#ending.isExpected = true
    void this.#connection.close()
  }

  async #hand(messages: Messages<unknown>, intake: Intake): Promise<void> {
    for await (const message of messages) intake.message(received(message))
  }
}

function received(message: Message<unknown>): Received {
  return {
    address: message.address,
    body: Buffer.from(message.bytes),
    headers: () => allHeaders(message),
    accept: () => void message.accept(),
  }
}

function allHeaders(message: Message<unknown>): Record<string, string> {
  return headersOf({
    destination: message.address,
    'message-id': message.id,
    priority: message.priority,
    persistent: message.persistent || undefined,
    redelivered: message.redelivered || undefined,
    'delivery-count': message.deliveryCount || undefined,
    expires: message.expiresAt?.getTime(),
    'correlation-id': message.correlationId,
    'reply-to': message.replyTo,
    type: message.subject,
    'content-type': message.contentType,
    ...message.properties,
    ...message.annotations,
  })
}
