import rhea, { type Connection, type Delivery, type EventContext, type Message, type Receiver, type Sender } from 'rhea'
import type { CommandError } from '../failure.ts'
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
import { connectMsMax, endedByBroker, lost, notConnected, notLetIn, placeOf, refused } from './place.ts'

/** rhea's messages have the members of both sections; its types leave some out. */
type Fields = Partial<Message> & { readonly delivery_count?: number }

interface Waiting {
  readonly message: Outgoing
  readonly onConfirmed: () => void
}

/** A connection over AMQP 1.0. */
export class AmqpClient implements CommandClient {
  readonly #connection: Connection
  readonly #prefetch: number
  readonly #ending: Ending
  readonly #links: Map<string, SenderLink>

  private constructor(connection: Connection, { url, prefetch }: Approach) {
    this.#connection = connection
    this.#prefetch = prefetch
    this.#ending = new Ending()
    this.#links = new Map()
    connection.on('connection_error', (context) => this.#fail(endedByBroker(sentenceOf(context.connection?.error))))
    connection.on('disconnected', ({ error }) => this.#fail(lost(error?.message ?? 'it was closed', url)))
    for (const part of ['session', 'sender', 'receiver'] as const) {
      connection.on(`${part}_error`, (context: EventContext) => this.#fail(refused(sentenceOf(context[part]?.error))))
    }
    for (const fault of ['protocol_error', 'error']) {
      connection.on(fault, (error: unknown) => this.#fail(lost(String(error), url)))
    }
  }

  static connect(approach: Approach): Promise<AmqpClient> {
    const { url, clientId } = approach
    const { host, port, user, password } = placeOf(approach, 'amqp')
    const container = rhea.create_container(clientId === undefined ? {} : { id: clientId })
    const credentials = { username: user ?? 'anonymous', ...(password === undefined ? {} : { password }) }
    return new Promise((resolve, reject) => {
      const connection = container.connect({ host, port, reconnect: false, ...credentials })
      const giveUp = (error: CommandError): void => {
        clearTimeout(timer)
        connection.removeAllListeners()
        for (const fault of ['protocol_error', 'error']) connection.on(fault, () => undefined)
        connection.close()
        reject(error)
      }
      const timer = setTimeout(
        () => giveUp(notConnected({ message: `no answer for ${connectMsMax} ms` }, url)),
        connectMsMax,
      )
      connection.once('connection_open', () => {
        clearTimeout(timer)
        connection.removeAllListeners()
        resolve(new AmqpClient(connection, approach))
      })
      connection.once('connection_error', (context) => giveUp(notLetIn(sentenceOf(context.connection?.error), url)))
      connection.once('protocol_error', ({ message }) => giveUp(notConnected({ message }, url)))
      connection.once('disconnected', ({ error }) => giveUp(notConnected(error ?? { message: 'it hung up' }, url)))
    })
  }

  get failed(): Promise<never> {
    return this.#ending.failed
  }

  send(message: Outgoing, onConfirmed: () => void): void {
    const { destination } = message
    let link = this.#links.get(destination)
    if (link === undefined) {
      link = new SenderLink(this.#connection.open_sender(destination), (error) => this.#fail(error))
      this.#links.set(destination, link)
    }
    link.send({ message, onConfirmed })
  }

  subscribe({ destination, selector, browses, settles }: Wanted, intake: Intake): void {
    const receiver = this.#connection.open_receiver({
      source: {
        address: destination,
        ...(browses === true ? { distribution_mode: 'copy' } : {}),
        ...(selector === undefined ? {} : { filter: rhea.filter.selector(selector) }),
      },
      autoaccept: false,
      credit_window: 0,
      ...(settles ? {} : { snd_settle_mode: 1 }),
    })
    receiver.add_credit(this.#prefetch)
    let count = 0
    receiver.on('message', ({ message, delivery }: EventContext) => {
      count += 1
      if (message === undefined || delivery === undefined) return
      const accept = (): void => {
        if (!delivery.settled) delivery.accept()
        if (browses !== true) receiver.add_credit(1)
      }
      intake.message(received(message, receiver, accept))
    })
    if (browses !== true) return
    // All there is has been shown once the broker takes credit away that it has not used (part 2, section 2.6.7).
    receiver.drain_credit()
    receiver.on('receiver_drained', () => {
      if (count < this.#prefetch) {
        intake.end()
        return
      }
      count = 0
      receiver.add_credit(this.#prefetch)
      receiver.drain_credit()
    })
  }

  close(): Promise<void> {
    this.#ending.isExpected = true
    return new Promise((resolve) => {
      this.#connection.once('connection_close', () => resolve())
      this.#connection.once('disconnected', () => resolve())
      this.#connection.close()
    })
  }

  destroy(): void {
    this.#ending.isExpected = true
    this.#connection.close()
  }

  #fail(error: CommandError): void {
    this.#ending.fail(error)
  }
}

/** Sends as the broker gives credit. */
class SenderLink {
  readonly #sender: Sender
  readonly #waiting: Waiting[]
  readonly #unsettled: Map<Delivery, () => void>
  readonly #fail: (error: CommandError) => void

  constructor(sender: Sender, fail: (error: CommandError) => void) {
    this.#sender = sender
    this.#waiting = []
    this.#unsettled = new Map()
    this.#fail = fail
    sender.on('sendable', () => this.#flush())
    sender.on('accepted', ({ delivery }: EventContext) => this.#confirmed(delivery))
    for (const outcome of ['rejected', 'released', 'modified']) {
      sender.on(outcome, ({ delivery }: EventContext) => this.#refused(outcome, delivery))
    }
  }

  send(waiting: Waiting): void {
    this.#waiting.push(waiting)
    if (this.#waiting.length === 1) this.#flush()
  }

  #flush(): void {
    let count = 0
    for (const { message, onConfirmed } of this.#waiting) {
      if (!this.#sender.sendable()) break
      this.#unsettled.set(this.#sender.send(toMessage(message)), onConfirmed)
      count += 1
    }
    this.#waiting.splice(0, count)
  }

  #confirmed(delivery: Delivery | undefined): void {
    if (delivery === undefined) return
    this.#unsettled.get(delivery)?.()
    this.#unsettled.delete(delivery)
  }

  #refused(outcome: string, delivery: Delivery | undefined): void {
    const error = (delivery?.remote_state as { readonly error?: unknown } | undefined)?.error
    this.#fail(refused(error === undefined ? `the message was ${outcome}` : sentenceOf(error)))
  }
}

function toMessage({ destination, body, isText, persistent, priority, ttlMs, retain, properties }: Outgoing): Message {
  return {
    to: destination,
    body: isText ? Buffer.from(body).toString() : rhea.message.data_section(Buffer.from(body)),
    durable: persistent,
    application_properties: { ...properties },
    ...(priority === undefined ? {} : { priority }),
    ...(ttlMs === undefined ? {} : { ttl: ttlMs }),
    ...(retain === true ? { message_annotations: { 'x-opt-retain': true } } : {}),
  }
}

function received(message: Message, receiver: Receiver, accept: () => void): Received {
  return {
    address: message.to ?? receiver.source.address,
    body: bodyOf(message.body),
    headers: () => allHeaders(message as Fields, receiver),
    accept,
  }
}

/** Text and data as they are; what is neither as JSON. */
function bodyOf(body: unknown): Buffer {
  if (body === undefined || body === null) return Buffer.alloc(0)
  if (typeof body === 'string') return Buffer.from(body)
  const content = (body as { readonly content?: unknown }).content
  if (Buffer.isBuffer(body) || Buffer.isBuffer(content)) return Buffer.from((content ?? body) as Buffer)
  return Buffer.from(JSON.stringify(content ?? body))
}

function allHeaders(message: Fields, receiver: Receiver): Record<string, string> {
  const { ttl, absolute_expiry_time } = message
  const now = Math.round(performance.timeOrigin + performance.now())
  return headersOf({
    destination: message.to ?? receiver.source.address,
    'message-id': message.message_id,
    priority: message.priority,
    persistent: message.durable || undefined,
    'delivery-count': message.delivery_count || undefined,
    expires: absolute_expiry_time?.valueOf() ?? (ttl === undefined ? undefined : now + ttl),
    'correlation-id': message.correlation_id,
    'reply-to': message.reply_to,
    type: message.subject,
    'content-type': message.content_type,
    ...message.application_properties,
    ...message.message_annotations,
  })
}

function sentenceOf(error: unknown): string {
  const { condition, description } = (error ?? {}) as { readonly condition?: string; readonly description?: string }
  return description ?? condition ?? 'it did not say why'
}
