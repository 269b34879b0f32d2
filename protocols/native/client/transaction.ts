import { TransactionEnd } from '../frame.ts'
import { addressOf } from './address.ts'
import type { Payload, SendOptions } from './body.ts'
import type { ConsumerOptions } from './consumer.ts'
import { ManifoldError, rolledBack } from './errors.ts'
import type { Hub } from './hub.ts'
import type { Message } from './message.ts'
import type { Producer } from './producer.ts'
import { Puller } from './puller.ts'
import type { WaitOptions } from './wait.ts'

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

  /** @internal */
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
      throw rolledBack()
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

function over(): ManifoldError {
  return new ManifoldError('invalid-transaction', 'the transaction has ended')
}
