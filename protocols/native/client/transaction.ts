import { TransactionEnd } from '../frame.ts'
import type { Payload, SendOptions } from './body.ts'
import type { Codec } from './codecs.ts'
import { Consumer, type ConsumerOptions, type Sink } from './consumer.ts'
import { ConnectionError, ManifoldError } from './errors.ts'
import type { Hub } from './hub.ts'
import type { Message } from './message.ts'
import type { Producer } from './producer.ts'
import { type WaitOptions, within } from './wait.ts'

/** Where a transaction sends and receives. */
export interface TransactionHost {
  readonly hub: Hub
  readonly anonymous: Producer<Payload>
  replyWith(to: string, payload: Payload, options: SendOptions): Promise<void>
}

/** Sends and acknowledgements that happen together when the function given to `transaction` returns, or not at all. */
export class TransactionScope {
  readonly #host: TransactionHost
  readonly #number: number
  readonly #pullers: Map<string, Puller>
  readonly #received: { readonly puller: Puller; readonly message: Message<unknown> }[]
  readonly #sends: Promise<void>[]
  /** The connection it belongs to. */
  readonly #epoch: number
  #isOver: boolean

  constructor(host: TransactionHost, number: number) {
    this.#host = host
    this.#number = number
    this.#pullers = new Map()
    this.#received = []
    this.#sends = []
    this.#epoch = host.hub.epoch
    this.#isOver = false
  }

  /** Sends a message once the transaction is committed. Resolves when the broker holds it. */
  send(to: string, payload: Payload, options?: SendOptions & WaitOptions): Promise<void> {
    if (this.#isOver) return Promise.reject(over())
    const sent = this.#host.anonymous.sendTo(addressOf(to), payload, options, this.#number)
    this.#sends.push(sent)
    sent.catch(() => undefined)
    return sent
  }

  /**
   * The next message of a queue, accepted when the transaction is committed and failed when it is rolled back. Undefined if none
   * comes within `timeout`; without one it waits.
   */
  async receive<T = unknown>(
    from: string,
    options: WaitOptions & Pick<ConsumerOptions, 'selector'> = {},
  ): Promise<Message<T> | undefined> {
    if (this.#isOver) throw over()
    const address = addressOf(from)
    const key = `${address} ${options.selector ?? ''}`
    let puller = this.#pullers.get(key)
    if (puller === undefined) {
      puller = new Puller(this.#host, address, { selector: options.selector })
      this.#pullers.set(key, puller)
    }
    const message = await puller.receive(options)
    if (message === undefined) return undefined
    puller.consumer.settleIn(message, this.#number)
    this.#received.push({ puller, message })
    return message as Message<T>
  }

  /** Commits; rejects with everything undone, or with `outcome: 'unknown'` if the connection goes meanwhile. */
  async commit(): Promise<void> {
    this.#isOver = true
    const refused = (await Promise.allSettled(this.#sends)).find((result) => result.status === 'rejected')
    if (refused !== undefined) {
      await this.rollback()
      throw refused.reason
    }
    if (this.#epoch !== this.#host.hub.epoch) {
      await this.rollback()
      throw new ConnectionError('connection-lost', 'the connection was lost: the transaction is rolled back', {
        retryable: true,
      })
    }
    try {
      await this.#end(TransactionEnd.commit)
    } catch (error) {
      if (error instanceof ManifoldError && error.outcome !== 'unknown') await this.#giveBack()
      throw error
    } finally {
      for (const { puller, message } of this.#received) puller.consumer.forget(message)
      await this.#close()
    }
  }

  /** Undoes everything: what was received counts as failed. */
  async rollback(): Promise<void> {
    this.#isOver = true
    try {
      await this.#end(TransactionEnd.rollback)
      await this.#giveBack()
    } catch (error) {
      // A connection that has gone has rolled it back.
      if (!(error instanceof ManifoldError)) throw error
    }
    await this.#close()
  }

  async #end(how: number): Promise<void> {
    const { hub } = this.#host
    await hub.ask((corr) => hub.peer?.endTransaction(corr, this.#number, how))
  }

  async #giveBack(): Promise<void> {
    await Promise.all(this.#received.map(({ message }) => message.fail()))
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#pullers.values()].map(({ consumer }) => consumer.close()))
  }
}

/** Messages taken one by one. */
export class Puller implements Sink {
  readonly consumer: Consumer<unknown>
  readonly #hub: Hub
  readonly #started: Promise<void>
  #waiting: ((message: Message<unknown> | undefined) => void) | undefined
  #failure: ManifoldError | undefined
  #last: Promise<unknown>

  constructor(
    { hub, replyWith }: Pick<TransactionHost, 'hub' | 'replyWith'>,
    address: string,
    options: ConsumerOptions,
    codec?: Codec<unknown>,
  ) {
    this.#hub = hub
    this.consumer = new Consumer<unknown>(hub, { address, options, isPulling: true, codec, replyWith })
    this.#waiting = undefined
    this.#failure = undefined
    this.#last = Promise.resolve()
    this.#started = this.consumer.start(this)
    this.#started.catch(() => undefined)
  }

  /** The next message; undefined if none comes within the time-out. One after the other. */
  receive(options: WaitOptions): Promise<Message<unknown> | undefined> {
    const received = this.#last.then(() => this.#receive(options))
    this.#last = received.catch(() => undefined)
    return received
  }

  ready(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    this.#waiting = undefined
    waiting(this.consumer.take())
  }

  over(error: ManifoldError | undefined): void {
    this.#failure = error ?? over()
    this.#waiting?.(undefined)
    this.#waiting = undefined
  }

  interrupted(): void {
    if (this.#waiting !== undefined) this.consumer.pull()
  }

  async #receive(options: WaitOptions): Promise<Message<unknown> | undefined> {
    await this.#started
    if (this.#failure !== undefined) throw this.#failure
    const waiting = this.consumer.take()
    if (waiting !== undefined) return waiting
    const coming = new Promise<Message<unknown> | undefined>((resolve) => {
      this.#waiting = resolve
    })
    this.consumer.pull()
    try {
      const message = await within(coming, 'receiving', options, this.#hub.environment)
      if (message === undefined && this.#failure !== undefined) throw this.#failure
      return message
    } catch (error) {
      this.#waiting = undefined
      // Without this one the message that comes a moment too late would wait here instead of at the broker.
      await this.consumer.stopPulling()
      const late = this.consumer.take()
      if (late !== undefined) return late
      if (error instanceof ManifoldError && error.code === 'timed-out') return undefined
      throw error
    }
  }
}

function over(): ManifoldError {
  return new ManifoldError('invalid-transaction', 'the transaction has ended')
}

/** A name alone is a queue. */
export function addressOf(name: string): string {
  return name.includes('://') ? name : `queue://${name}`
}
