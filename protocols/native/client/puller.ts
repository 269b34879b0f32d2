import type { Payload, SendOptions } from './body.ts'
import type { Codec } from './codecs.ts'
import { Consumer, type ConsumerOptions, type Sink } from './consumer.ts'
import { closed, ManifoldError } from './errors.ts'
import type { Hub } from './hub.ts'
import type { Message } from './message.ts'
import { type WaitOptions, within } from './wait.ts'

interface PullerHost {
  readonly hub: Hub
  replyWith(to: string, payload: Payload, options: SendOptions): Promise<void>
}

/** Messages taken one by one. */
export class Puller implements Sink {
  readonly consumer: Consumer<unknown>
  readonly #hub: Hub
  readonly #started: Promise<void>
  #waiting: ((message: Message<unknown> | undefined) => void) | undefined
  #failure: ManifoldError | undefined
  #last: Promise<unknown>

  constructor({ hub, replyWith }: PullerHost, address: string, options: ConsumerOptions, codec?: Codec<unknown>) {
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
    this.#failure = error ?? closed()
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
