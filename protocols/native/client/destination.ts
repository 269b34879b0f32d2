import type { Fields } from '../encoder.ts'
import type { Payload, SendOptions } from './body.ts'
import type { Codec } from './codecs.ts'
import { Consumer, type ConsumerOptions } from './consumer.ts'
import { NoRespondersError, TimeoutError } from './errors.ts'
import type { Hub } from './hub.ts'
import type { Inbox } from './inbox.ts'
import { Messages } from './intake.ts'
import type { Message } from './message.ts'
import { Producer, type ProducerOptions } from './producer.ts'
import { Puller } from './puller.ts'
import { type WaitOptions, within } from './wait.ts'
import { type Handler, type WorkerOptions, Workers } from './workers.ts'

/** What destinations need of their connection. */
export interface DestinationHost {
  readonly hub: Hub
  readonly inbox: Inbox
  /** Milliseconds that a call may take that says nothing else. */
  readonly timeout: number | undefined
  /** The producer that all sends to an address share that ask for none of their own. */
  sharedProducer(address: string): Producer<Payload>
  replyWith(to: string, payload: Payload, options: SendOptions): Promise<void>
  /** Workers that `drain` waits for. */
  started(workers: Workers<never>): void
}

export interface Inspection {
  readonly exists: boolean
  /** Of a queue: waiting, delayed and unsettled. */
  readonly messages: number | undefined
  readonly unsettled: number | undefined
  readonly consumers: number
}

const requestMsDefault = 30_000

/** A queue or a topic, as this connection sees it. */
export class Destination<T = unknown> {
  /** `queue://orders` */
  readonly address: string
  readonly #host: DestinationHost
  readonly #codec: Codec<T> | undefined
  #puller: Puller | undefined

  /** @internal */
  constructor(host: DestinationHost, address: string, codec: Codec<T> | undefined) {
    this.address = address
    this.#host = host
    this.#codec = codec
    this.#puller = undefined
  }

  /** Sends one message and resolves when it is stored. */
  send(value: Sendable<T>, options?: SendOptions & WaitOptions): Promise<void> {
    const { timeout } = this.#host
    const waits = timeout === undefined || options?.timeout !== undefined ? options : { ...options, timeout }
    const payload = this.#codec === undefined ? value : this.#codec.encode(value as T)
    return this.#host.sharedProducer(this.address).send(payload as Payload, waits)
  }

  /** A producer of its own: with a name, or with another `confirm`. */
  producer(options: ProducerOptions = {}): Producer<Sendable<T>> {
    const { hub, timeout } = this.#host
    const codec = this.#codec as Codec<Sendable<T>> | undefined
    return new Producer(hub, this.address, { timeout, ...options }, codec)
  }

  /** The messages, one after the other; each is to be settled (`await message.accept()`). Leaving the loop closes the consumer. */
  consume(options?: ConsumerOptions & WaitOptions): Messages<T>
  /** Calls the handler with each message, `concurrency` at a time; the handler settles them. */
  consume(handler: Handler<T>, options?: ConsumerOptions & WorkerOptions): Workers<T>
  consume(
    first: Handler<T> | (ConsumerOptions & WaitOptions) | undefined = {},
    second: ConsumerOptions & WorkerOptions = {},
  ): Messages<T> | Workers<T> {
    if (typeof first === 'function') return this.#work(first, second, false)
    return new Messages<T>(this.#consumer(first), this.#host.hub, first)
  }

  /**
   * Calls the handler with each message: accepted when it returns, failed when it throws. What it returns is sent to `replyTo`, if
   * the message has one.
   */
  process(handler: Handler<T>, options: ConsumerOptions & WorkerOptions = {}): Workers<T> {
    return this.#work(handler, options, true)
  }

  /** The next message; undefined if none comes within `timeout`. */
  async receive(options: WaitOptions = {}): Promise<Message<T> | undefined> {
    this.#puller ??= new Puller(this.#host, this.address, {}, this.#codec as Codec<unknown> | undefined)
    return (await this.#puller.receive(options)) as Message<T> | undefined
  }

  /** Looks at the messages of a queue and leaves them there. */
  browse(options: Pick<ConsumerOptions, 'selector' | 'credit'> & WaitOptions = {}): Messages<T> {
    return new Messages<T>(this.#consumer(options, true), this.#host.hub, options)
  }

  /** Asks and resolves with the answer. Rejects with a TimeoutError, or a NoRespondersError if nobody consumes. */
  async request<Reply = unknown>(
    value: Sendable<T>,
    options: SendOptions & WaitOptions & { readonly reply?: Codec<Reply> } = {},
  ): Promise<Message<Reply>> {
    const { inbox, hub, timeout: general } = this.#host
    const { timeout = general ?? requestMsDefault, signal, reply, ...rest } = options
    const replyTo = await within(inbox.address(), 'the request', { signal, timeout }, hub.environment)
    const { correlationId, answer, forget } = inbox.expect()
    const send = { persistent: false, ttl: timeout, ...rest, replyTo, correlationId }
    try {
      await this.send(value, { ...send, signal, timeout })
      const message = await within(answer, 'the request', { signal, timeout }, hub.environment)
      return reply === undefined ? (message as Message<Reply>) : message.as(reply)
    } catch (error) {
      if (error instanceof TimeoutError && (await this.inspect().catch(() => undefined))?.consumers === 0) {
        throw new NoRespondersError(this.address)
      }
      throw error
    } finally {
      forget()
    }
  }

  /** What the broker has of it now. */
  async inspect(options?: WaitOptions): Promise<Inspection> {
    const fields = await this.#administer('inspect', options)
    return {
      exists: fields.flag('exists'),
      messages: fields.number('messages'),
      unsettled: fields.number('unsettled'),
      consumers: fields.number('consumers') ?? 0,
    }
  }

  /** Makes it, if it is not there. */
  async declare(options?: WaitOptions): Promise<void> {
    await this.#administer('declare', options)
  }

  /** Removes what waits in a queue. Returns how many messages that were. */
  async purge(options?: WaitOptions): Promise<number> {
    return (await this.#administer('purge', options)).number('removed') ?? 0
  }

  /** Removes it with all it holds. */
  async delete(options?: WaitOptions): Promise<void> {
    await this.#administer('delete', options)
  }

  /** Ends a durable subscription of this client for good. */
  async unsubscribe(name: string, options?: WaitOptions): Promise<void> {
    await this.#administer('unsubscribe', options, { name })
  }

  #administer(op: string, options?: WaitOptions, about: Fields = { address: this.address }) {
    return this.#host.hub.destination({ op, ...about }, options)
  }

  #work(handler: Handler<T>, options: ConsumerOptions & WorkerOptions, settles: boolean): Workers<T> {
    const { concurrency = 1 } = options
    const consumer = this.#consumer({ ...options, credit: options.credit ?? concurrency })
    const workers = new Workers<T>(consumer, handler, this.#host.hub, settles, options)
    this.#host.started(workers as unknown as Workers<never>)
    return workers
  }

  #consumer(options: ConsumerOptions, isBrowser = false): Consumer<T> {
    const { hub, replyWith } = this.#host
    return new Consumer<T>(hub, { address: this.address, options, isBrowser, codec: this.#codec, replyWith })
  }
}

/** What may be sent to a destination: values of its codec, or anything if it has none. */
export type Sendable<T> = unknown extends T ? Payload : T
