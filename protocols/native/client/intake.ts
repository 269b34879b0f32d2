import type { Consumer, Sink } from './consumer.ts'
import type { ManifoldError } from './errors.ts'
import type { Hub } from './hub.ts'
import type { Message } from './message.ts'
import { type WaitOptions, watch } from './wait.ts'

interface Waiting<T> {
  readonly resolve: (result: IteratorResult<Message<T>, undefined>) => void
  readonly reject: (error: Error) => void
  release: (() => void) | undefined
}

/** The messages of a consumer as an async iterator. Leaving the loop closes the consumer; what is not settled goes back. */
export class Messages<T> implements AsyncIterableIterator<Message<T>>, Sink, AsyncDisposable {
  readonly #consumer: Consumer<T>
  readonly #release: (() => void) | undefined
  readonly #timeout: number | undefined
  readonly #hub: Hub
  #waiting: Waiting<T>[]
  #failure: Error | undefined
  #isDone: boolean

  /** @internal */
  constructor(consumer: Consumer<T>, hub: Hub, { signal, timeout }: WaitOptions) {
    this.#consumer = consumer
    this.#waiting = []
    this.#failure = undefined
    this.#isDone = false
    // The signal ends the loop; a time-out is for each message, and is looked to in `next`.
    this.#timeout = timeout
    this.#hub = hub
    this.#release = watch('consuming', { signal }, hub.environment, () => void this.return())
    consumer.start(this).catch((error: ManifoldError) => this.over(error))
  }

  next(): Promise<IteratorResult<Message<T>, undefined>> {
    const value = this.#consumer.take()
    if (value !== undefined) return Promise.resolve({ value, done: false })
    if (this.#isDone) return this.#end()
    return new Promise((resolve, reject) => {
      const waiting: Waiting<T> = { resolve, reject, release: undefined }
      this.#waiting.push(waiting)
      waiting.release = watch('waiting for a message', { timeout: this.#timeout }, this.#hub.environment, (error) => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
        reject(error)
        // A loop that is left by an error does not close what it loops over.
        void this.return()
      })
    })
  }

  async return(): Promise<IteratorResult<Message<T>, undefined>> {
    this.over(undefined)
    await this.#consumer.close()
    return { value: undefined, done: true }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  /** @internal */
  ready(): void {
    while (this.#waiting.length > 0) {
      const value = this.#consumer.take()
      if (value === undefined) return
      const waiting = this.#waiting.shift()
      waiting?.release?.()
      waiting?.resolve({ value, done: false })
    }
  }

  /** @internal */
  over(error: ManifoldError | undefined): void {
    if (this.#isDone) return
    this.#isDone = true
    this.#failure = error?.code === 'closed' ? undefined : error
    this.#release?.()
    for (const { resolve, reject, release } of this.#waiting.splice(0)) {
      release?.()
      void this.#end().then(resolve, reject)
    }
  }

  #end(): Promise<IteratorResult<Message<T>, undefined>> {
    const failure = this.#failure
    this.#failure = undefined
    return failure === undefined ? Promise.resolve({ value: undefined, done: true }) : Promise.reject(failure)
  }
}
