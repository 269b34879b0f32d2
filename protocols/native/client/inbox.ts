import type { Payload, SendOptions } from './body.ts'
import { Consumer, type Sink } from './consumer.ts'
import { ConnectionError, type ManifoldError } from './errors.ts'
import type { Hub } from './hub.ts'
import type { Message } from './message.ts'

interface Asking {
  readonly resolve: (message: Message<unknown>) => void
  readonly reject: (error: ManifoldError) => void
}

/** The one place where the answers to all requests of a connection come in: a temporary queue, made when it is first needed. */
export class Inbox implements Sink {
  readonly #hub: Hub
  readonly #replyWith: (to: string, payload: Payload, options: SendOptions) => Promise<void>
  readonly #asking: Map<string, Asking>
  #lastRequest: number
  #address: Promise<string> | undefined
  #consumer: Consumer<unknown> | undefined

  constructor(hub: Hub, replyWith: (to: string, payload: Payload, options: SendOptions) => Promise<void>) {
    this.#hub = hub
    this.#replyWith = replyWith
    this.#asking = new Map()
    this.#lastRequest = 0
    this.#address = undefined
    this.#consumer = undefined
  }

  /** Where answers are to be sent. */
  address(): Promise<string> {
    this.#address ??= this.#open().catch((error: unknown) => {
      this.#address = undefined
      throw error
    })
    return this.#address
  }

  /** A number for one more request, and its answer. */
  expect(): {
    readonly correlationId: string
    readonly answer: Promise<Message<unknown>>
    readonly forget: () => void
  } {
    this.#lastRequest += 1
    const correlationId = String(this.#lastRequest)
    const answer = new Promise<Message<unknown>>((resolve, reject) => {
      this.#asking.set(correlationId, { resolve, reject })
    })
    // A request that could not be sent has nobody who awaits its answer.
    answer.catch(() => undefined)
    return { correlationId, answer, forget: () => this.#asking.delete(correlationId) }
  }

  ready(): void {
    for (let message = this.#consumer?.take(); message !== undefined; message = this.#consumer?.take()) {
      const key = String(message.correlationId)
      const asking = this.#asking.get(key)
      this.#asking.delete(key)
      asking?.resolve(message)
    }
  }

  over(): void {
    this.#lose()
  }

  /** The temporary queue has gone with its connection: no answer will come. */
  interrupted(): void {
    this.#lose()
  }

  async #open(): Promise<string> {
    const address = await this.#hub.temporaryQueue()
    const consumer = new Consumer<unknown>(this.#hub, { address, options: { ack: 'none' }, replyWith: this.#replyWith })
    this.#consumer = consumer
    await consumer.start(this)
    return address
  }

  #lose(): void {
    const consumer = this.#consumer
    this.#consumer = undefined
    this.#address = undefined
    const sentence = 'the connection was lost before the answer came: the request may have been carried out'
    const asking = [...this.#asking.values()]
    this.#asking.clear()
    for (const { reject } of asking) {
      reject(new ConnectionError('connection-lost', sentence, { retryable: true, outcome: 'unknown' }))
    }
    void consumer?.close()
  }
}
